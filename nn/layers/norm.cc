#include "nn/layers/norm.h"

#include "autograd/ops/layer_norm.h"
#include "autograd/ops/rms_norm.h"

namespace tapir::nn {

LayerNorm::LayerNorm(int64_t width, double epsilon)
    : epsilon(epsilon), weight(parameter("weight", {width}, ParameterKind::gain, Init::constant(1))),
      bias(parameter("bias", {width}, ParameterKind::bias, Init::constant(0))) {
  require_in(interval::not_negative, "layer_norm", "epsilon", epsilon);
}

Tensor LayerNorm::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(layer_norm(x, weight.value, bias.value, epsilon), x);
}

RmsNorm::RmsNorm(int64_t width, double epsilon)
    : epsilon(epsilon), weight(parameter("weight", {width}, ParameterKind::gain, Init::constant(1))) {
  require_in(interval::not_negative, "rms_norm", "epsilon", epsilon);
}

Tensor RmsNorm::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(rms_norm(x, weight.value, epsilon), x);
}

std::unique_ptr<Norm> make_norm(const std::string& kind, int64_t width) {
  if (kind == "rms") return std::make_unique<RmsNorm>(width);
  require(kind == "layer", "norm", [&] { return text("there is no norm '", kind, "'; those that exist: layer, rms"); });
  return std::make_unique<LayerNorm>(width);
}

}  // namespace tapir::nn

#include "nn/layers/norm.h"

#include "autograd/ops/layer_norm.h"
#include "autograd/ops/rms_norm.h"

namespace tapir::nn {

LayerNorm::LayerNorm(int64_t width, double epsilon, bool with_bias)
    : epsilon(epsilon), weight(parameter("weight", {width}, ParameterKind::gain, Init::constant(1))),
      bias(with_bias ? &parameter("bias", {width}, ParameterKind::bias, Init::constant(0)) : nullptr) {
  require_in(interval::not_negative, "layer_norm", "epsilon", epsilon);
}

Tensor LayerNorm::forward(const Tensor& x) const {
  const Scope scope = enter();
  const Tensor& w = weight.value;
  return leave(layer_norm(x, w, bias ? bias->value : Tensor::zeros(w.shape(), w.dtype(), w.device()), epsilon), x);
}

RmsNorm::RmsNorm(int64_t width, double epsilon)
    : epsilon(epsilon), weight(parameter("weight", {width}, ParameterKind::gain, Init::constant(1))) {
  require_in(interval::not_negative, "rms_norm", "epsilon", epsilon);
}

Tensor RmsNorm::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(rms_norm(x, weight.value, epsilon), x);
}

std::unique_ptr<Norm> make_norm(const std::string& kind, int64_t width, bool with_bias) {
  if (kind == "rms") return std::make_unique<RmsNorm>(width);
  require(kind == "layer", "norm", [&] { return text("there is no norm '", kind, "'; those that exist: layer, rms"); });
  return std::make_unique<LayerNorm>(width, 1e-5, with_bias);
}

}  // namespace tapir::nn

#include "nn/layers/layers.h"

#include "autograd/ops.h"

namespace tapir::nn {

Linear::Linear(int64_t in, int64_t out, bool with_bias, const Init& weight_init, const Init& bias_init, ParameterKind kind)
    : weight(parameter("weight", {out, in}, kind, weight_init)),
      bias(with_bias ? &parameter("bias", {out}, ParameterKind::bias, bias_init) : nullptr) {}

Tensor Linear::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(bias ? linear(x, weight.value, bias->value) : linear(x, weight.value), x);
}

Embedding::Embedding(int64_t rows, int64_t width, const Init& init)
    : weight(parameter("weight", {rows, width}, ParameterKind::embedding, init)) {}

Tensor Embedding::forward(const Tensor& indices) const {
  const Scope scope = enter();
  return leave(embedding(weight.value, indices), indices);
}

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

Dropout::Dropout(double p) : p(p) {
  require_in({0, 1, true, false}, "dropout", "p", p);
}

Tensor Dropout::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  return leave(call.training ? dropout(x, p, call.random()) : x, x);
}

}  // namespace tapir::nn

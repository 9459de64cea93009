#include "nn/models/mlp.h"

#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

Tensor (*activation_of(const std::string& name))(const Tensor&) {
  return name == "relu" ? relu : name == "gelu" ? gelu : name == "silu" ? silu : tapir::tanh;
}

}  // namespace

Mlp::Mlp(const MlpOptions& options, int64_t inputs, int64_t outputs)
    : activation_((require_allowed("mlp", options), activation_of(options.activation))) {
  for (int64_t layer = 0; layer <= options.layers; ++layer) {
    const int64_t in = layer == 0 ? inputs : options.width, out = layer == options.layers ? outputs : options.width;
    layers_.push_back(&child<Linear>(text("layers.", layer), in, out, true, Init::fan_in(in), Init::fan_in(in)));
  }
}

Tensor Mlp::forward(const Tensor& x) const {
  const Scope scope = enter();
  Tensor y = x;
  for (const Linear* layer : layers_) y = layer->forward(layer == layers_.front() ? y : activation_(y));
  return leave(y, x);
}

}  // namespace tapir::nn

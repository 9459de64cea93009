#include "nn/layers/linear.h"

#include "autograd/ops/matmul.h"

namespace tapir::nn {

Linear::Linear(int64_t in, int64_t out, bool with_bias, const Init& weight_init, const Init& bias_init, ParameterKind kind)
    : weight(parameter("weight", {out, in}, kind, weight_init)),
      bias(with_bias ? &parameter("bias", {out}, ParameterKind::bias, bias_init) : nullptr) {}

Linear::Linear(Parameter& shared, bool with_bias)
    : weight(shared),
      bias(with_bias ? &parameter("bias", {shared.shape[0]}, ParameterKind::bias, Init::constant(0)) : nullptr) {}

Tensor Linear::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(bias ? linear(x, weight.value, bias->value) : linear(x, weight.value), x);
}

}  // namespace tapir::nn

#include "attention/biases/kerple_log.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"

namespace tapir {

KerpleLog::KerpleLog(int64_t heads)
    : r1(parameter("r1", {heads}, nn::ParameterKind::gain, nn::Init::uniform(2))),
      r2(parameter("r2", {heads}, nn::ParameterKind::gain, nn::Init::uniform(1))) {}

Tensor KerpleLog::forward(const Tensor& E, int64_t offset) const {
  const Scope scope = enter();
  const auto of_heads = [](const nn::Parameter& r) { return reshape(abs(r.value), {-1, 1, 1}); };
  return leave(mul(neg(of_heads(r1)), log1p(mul(of_heads(r2), distances(E, offset)))), E);
}

}  // namespace tapir

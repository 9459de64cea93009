#include "nn/layers/dropout.h"

#include "autograd/ops/dropout.h"

namespace tapir::nn {

Dropout::Dropout(double p) : p(p) {
  require_in({0, 1, true, false}, "dropout", "p", p);
}

Tensor Dropout::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  return leave(call.training ? dropout(x, p, call.random()) : x, x);
}

}  // namespace tapir::nn

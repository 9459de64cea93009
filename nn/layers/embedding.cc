#include "nn/layers/embedding.h"

#include "autograd/ops/embedding.h"

namespace tapir::nn {

Embedding::Embedding(int64_t rows, int64_t width, const Init& init, ParameterKind kind)
    : weight(parameter("weight", {rows, width}, kind, init)) {}

Tensor Embedding::forward(const Tensor& indices) const {
  const Scope scope = enter();
  return leave(embedding(weight.value, indices), indices);
}

}  // namespace tapir::nn

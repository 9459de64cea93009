#include "attention/reproduce/program/image_maps.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {

Tensor read_from_cells(const Tensor& weights, const ImageGrid& grid) {
  const Tensor read = grid.class_tokens > 0 ? reshape(slice(weights, -2, 0, 1), sum(weights, -2).shape()) : mean(weights, -2);
  return slice(read, -1, grid.class_tokens, grid.cells());
}

bool are_distributions(const Tensor& weights) {
  return min(weights).item() >= 0 && max(abs(affine(sum(weights, -1), 1, -1))).item() < 1e-3;
}

Tensor rolled_out(const Tensor& before, const Tensor& weights) {
  const int64_t tokens = weights.size(-1);
  const Tensor ones = Tensor::full({tokens, tokens}, 0.5, DType::f64, weights.device());
  const Tensor layer = add(affine(mean(weights, 1).to(DType::f64), 0.5, 0), sub(tril(ones), tril(ones, -1)));
  return before.defined() ? matmul(layer, before) : layer;
}

}  // namespace tapir

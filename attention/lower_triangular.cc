#include "attention/lower_triangular.h"

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

Tensor halves_of_rows(const Tensor& x) {   // (B,N,2n,F) → (B,2N,n,F)
  return reshape(x, {x.size(0), 2 * x.size(1), x.size(2) / 2, x.size(3)});
}

Tensor half(const Tensor& halves, int64_t which) {   // (B,2N,n,F) → (B,N,n,F)
  const Shape pairs{halves.size(0), halves.size(1) / 2, 2, halves.size(2), halves.size(3)};
  return reshape(slice(reshape(halves, pairs), 2, which, 1), {pairs[0], pairs[1], pairs[3], pairs[4]});
}

// Those on the diagonal (B,2N,n,n), and the square below (B,N,n,n) → (B,N,2n,2n)
Tensor joined(const Tensor& diagonal, const Tensor& below) {
  const Tensor first = pad(half(diagonal, 0), 3, 0, below.size(3)), second = concat({below, half(diagonal, 1)}, 3);
  return concat({first, second}, 2);
}

}  // namespace

Tensor decayed_products(const Tensor& q, const Tensor& k, const Tensor& g) {
  if (q.size(2) == 1) return sum(mul(q, k), -1, true);
  const Tensor queries = halves_of_rows(q), keys = halves_of_rows(k), decays = halves_of_rows(g);
  const Tensor up_to_each = cumsum(decays, 2), after_each = sub(sum(decays, 2, true), up_to_each);
  const Tensor below = matmul(half(mul(queries, exp(up_to_each)), 1), transpose(half(mul(keys, exp(after_each)), 0)));
  return joined(decayed_products(queries, keys, decays), below);
}

Tensor inverse_of_unit_lower(const Tensor& A) {
  const int64_t B = A.size(0), N = A.size(1), n = A.size(2) / 2;
  if (A.size(2) == 1) return Tensor::full(A.shape(), 1, A.dtype(), A.device());
  const auto square = [&](int64_t row, int64_t column) { return slice(slice(A, 2, row, n), 3, column, n); };
  const Tensor inverses = inverse_of_unit_lower(reshape(stack({square(0, 0), square(n, n)}, 2), {B, 2 * N, n, n}));
  const Tensor X = half(inverses, 0), Y = half(inverses, 1);
  return joined(inverses, neg(lower_times(Y, matmul(square(n, 0), X))));
}

Tensor diagonal(const Tensor& x) {
  const Tensor ones = Tensor::full({x.size(3), x.size(3)}, 1, x.dtype(), x.device());
  return mul(x, triu(tril(ones)));
}

Tensor lower_times(const Tensor& A, const Tensor& B) { return mix(A, B, {.causal = true, .offset = 0, .keys = {}}); }

}  // namespace tapir

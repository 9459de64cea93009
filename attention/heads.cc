#include "attention/heads.h"

#include "autograd/ops/shape.h"

namespace tapir {

Tensor split_heads(const Tensor& x, int64_t heads) {
  return transpose(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), 1, 2);
}

Tensor merge_heads(const Tensor& x) {
  return reshape(transpose(x, 1, 2), {x.size(0), x.size(2), x.size(1) * x.size(3)});
}

Tensor beside(const Tensor& x, const Tensor& y, int64_t heads) {
  return merge_heads(concat({split_heads(x, heads), split_heads(y, heads)}, -1));
}

Tensor repeat_heads(const Tensor& x, int64_t heads) {
  const int64_t B = x.size(0), G = x.size(1), T = x.size(2), D = x.size(3), times = heads / G;
  return times == 1 ? x : reshape(expand(reshape(x, {B, G, 1, T, D}), {B, G, times, T, D}), {B, heads, T, D});
}

}  // namespace tapir

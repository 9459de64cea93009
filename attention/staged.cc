#include "attention/staged.h"

#include <cmath>

#include "autograd/ops.h"

namespace tapir {
namespace {

Tensor split_heads(const Tensor& x, int64_t heads) {   // (B,T,C) → (B,H,T,D)
  return transpose(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), 1, 2);
}

Tensor merge_heads(const Tensor& x) {   // (B,H,T,D) → (B,T,C)
  return reshape(transpose(x, 1, 2), {x.size(0), x.size(2), x.size(1) * x.size(3)});
}

}  // namespace

const char* name_of(Projection projection) {
  constexpr const char* names[] = {"query", "key", "value", "out"};
  return names[static_cast<int>(projection)];
}

StagedAttention::StagedAttention(const MixerShape& shape, const std::set<Projection>& replaced) : shape_(shape) {
  require(shape.heads > 0 && shape.width % shape.heads == 0, "attention",
          [&] { return text("the width ", shape.width, " is not a multiple of the ", shape.heads, " heads"); });
  for (const Projection which : {Projection::query, Projection::key, Projection::value, Projection::out})
    if (!replaced.contains(which))
      linear_[which] = &child<nn::Linear>(name_of(which), shape.width, shape.width, false, nn::Init::normal(0.02));
}

Tensor StagedAttention::forward(const Tensor& x, const Tensor& context, const nn::Call& call) {
  const Scope scope = enter();
  require(
      x.rank() == 3 && context.rank() == 3 && x.size(2) == shape_.width && context.size(2) == shape_.width, "attention",
      [&] { return text("x and context must be (B,T,", shape_.width, "), got ", x.shape(), " and ", context.shape()); });
  const Tensor Q = split_heads(project(Projection::query, x), shape_.heads);
  const Tensor K = split_heads(project(Projection::key, context), shape_.heads);
  const Tensor V = split_heads(project(Projection::value, context), shape_.heads);
  return leave(project(Projection::out, merge_heads(attend(Q, K, V, call))), x, context);
}

Tensor StagedAttention::project(Projection which, const Tensor& x) const { return linear_.at(which)->forward(x); }

Tensor StagedAttention::attend(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  const Tensor A = weights(scores(Q, K, call), call);
  call.record("weights", A);
  return mix(A, V, call);
}

Tensor StagedAttention::scores(const Tensor& Q, const Tensor& K, const nn::Call&) const {
  return matmul(affine(Q, 1 / std::sqrt(static_cast<double>(Q.size(-1))), 0), transpose(K));
}

Tensor StagedAttention::weights(const Tensor& E, const nn::Call& call) const { return softmax(E, call.mask); }

Tensor StagedAttention::mix(const Tensor& A, const Tensor& V, const nn::Call&) const { return matmul(A, V); }

}  // namespace tapir

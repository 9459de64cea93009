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

StagedAttention::StagedAttention(const MixerShape& shape)
    : shape_(shape), query_(child<nn::Linear>("query", shape.width, shape.width, false, nn::Init::normal(0.02))),
      key_(child<nn::Linear>("key", shape.width, shape.width, false, nn::Init::normal(0.02))),
      value_(child<nn::Linear>("value", shape.width, shape.width, false, nn::Init::normal(0.02))),
      out_(child<nn::Linear>("out", shape.width, shape.width, false, nn::Init::normal(0.02))) {
  require(shape.heads > 0 && shape.width % shape.heads == 0, "attention",
          [&] { return text("the width ", shape.width, " is not a multiple of the ", shape.heads, " heads"); });
}

Tensor StagedAttention::forward(const Tensor& x, const Tensor& context, const nn::Call& call) {
  const Scope scope = enter();
  require(
      x.rank() == 3 && context.rank() == 3 && x.size(2) == shape_.width && context.size(2) == shape_.width, "attention",
      [&] { return text("x and context must be (B,T,", shape_.width, "), got ", x.shape(), " and ", context.shape()); });
  const Tensor mixed =
      attend(split_heads(query_.forward(x), shape_.heads), split_heads(key_.forward(context), shape_.heads),
             split_heads(value_.forward(context), shape_.heads), call);
  return leave(out_.forward(merge_heads(mixed)), x, context);
}

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

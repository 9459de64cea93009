#include "attention/staged.h"

#include <cmath>

#include "attention/kernels/alibi.h"
#include "attention/kernels/fused_attention.h"
#include "attention/kernels/mix.h"
#include "attention/kernels/rotary.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"

namespace tapir {
namespace {

Tensor split_heads(const Tensor& x, int64_t heads) {   // (B,T,C) → (B,H,T,D)
  return transpose(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), 1, 2);
}

Tensor repeat_heads(const Tensor& x, int64_t heads) {   // (B,G,S,D) → (B,H,S,D), each head H/G times
  const int64_t B = x.size(0), G = x.size(1), S = x.size(2), D = x.size(3), times = heads / G;
  return times == 1 ? x : reshape(expand(reshape(x, {B, G, 1, S, D}), {B, G, times, S, D}), {B, heads, S, D});
}

Tensor scaled(const Tensor& Q) { return affine(Q, 1 / std::sqrt(static_cast<double>(Q.size(-1))), 0); }   // Q / √D

Tensor merge_heads(const Tensor& x) {   // (B,H,T,D) → (B,T,C)
  return reshape(transpose(x, 1, 2), {x.size(0), x.size(2), x.size(1) * x.size(3)});
}

}  // namespace

const char* name_of(Projection projection) {
  constexpr const char* names[] = {"query", "key", "value", "out"};
  return names[static_cast<int>(projection)];
}

int64_t MixerShape::width_of(Projection which) const {
  return which == Projection::key || which == Projection::value ? head_width() * key_head_count() : width;
}

StagedAttention::StagedAttention(const MixerShape& shape, bool fused, const std::set<Projection>& replaced)
    : shape_(shape), fused_(fused) {
  require(shape.width > 0 && shape.heads > 0 && shape.layer >= 0 && shape.key_heads >= 0, "attention", [&] {
    return text("width and heads must be positive, layer and key heads not negative: got width ", shape.width, ", ",
                shape.heads, " heads, layer ", shape.layer, ", ", shape.key_heads, " key heads");
  });
  require(shape.width % shape.heads == 0, "attention",
          [&] { return text("the width ", shape.width, " is not a multiple of the ", shape.heads, " heads"); });
  require(shape.heads % shape.key_head_count() == 0, "attention",
          [&] { return text("the ", shape.heads, " heads are not a multiple of the ", shape.key_heads, " key heads"); });
  for (const Projection which : {Projection::query, Projection::key, Projection::value, Projection::out})
    if (!replaced.contains(which))
      linear_[which] =
          &child<nn::Linear>(name_of(which), shape.width, shape.width_of(which), false, nn::Init::normal(0.02));
}

Tensor StagedAttention::forward(const Tensor& x, const Tensor& context, const nn::Call& call) {
  const Scope scope = enter();
  require(
      x.rank() == 3 && context.rank() == 3 && x.size(2) == shape_.width && context.size(2) == shape_.width, "attention",
      [&] { return text("x and context must be (B,T,", shape_.width, "), got ", x.shape(), " and ", context.shape()); });
  const int64_t H = shape_.heads, G = shape_.key_head_count();
  const Tensor Q = split_heads(project(Projection::query, x), H);
  const Tensor visible = without_hidden(context, call.mask);
  const Tensor K = split_heads(project(Projection::key, visible), G);
  const Tensor V = split_heads(project(Projection::value, visible), G);
  return leave(project(Projection::out, merge_heads(stages(Q, K, V, call))), x, context);
}

Tensor StagedAttention::project(Projection which, const Tensor& x) const { return linear_.at(which)->forward(x); }

Tensor StagedAttention::attend(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  return stages(Q, without_hidden(K, call.mask), without_hidden(V, call.mask), call);
}

Tensor StagedAttention::stages(Tensor Q, Tensor K, Tensor V, const nn::Call& call) const {
  prepare(Q, K, V, call);
  K = repeat_heads(K, shape_.heads);
  V = repeat_heads(V, shape_.heads);
  if (fused_ && !call.recorder) return fused(Q, K, V, call);
  Tensor E = scores(Q, K, call);
  if (call.positions == nn::Positions::alibi)
    E = add(E, alibi_bias(E.size(1), E.size(2), E.size(3), call.mask.offset, E.dtype(), E.device()));
  const Tensor A = weights(E, call);
  call.record("weights", A);
  return mix(A, V, call);
}

void StagedAttention::prepare(Tensor& Q, Tensor& K, Tensor&, const nn::Call& call) const {
  if (call.positions != nn::Positions::rotary) return;
  Q = rotary(Q, call.mask.offset);
  K = rotary(K);
}

Tensor StagedAttention::scores(const Tensor& Q, const Tensor& K, const nn::Call&) const {
  return matmul(scaled(Q), transpose(K));
}

Tensor StagedAttention::weights(const Tensor& E, const nn::Call& call) const { return softmax(E, call.mask); }

Tensor StagedAttention::mix(const Tensor& A, const Tensor& V, const nn::Call& call) const {
  return call.mask.causal || call.mask.keys.defined() ? tapir::mix(A, V, call.mask) : matmul(A, V);
}

Tensor StagedAttention::fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  return dot_product_attention(scaled(Q), K, V, call.mask, call.positions == nn::Positions::alibi);
}

}  // namespace tapir

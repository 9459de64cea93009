#include "attention/staged.h"

#include <algorithm>
#include <cmath>

#include "attention/heads.h"
#include "attention/kernels/fused_attention.h"
#include "attention/kernels/mix.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"

namespace tapir {
StagedAttention::StagedAttention(const MixerShape& shape, bool fused, const std::set<Projection>& replaced)
    : ProjectedAttention(shape, replaced), fused_(fused),
      bias_(nn::is_bias(shape.positions) ? &adopt("positions", make_position_bias(shape)) : nullptr) {
  require(
      StagedAttention::accepts(shape.positions), "attention",
      [&] { return text("fused attention has no bias that is learned, as ", nn::name_of(shape.positions), " is"); },
      "choose attention.implementation = \"naive\", or alibi");
}

std::unique_ptr<nn::MixerState> StagedAttention::empty_state() const { return std::make_unique<Cache>(); }

Tensor StagedAttention::step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths,
                             const nn::Call& call) {
  const Scope scope = enter();
  const NoGrad guard;
  auto* const cache = dynamic_cast<Cache*>(&state);
  require(cache, "step", [] { return "the state is of another mechanism"; });
  const auto [Q, K, V] = projected(x, x, call);
  // `there`: which of the new tokens are; undefined: all, as all earlier ones are.
  const auto go_on = [&](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& there, int64_t begin, Cache& own) {
    nn::Call causal = call;
    causal.mask = {.causal = true, .offset = begin, .keys = {}, .window = call.mask.window};
    if (there.defined()) causal.mask.keys = concat({Tensor::full({q.size(0), begin}, 1, DType::u8, x.device()), there}, 1);
    return mixed(placed(q, begin, call), repeat_heads(own.append("key", placed(k, begin, call), begin), shape_.heads),
                 repeat_heads(own.append("value", v, begin), shape_.heads), causal, &own);
  };
  Tensor heads;
  if (std::equal(lengths.begin() + 1, lengths.end(), lengths.begin())) {
    heads = go_on(Q, K, V, call.mask.keys, lengths[0], *cache);
  } else {
    std::vector<Tensor> samples;
    for (size_t b = 0; b < lengths.size(); ++b) {
      const auto own = [&](const Tensor& all) { return slice(all, 0, static_cast<int64_t>(b), 1); };
      Cache part = cache->sample(static_cast<int64_t>(b), lengths[b] + x.size(1));
      samples.push_back(go_on(own(Q), own(K), own(V), call.mask.keys.defined() ? own(call.mask.keys) : Tensor(),
                              lengths[b], part));
    }
    heads = concat(samples, 0);
  }
  return leave(merged(heads), x, x);
}

Tensor StagedAttention::attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  return mixed(Q, K, V, call, nullptr);
}

Tensor StagedAttention::mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache*) const {
  return smoother(Q, K, call)(V);
}

std::function<Tensor(const Tensor&)> StagedAttention::smoother(const Tensor& Q, const Tensor& K, const nn::Call& call) const {
  if (in_one_op(call)) return [=, this, &call](const Tensor& V) { return fused(Q, K, V, call); };
  return [=, this, &call, A = recorded_weights(Q, K, call)](const Tensor& V) { return mix(A, V, call); };
}

void StagedAttention::require_whole(const char* mechanism, const Tensor& Q, const Tensor& K, const nn::Call& call,
                                    const Cache* cache) {
  const int64_t T = Q.size(2), S = K.size(2);
  require(
      cache || (T == S && call.mask.offset == 0), mechanism,
      [&] {
        return text("queries must be all tokens of the sequence, got ", T, " of them at offset ", call.mask.offset, " for ", S,
                    " keys");
      },
      "go on token by token from a state, which has what earlier tokens left");
}

Tensor StagedAttention::with_bias(const Tensor& E, const Tensor& bias) { return bias.defined() ? add(E, bias) : E; }

Tensor StagedAttention::bias_of_places(const Tensor& E, const nn::Call& call) const {
  return bias_ ? bias_->forward(E, call.mask.offset) : Tensor();
}

Tensor StagedAttention::recorded_weights(const Tensor& Q, const Tensor& K, const nn::Call& call) const {
  const Tensor E = scores(Q, K, call), A = weights(E, bias_of_places(E, call), call);
  call.record("weights", A);
  return A;
}

Tensor StagedAttention::scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const {
  return matmul(tempered(Q, call), transpose(K));
}

Tensor StagedAttention::tempered(const Tensor& Q, const nn::Call&) const {
  return affine(Q, 1 / std::sqrt(static_cast<double>(Q.size(-1))), 0);
}

Tensor StagedAttention::weights(const Tensor& E, const Tensor& bias, const nn::Call& call) const {
  return softmax(with_bias(E, bias), call.mask);
}

Tensor StagedAttention::mix(const Tensor& A, const Tensor& V, const nn::Call& call) const {
  return call.mask.hides() ? tapir::mix(A, V, call.mask) : matmul(A, V);
}

Tensor StagedAttention::fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  return dot_product_attention(tempered(Q, call), K, V, call.mask, has_alibi(), true);
}

}  // namespace tapir

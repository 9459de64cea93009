#include "attention/state_attention.h"

#include <algorithm>

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"

namespace tapir {
namespace {

// S (B,H,F,D) and z (B,H,F,1) of the keys so far.
struct Sums {
  Tensor S, z;

  void add_keys(const Tensor& features, const Tensor& V) {
    const Tensor own = transpose(features), of_keys = matmul(own, V), total = sum(own, -1, true);
    S = S.defined() ? add(S, of_keys) : of_keys;
    z = z.defined() ? add(z, total) : total;
  }
};

class Remembered final : public nn::MixerState {
 public:
  std::unique_ptr<MixerState> copy() const override {
    auto other = std::make_unique<Remembered>();
    if (sums.S.defined()) other->sums = {sums.S.copy(), sums.z.copy()};
    return other;
  }
  void reorder(const std::vector<int64_t>& rows) override {
    if (!sums.S.defined()) return;
    const std::vector<int32_t> chosen(rows.begin(), rows.end());
    const Tensor index = Tensor::from(chosen, {static_cast<int64_t>(rows.size())}, sums.S.device());
    sums = {index_select(sums.S, 0, index), index_select(sums.z, 0, index)};
  }

  Sums sums;
};

// numerator / (denominator + ε); where there is no key both are 0, and so is this.
Tensor normalised(const Tensor& numerator, const Tensor& denominator, double epsilon) {
  if (epsilon > 0) return div(numerator, affine(denominator, 1, epsilon));
  const Tensor there = not_equal(denominator, 0);   // NaN is there
  return where(there, div(numerator, where(there, denominator, Tensor::full({}, 1, denominator.dtype(), denominator.device()))),
               Tensor::zeros({}, numerator.dtype(), numerator.device()));
}

// Of queries that see what came before, in its sums, and each other causally: all (…,·,F) and (…,·,D), S and z may be
// undefined.
Tensor causal_part(const Tensor& queries, const Tensor& keys, const Tensor& V, const Sums& before, double epsilon) {
  const Tensor pairs = tril(matmul(queries, transpose(keys)));
  Tensor numerator = mix(pairs, V, {.causal = true, .offset = 0, .keys = {}}), denominator = sum(pairs, -1, true);
  if (before.S.defined()) {
    numerator = add(numerator, matmul(queries, before.S));
    denominator = add(denominator, matmul(queries, before.z));
  }
  return normalised(numerator, denominator, epsilon);
}

}  // namespace

Tensor StateAttention::explicit_form(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  const Tensor pairs = matmul(query_features(Q, call), transpose(without_hidden(key_features(K, call), call.mask)));
  const Tensor seen = call.mask.causal ? tril(pairs, call.mask.offset) : pairs;
  const Tensor A = normalised(seen, sum(seen, -1, true), epsilon());
  call.record("weights", A);
  return mix(A, V, call.mask);
}

Tensor StateAttention::attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  if (call.recorder) return explicit_form(Q, K, V, call);
  const Tensor queries = query_features(Q, call), keys = without_hidden(key_features(K, call), call.mask);
  const int64_t T = Q.size(2), S = K.size(2);
  Sums sums;
  if (!call.mask.causal) {
    sums.add_keys(keys, V);
    return normalised(matmul(queries, sums.S), matmul(queries, sums.z), epsilon());
  }
  // Chunk n has queries n c … n c + c − 1, and the keys that stand where they do. What comes before it is in its sums, what is
  // in it in pairs. Keys before the first query are in all sums, keys behind the last one in none.
  const int64_t c = std::clamp<int64_t>(T, 1, chunk_), chunks = (T + c - 1) / c, padded = chunks * c;
  const int64_t head = std::clamp<int64_t>(call.mask.offset, 0, S), late = std::clamp<int64_t>(-call.mask.offset, 0, padded);
  const int64_t count = std::clamp<int64_t>(T + call.mask.offset - head, 0, std::min(S - head, padded - late));
  const auto in_chunks = [&](const Tensor& x, int64_t before) {   // (B,H,·,F) → (B·H,chunks,c,F), with zeros around
    const Tensor whole = pad(x, 2, before, padded - before - x.size(2));
    return reshape(whole, {x.size(0) * x.size(1), chunks, c, x.size(3)});
  };
  const Tensor q = in_chunks(queries, 0), k = in_chunks(slice(keys, 2, head, count), late),
               v = in_chunks(slice(V, 2, head, count), late);
  const auto before_each = [&](const Tensor& of_chunk, const Tensor& of_head) {   // sums over earlier chunks and the head
    const Tensor earlier = pad(slice(cumsum(of_chunk, 1), 1, 0, chunks - 1), 1, 1, 0);
    return add(earlier, reshape(of_head, {of_chunk.size(0), 1, of_chunk.size(2), of_chunk.size(3)}));
  };
  sums.add_keys(slice(keys, 2, 0, head), slice(V, 2, 0, head));
  Sums own;
  own.add_keys(k, v);
  const Tensor y = causal_part(q, k, v, {before_each(own.S, sums.S), before_each(own.z, sums.z)}, epsilon());
  return slice(reshape(y, {Q.size(0), Q.size(1), padded, V.size(3)}), 2, 0, T);
}

std::unique_ptr<nn::MixerState> StateAttention::state(int64_t) const { return std::make_unique<Remembered>(); }

// The tokens before them are in the sums, whatever their number; among the new ones it is causal.
Tensor StateAttention::step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths, const nn::Call& call) {
  const Scope scope = enter();
  const NoGrad guard;
  auto* const remembered = dynamic_cast<Remembered*>(&state);
  require(remembered, "step", [] { return "the state is of another mechanism"; });
  auto [Q, K, V] = projected(x, x, call);
  const auto at_places = [&](const Tensor& heads) {
    std::vector<Tensor> samples;   // lengths differ from sample to sample
    for (size_t b = 0; b < lengths.size(); ++b)
      samples.push_back(placed(slice(heads, 0, static_cast<int64_t>(b), 1), lengths[b]));
    return concat(samples, 0);
  };
  const Tensor queries = query_features(at_places(Q), call);
  const Tensor keys = without_hidden(key_features(repeat_heads(at_places(K), shape_.heads), call), call.mask);
  const Tensor values = repeat_heads(V, shape_.heads);
  const Tensor y = causal_part(queries, keys, values, remembered->sums, epsilon());
  remembered->sums.add_keys(keys, values);
  return leave(merged(y), x, x);
}

}  // namespace tapir

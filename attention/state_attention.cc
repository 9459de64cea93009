#include "attention/state_attention.h"

#include <algorithm>

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "attention/remembered.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"

namespace tapir {
namespace {

// S (B,H,F,E) and z (B,H,F,1) of the keys so far.
struct Sums {
  Tensor S, z;

  void add_keys(const Tensor& features, const Tensor& V) {
    const Tensor own = transpose(features), of_keys = matmul(own, V), total = sum(own, -1, true);
    S = S.defined() ? add(S, of_keys) : of_keys;
    z = z.defined() ? add(z, total) : total;
  }
};

// x / y, and 0 where y is: without a key both are 0, and weights of both signs may cancel.
Tensor over(const Tensor& x, const Tensor& y) {
  const Tensor there = not_equal(y, 0);   // NaN is there
  return where(there, div(x, where(there, y, Tensor::full({}, 1, y.dtype(), y.device()))),
               Tensor::zeros({}, x.dtype(), x.device()));
}

struct Fraction {
  Tensor numerator, total;   // Σ_s w_ts v_s, Σ_s w_ts
};

// Of queries that see what came before, in its sums, and each other causally: all (…,·,F) and (…,·,D), S and z may be
// undefined.
Fraction causal_part(const Tensor& queries, const Tensor& keys, const Tensor& V, const Sums& before) {
  const Tensor pairs = tril(matmul(queries, transpose(keys)));
  Fraction y{mix(pairs, V, {.causal = true, .offset = 0, .keys = {}}), sum(pairs, -1, true)};
  if (before.S.defined())
    y = {add(y.numerator, matmul(queries, before.S)), add(y.total, matmul(queries, before.z))};
  return y;
}

// The last values of `before` and x, as many as `before` has; `there`: which of x count, the first ones of each row.
Tensor last_values(const Tensor& before, const Tensor& x, const Tensor& there) {
  const Tensor all = concat({before, x}, 2);
  if (!there.defined()) return slice(all, 2, x.size(2), before.size(2));
  const std::vector<double> counts = sum(not_equal(there, 0).to(DType::f64), 1).values<double>();
  std::vector<Tensor> samples;
  for (int64_t b = 0; b < x.size(0); ++b)
    samples.push_back(slice(slice(all, 0, b, 1), 2, static_cast<int64_t>(counts[b]), before.size(2)));
  return concat(samples, 0);
}

Tensor with_term(const Tensor& y, const Tensor& term) { return term.defined() ? add(y, term) : y; }

}  // namespace

Tensor StateAttention::divided(const Tensor& numerator, const Tensor& total, const Tensor& n) const {
  if (divisor_ == Divisor::keys) return over(numerator, n);
  if (divisor_ == Divisor::mean_weight) return over(numerator, add(total, affine(n, epsilon(), 0)));
  return epsilon() > 0 ? div(numerator, affine(total, 1, epsilon())) : over(numerator, total);
}

Tensor StateAttention::keys_seen(int64_t T, int64_t S, const Mask& mask, const Tensor& like) const {
  if (divisor_ == Divisor::weights) return {};
  return sum_to_each(keys_there(mask, S, like), T, mask);
}

Tensor StateAttention::explicit_form(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  const Tensor pairs = matmul(query_features(Q, call), transpose(without_hidden(key_features(K, call), call.mask)));
  const Tensor seen = call.mask.causal ? tril(pairs, call.mask.offset) : pairs;
  const Tensor n = keys_seen(Q.size(2), K.size(2), call.mask, Q);
  const Tensor A = divided(seen, sum(seen, -1, true), n);
  call.record("weights", A);
  return mix(A, values(V, call), call.mask);
}

Tensor StateAttention::attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  const Tensor y = call.records("weights") ? explicit_form(Q, K, V, call) : by_sums(Q, K, V, call);
  return with_term(y, of_neighbours(V, Q.size(2), call));
}

Tensor StateAttention::by_sums(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  const Tensor queries = query_features(Q, call), keys = without_hidden(key_features(K, call), call.mask);
  const Tensor mixed = values(V, call);
  const int64_t T = Q.size(2), S = K.size(2);
  const Tensor n = keys_seen(T, S, call.mask, Q);
  Sums sums;
  if (!call.mask.causal) {
    sums.add_keys(keys, mixed);
    return divided(matmul(queries, sums.S), matmul(queries, sums.z), n);
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
               v = in_chunks(slice(mixed, 2, head, count), late);
  const auto before_each = [&](const Tensor& of_chunk, const Tensor& of_head) {   // sums over earlier chunks and the head
    const Tensor earlier = pad(slice(cumsum(of_chunk, 1), 1, 0, chunks - 1), 1, 1, 0);
    return add(earlier, reshape(of_head, {of_chunk.size(0), 1, of_chunk.size(2), of_chunk.size(3)}));
  };
  sums.add_keys(slice(keys, 2, 0, head), slice(mixed, 2, 0, head));
  Sums own;
  own.add_keys(k, v);
  const Tensor seen = n.defined() ? in_chunks(expand(n, {Q.size(0), Q.size(1), T, 1}), 0) : n;
  const auto [numerator, total] = causal_part(q, k, v, {before_each(own.S, sums.S), before_each(own.z, sums.z)});
  return slice(reshape(divided(numerator, total, seen), {Q.size(0), Q.size(1), padded, mixed.size(3)}), 2, 0, T);
}

std::unique_ptr<nn::MixerState> StateAttention::empty_state() const { return std::make_unique<Remembered>(); }

// The tokens before them are in the sums, whatever their number; among the new ones it is causal.
Tensor StateAttention::step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths, const nn::Call& call) {
  const Scope scope = enter();
  const NoGrad guard;
  auto* const remembered = dynamic_cast<Remembered*>(&state);
  require(remembered, "step", [] { return "the state is of another mechanism"; });
  auto [Q, K, V] = projected(x, x, call);
  const Tensor queries = query_features(placed(Q, lengths, call), call);
  const Tensor keys = without_hidden(key_features(repeat_heads(placed(K, lengths, call), shape_.heads), call), call.mask);
  const Tensor own = repeat_heads(V, shape_.heads), mixed = values(own, call);
  Tensor n = keys_seen(x.size(1), x.size(1), {.causal = true, .offset = 0, .keys = call.mask.keys}, x);
  if (n.defined()) {   // and those of the state
    const std::vector<double> earlier(lengths.begin(), lengths.end());
    n = add(n, Tensor::from(earlier, {x.size(0), 1, 1, 1}, x.device()).to(x.dtype()));
  }
  // S, z, and the last values (B,H,reach,D), zeros before the first one.
  std::vector<Tensor>& kept = remembered->kept;
  Sums sums = kept.empty() ? Sums() : Sums{kept[0], kept[1]};
  const Tensor recent = kept.empty() ? Tensor::zeros(own.shape().with(2, reach()), x.dtype(), x.device()) : kept[2];
  const auto [numerator, total] = causal_part(queries, keys, mixed, sums);
  sums.add_keys(keys, mixed);
  kept = {sums.S, sums.z, last_values(recent, own, call.mask.keys)};
  nn::Call behind = call;
  behind.mask = {.causal = true, .offset = reach(), .keys = {}};
  if (call.mask.keys.defined())
    behind.mask.keys = concat({Tensor::full({x.size(0), reach()}, 1, DType::u8, x.device()), call.mask.keys}, 1);
  const Tensor term = of_neighbours(concat({recent, own}, 2), x.size(1), behind);
  return leave(merged(with_term(divided(numerator, total, n), term)), x, x);
}

}  // namespace tapir

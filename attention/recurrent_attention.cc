#include "attention/recurrent_attention.h"

#include <algorithm>
#include <bit>

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "attention/lower_triangular.h"
#include "attention/remembered.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace tapir {
namespace {

int64_t power_of_two(int64_t n) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))); }

// Rows of x (B,H,·,F) in the order of time: `before` rows of zeros, then x, and as many of it or zeros that there are `length`.
Tensor in_time(const Tensor& x, int64_t before, int64_t length) {
  const int64_t kept = std::min(x.size(2), length - before);
  return pad(slice(x, 2, 0, kept), 2, before, length - before - kept);
}

// Queries and keys in one order of time: query t stands where the last key stands that it sees. The first query and the first
// key stand at `query` and at `key`, one of them at 0.
struct Time {
  Time(int64_t T, int64_t S, const Mask& mask)
      : query(mask.causal ? std::clamp<int64_t>(mask.offset, 0, S) : S),
        key(mask.causal ? std::clamp<int64_t>(-mask.offset, 0, T) : 0),
        length(std::max<int64_t>(1, query + T)) {}

  const int64_t query, key, length;
};

// The states before each of N chunks, (B,N,F,E), from S (B,1,F,E) before the first, which becomes the one behind the last. By
// halves: the gradient of a slice is as large as what it was cut from.
Tensor states_before(const Tensor& keeps, const Tensor& written, Tensor& S) {
  const int64_t N = keeps.size(1), first = N / 2;
  if (N == 1) {
    const Tensor before = S;
    S = add(matmul(keeps, S), written);
    return before;
  }
  const Tensor of_first = states_before(slice(keeps, 1, 0, first), slice(written, 1, 0, first), S);
  return concat({of_first, states_before(slice(keeps, 1, first, N - first), slice(written, 1, first, N - first), S)}, 1);
}

}  // namespace

RecurrentAttention::RecurrentAttention(const MixerShape& shape, int64_t chunk, const std::set<Projection>& replaced)
    : ProjectedAttention(shape, replaced), chunk_(chunk) {
  require(chunk > 0, "attention", [&] { return text("a chunk must have tokens, got ", chunk); });
}

Tensor RecurrentAttention::advance(const Tensor& queries, const Tensor& keys, const Tensor& V, Tensor& S) const {
  const int64_t B = V.size(0), H = V.size(1), L = V.size(2), E = V.size(3);
  const int64_t c = power_of_two(std::min(L, chunk_)), chunks = (L + c - 1) / c;
  const auto in_chunks = [&](const Tensor& x) {   // (B,H,L,·) → (B·H,chunks,c,·), with zeros behind
    return reshape(pad(x, 2, 0, chunks * c - L), {B * H, chunks, c, x.size(3)});
  };
  const Tensor v = in_chunks(V);
  const Tokens made = tokens(in_chunks(queries), in_chunks(keys));
  const Tensor written = matmul(made.writes, v);
  const int64_t F = written.size(2);
  Tensor state = S.defined() ? reshape(S, {B * H, 1, F, E}) : Tensor::zeros({B * H, 1, F, E}, V.dtype(), V.device());
  const Tensor before = states_before(made.keeps, written, state);
  S = reshape(state, {B, H, F, E});
  const Tensor y = add(matmul(made.reads, before), lower_times(made.pairs, v));
  return slice(reshape(y, {B, H, chunks * c, E}), 2, 0, L);
}

Tensor RecurrentAttention::attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  const int64_t T = Q.size(2), S = K.size(2);
  const Time time(T, S, call.mask);
  const Tensor all_queries = in_time(queries(Q), time.query, time.length);
  const Tensor all_keys = in_time(without_hidden(keys(K), call.mask), time.key, time.length);
  const Tensor mixed = values(V);
  if (call.records("weights")) {   // all pairs: y = A V
    const auto whole = [&](const Tensor& x) { return in_time(x, 0, power_of_two(time.length)); };
    const Tensor pairs = tokens(whole(all_queries), whole(all_keys)).pairs;
    const int64_t seen = std::min(S, pairs.size(3) - time.key);
    const Tensor A = slice(slice(pairs, 2, time.query, T), 3, time.key, seen);
    const Tensor weights = pad(A, 3, 0, S - seen);
    call.record("weights", weights);
    return result(mix(weights, mixed, call.mask), Q);
  }
  Tensor state;
  return result(slice(advance(all_queries, all_keys, in_time(mixed, time.key, time.length), state), 2, time.query, T), Q);
}

std::unique_ptr<nn::MixerState> RecurrentAttention::empty_state() const { return std::make_unique<Remembered>(); }

Tensor RecurrentAttention::step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths,
                                const nn::Call& call) {
  const Scope scope = enter();
  const NoGrad guard;
  auto* const remembered = dynamic_cast<Remembered*>(&state);
  require(remembered, "step", [] { return "the state is of another mechanism"; });
  auto [Q, K, V] = projected(x, x, call);
  Q = placed(Q, lengths, call);
  K = repeat_heads(placed(K, lengths, call), shape_.heads);
  if (remembered->kept.empty()) remembered->kept.emplace_back();
  const Tensor y = advance(queries(Q), without_hidden(keys(K), call.mask), values(repeat_heads(V, shape_.heads)),
                           remembered->kept[0]);
  return leave(merged(result(y, Q)), x, x);
}

}  // namespace tapir

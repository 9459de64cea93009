#include "attention/mechanisms/attention_sh.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

// Keys in N windows of at most m.
class Windows {
 public:
  Windows(const std::vector<std::vector<int32_t>>& members, int64_t keys)
      : count_(static_cast<int64_t>(members.size())), window_of_(keys) {
    for (const auto& own : members) size_ = std::max(size_, static_cast<int64_t>(own.size()));
    for (size_t b = 0; b < members.size(); ++b) {
      for (const int32_t token : members[b]) window_of_.at(token) = static_cast<int32_t>(b);
      tokens_.insert(tokens_.end(), members[b].begin(), members[b].end());
      tokens_.resize((b + 1) * size_, static_cast<int32_t>(keys));   // the row of zeros behind the last key
    }
  }

  // x (B,1,S,C) → (B,1,N,C), the sum over each window.
  Tensor summed(const Tensor& x) const {
    const Tensor all = index_select(pad(x, 2, 0, 1), 2, indices(tokens_, x));
    return sum(reshape(all, {x.size(0), 1, count_, size_, x.size(3)}), 3);
  }

  // x (…,N) → (…,S), to each key what its window has.
  Tensor spread(const Tensor& x) const { return index_select(x, -1, indices(window_of_, x)); }

 private:
  static Tensor indices(const std::vector<int32_t>& values, const Tensor& x) {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}, x.device());
  }

  int64_t count_, size_ = 0;
  std::vector<int32_t> tokens_, window_of_;   // (N·m), (S)
};

Windows windows_of_sequence(int64_t keys, int64_t r) {
  std::vector<std::vector<int32_t>> members((keys + r - 1) / r);
  for (int64_t s = 0; s < keys; ++s) members[s / r].push_back(static_cast<int32_t>(s));
  return Windows(members, keys);
}

Windows windows_of_grid(const nn::Places& places, int64_t r) {
  const int64_t across = (places.columns + r - 1) / r, alone = places.class_tokens;
  std::vector<std::vector<int32_t>> members(alone + (places.rows + r - 1) / r * across);
  for (int64_t s = 0; s < places.tokens(); ++s) {
    const int64_t cell = s - alone, row = cell / places.columns, column = cell % places.columns;
    members[cell < 0 ? s : alone + row / r * across + column / r].push_back(static_cast<int32_t>(s));
  }
  return Windows(members, places.tokens());
}

// Under a causal mask query t reads the (t + 1)/r windows that have ended. Queries are put into groups that read the same ones,
// (B,1,T,C) → (B,r,U,C), so that group u is query u of a causal mask. Without a mask r is 1.
struct Groups {
  Groups(int64_t queries, int64_t offset, int64_t r)
      : queries_(queries), r_(r), front_((offset + 1) % r), count_((front_ + queries + r - 1) / r) {}

  Tensor join(const Tensor& x) const {
    const Tensor padded = pad(x, 2, front_, r_ * count_ - front_ - queries_);
    return transpose(reshape(padded, {x.size(0), count_, r_, x.size(3)}), 1, 2);
  }
  Tensor part(const Tensor& x) const {
    return slice(reshape(transpose(x, 1, 2), {x.size(0), 1, count_ * r_, x.size(3)}), 2, front_, queries_);
  }

 private:
  const int64_t queries_, r_, front_, count_;
};

class ScaledHeads final : public StagedAttention {
 public:
  ScaledHeads(const AttentionShOptions& options, const MixerShape& shape)
      : StagedAttention(shape),
        options_(options),
        beta_(options.normalised && options.learned
                  ? &parameter("beta", {shape.heads}, nn::ParameterKind::gain, nn::Init::constant(options.beta))
                  : nullptr) {}

  nn::Needs needs() const override {   // heads before the first window of several keys are the dot product's
    const auto larger = std::find_if(options_.factors.begin(), options_.factors.end(), [](int64_t r) { return r > 1; });
    const int64_t heads = larger == options_.factors.end() ? 1 : std::distance(options_.factors.begin(), larger) + 1;
    return {.all_tokens = shape_.places.on_grid(), .any_distance = true, .order = true, .heads = heads};
  }
  bool accepts(nn::Positions positions) const override { return !nn::is_bias(positions); }

 private:
  struct Head {
    Tensor y, weights;   // (B,1,T,D); (B,1,T,S), of keys, where a recorder wants them
  };

  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache*) const override {
    const int64_t T = Q.size(2), S = K.size(2), offset = call.mask.offset;
    require(
        !call.mask.causal || (offset >= 0 && offset + T <= S), "attention_sh",
        [&] {
          return text("under a causal mask queries are keys too, got ", T, " of them at offset ", offset, " for ", S, " keys");
        },
        "give the keys of the queries, after those of earlier tokens");
    require(!shape_.places.on_grid() || S == shape_.places.tokens(), "attention_sh",
            [&] { return text("the grid has ", shape_.places.tokens(), " tokens, got ", S, " keys"); });
    std::vector<Tensor> results, weights;
    for (int64_t h = 0; h < shape_.heads; ++h) {
      const auto own = [&](const Tensor& x) { return slice(x, 1, h, 1); };
      const Head head = scaled(own(Q), own(K), own(V), call, options_.factors[h % options_.factors.size()],
                               beta_ ? slice(beta_->value, 0, h, 1) : Tensor());
      results.push_back(head.y);
      weights.push_back(head.weights);
    }
    if (call.records("weights")) call.record("weights", concat(weights, 1));
    return concat(results, 1);
  }

  Head scaled(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, int64_t r, const Tensor& beta) const {
    const Mask& mask = call.mask;
    const int64_t B = K.size(0), T = Q.size(2), S = K.size(2), D = K.size(3);
    const Tensor there = expand(keys_there(mask, S, K), {B, 1, S, 1});
    const Windows windows = shape_.places.on_grid() ? windows_of_grid(shape_.places, r) : windows_of_sequence(S, r);
    const Tensor found = windows.summed(there), count = clamp(found, 1, HUGE_VAL);   // (B,1,N,1)
    const Tensor keys = div(windows.summed(K), count), values = div(windows.summed(V), count);
    const int64_t N = keys.size(2);

    const Groups groups(T, mask.causal ? mask.offset : 0, mask.causal ? r : 1);
    const Mask ended{mask.causal, (mask.offset + 1) / r - 1, reshape(greater(found, 0), {B, N})};
    const Tensor joined = groups.join(Q);
    const Tensor queries = options_.normalised ? normalised_by_keys(joined, keys, ended, options_, beta) : joined;
    Tensor E = scores(queries, keys, call), A, own;   // (B,r,U,N), (B,1,T,1)
    if (!mask.causal || r == 1) {
      A = softmax(E, ended);
    } else {   // the query's own key is the first one
      const auto of_queries = [&](const Tensor& x) { return groups.join(slice(x, 2, mask.offset, T)); };
      const Tensor score = affine(sum(mul(queries, of_queries(K)), -1, true), 1 / std::sqrt(static_cast<double>(D)), 0);
      const Tensor hidden = Tensor::full({}, below_all_scores, K.dtype(), K.device());
      E = concat({where(greater(of_queries(there), 0), score, hidden), E}, -1);
      const Tensor first = Tensor::full({B, 1}, 1, DType::u8, K.device());
      const Tensor all = softmax(E, {true, ended.offset + 1, concat({first, ended.keys}, 1)});
      A = slice(all, -1, 1, N);
      own = groups.part(slice(all, -1, 0, 1));
    }
    Head head{groups.part(tapir::mix(A, expand(values, {B, A.size(1), N, D}), ended)), {}};
    if (own.defined()) head.y = add(head.y, mul(own, slice(V, 2, mask.offset, T)));
    if (call.records("weights")) {
      head.weights = windows.spread(div(groups.part(A), transpose(count)));
      if (own.defined()) head.weights = add(head.weights, on_diagonal(own, S, mask.offset));
      head.weights = mul(head.weights, transpose(there));
    }
    return head;
  }

  // x (B,1,T,1) → (B,1,T,S), x_t at s = t + offset.
  static Tensor on_diagonal(const Tensor& x, int64_t S, int64_t offset) {
    return triu(tril(expand(x, {x.size(0), 1, x.size(2), S}), offset), offset);
  }

  const AttentionShOptions options_;
  nn::Parameter* const beta_;   // (H)
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_attention_sh(const AttentionShOptions& options, const MixerShape& shape) {
  nn::require_allowed("attention_sh", options);
  return std::make_unique<ScaledHeads>(options, shape);
}

Mechanism attention_sh_row() {
  return row_of<AttentionShOptions>(
      {.name = "attention_sh",
       .title = "Attention-SH, scaled heads",
       .paper = "Nguyen et al. 2023, arXiv 2406.13781",
       .equation = "o_i = Σ_b softmax_b(q_i·k̄_b / √D) v̄_b, means over windows of r_h keys",
       .cost = "4 D/r_h operations a pair; memory T × S/r_h"},
      [](const AttentionShOptions& options) {   // windows depend on the order of tokens
        Claims claims = and_exact(staged_claims);
        claims.equivariant = std::all_of(options.factors.begin(), options.factors.end(), [](int64_t r) { return r == 1; });
        return claims;
      },
      make_attention_sh);
}

}  // namespace tapir

#include "attention/mechanisms/attention_bn.h"

#include <cmath>

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

// Of keys over the tokens that count: of all (B,H,1,D), or of those up to each query (B,H,T,D); and how many they are.
struct Moments {
  Tensor mean, variance, count;
};

Moments moments(const Tensor& K, int64_t T, const Mask& mask, double prior) {
  const Tensor there = keys_there(mask, K.size(2), K);
  const auto at_least_one = [](const Tensor& count) { return clamp(count, 1, HUGE_VAL); };
  if (!mask.causal) {
    const Tensor count = sum(there, 2, true), some = at_least_one(count), mean = div(sum(K, 2, true), some);
    return {mean, div(sum(mul(square(sub(K, mean)), there), 2, true), some), count};
  }
  const auto up_to_each = [&](const Tensor& x) { return sum_to_each(x, T, mask); };
  // Of what is left of the first key: a common shift of all keys costs no digits.
  const Tensor origin = slice(K, 2, 0, 1), K0 = mul(sub(K, origin), there), count = up_to_each(there);
  const Tensor some = at_least_one(count), mean = div(up_to_each(K0), some), spread = up_to_each(mul(K0, K0));
  const Tensor squares = sub(spread, mul(some, square(mean)));   // Σ (k − μ)²
  return {add(mean, origin), div(affine(squares, 1, prior), affine(some, 1, prior)), count};
}

class BatchNormalised final : public StagedAttention {
 public:
  BatchNormalised(const AttentionBnOptions& options, const MixerShape& shape)
      : StagedAttention(shape, options.fused()),
        options_(options),
        beta_(options.learned ? &parameter("beta", {shape.heads}, nn::ParameterKind::gain, nn::Init::constant(options.beta))
                              : nullptr) {}

  nn::Needs needs() const override { return {.any_distance = true}; }   // moments are those of all keys up to the query

 private:
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    const Tensor beta = beta_ ? beta_->value : Tensor();
    return StagedAttention::mixed(normalised_by_keys(Q, K, call.mask, options_, beta), K, V, call, cache);
  }

  const AttentionBnOptions options_;
  nn::Parameter* const beta_;   // (H)
};

}  // namespace

Tensor normalised_by_keys(const Tensor& Q, const Tensor& K, const Mask& mask, const KeyNormalisation& options,
                          const Tensor& beta) {
  const auto [mean, variance, count] = moments(K, Q.size(2), mask, options.prior);
  const Tensor shift = beta.defined() ? mul(mean, reshape(beta, {-1, 1, 1})) : affine(mean, options.beta, 0);
  const Tensor centred = sub(Q, shift);
  return where(greater(count, 0), options.deviation == "divide" ? div(centred, affine(variance, 1, options.epsilon))
                                                                : mul(centred, variance), Q);
}

std::unique_ptr<nn::TokenMixer> make_attention_bn(const AttentionBnOptions& options, const MixerShape& shape) {
  nn::require_allowed("attention_bn", options);
  return std::make_unique<BatchNormalised>(options, shape);
}

Mechanism attention_bn_row() {
  return row_of<AttentionBnOptions>(
      {.name = "attention_bn",
       .title = "Attention-BN",
       .paper = "Nguyen et al. 2023, arXiv 2406.13781",
       .equation = "s_ij = (q_i − β μ)·(k_j/σ²) / √D, μ and σ of the keys",
       .cost = "4 D operations a pair; memory T × S, fused T + S"},
      and_exact(staged_claims),
      make_attention_bn);
}

}  // namespace tapir

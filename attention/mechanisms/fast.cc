#include "attention/mechanisms/fast.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

// x/√(‖x‖² + ε) with the ε of layer norms: |s| < 1, so 1 + s stays positive for opposite tokens too.
Tensor over_own_norm(const Tensor& x) { return div(x, sqrt(affine(sum(square(x), -1, true), 1, 1e-5))); }

// x / max_n ‖x_n‖; tokens that are all zeros stay so.
Tensor over_largest_norm(const Tensor& x) {
  const Tensor largest = max(norm(x, 2, -1, true), 2, true);
  return div(x, where(greater(largest, 0), largest, Tensor::full({}, 1, x.dtype(), x.device())));
}

Tensor less_own_mean(const Tensor& x) { return sub(x, mean(x, -1, true)); }

Tensor over_own_deviation(const Tensor& x) { return div(x, sqrt(affine(mean(square(x), -1, true), 1, 1e-5))); }   // of mean 0

// Less the mean of the tokens that are there; the others are 0, before and after.
Tensor less_mean_token(const Tensor& x, const Mask& mask) {
  const Tensor count = clamp(sum(keys_there(mask, x.size(2), x), 2, true), 1, HUGE_VAL);
  return without_hidden(sub(x, div(sum(x, 2, true), count)), mask);
}

class Fast final : public StateAttention {
 public:
  Fast(const FastOptions& options, const MixerShape& shape)
      : StateAttention(shape, options.chunk),
        options_(options),
        scale_(options.normalisation != "none" ? 1 : 1 / std::sqrt(8 * std::sqrt(static_cast<double>(shape.head_channels())))) {
    const auto D = static_cast<int32_t>(shape.head_channels());
    const auto add_feature = [&](int32_t left, int32_t right) {
      left_.push_back(left);
      right_.push_back(right);
    };
    for (int32_t a = 0; a <= D; ++a) add_feature(0, a);
    for (int32_t a = 1; a <= D && options.order == 2; ++a)
      for (int32_t b = a; b <= D; ++b) add_feature(a == b ? D + a : a, b);
  }

  // The largest norm is that of all tokens; which queries are there is known where keys are the same tokens.
  nn::Needs needs() const override {
    return {.self = options_.over_tokens(), .all_tokens = options_.over_tokens(), .any_distance = true};
  }

 private:
  // Turning keeps norms, and does not keep means: normalised first.
  Tensor placed(const Tensor& x, int64_t begin, const nn::Call& call) const override {
    return StateAttention::placed(normalised(x, call.mask), begin, call);
  }

  Tensor normalised(const Tensor& x, const Mask& mask) const {
    if (options_.normalisation == "none") return x;
    if (options_.normalisation == "per_token") return over_own_norm(less_own_mean(x));
    if (options_.normalisation == "standardised") return over_own_deviation(less_own_mean(x));
    const Tensor there = without_hidden(x, mask);
    if (options_.normalisation == "max_norm") return over_largest_norm(there);
    return over_largest_norm(options_.normalisation == "centred_max_norm" ? less_own_mean(there)
                                                                          : less_mean_token(there, mask));
  }

  // φ: each feature is a product of two entries of [1, x/√t, x/√(2 t)].
  Tensor query_features(const Tensor& x, const nn::Call&) const override {
    const Tensor scaled = affine(x, scale_, 0);
    const Tensor one = Tensor::full({x.size(0), x.size(1), x.size(2), 1}, 1, x.dtype(), x.device());
    const Tensor entries = concat({one, scaled, affine(scaled, 1 / std::numbers::sqrt2, 0)}, -1);
    const auto chosen = [&](const std::vector<int32_t>& places) {
      return index_select(entries, -1, Tensor::from(places, {static_cast<int64_t>(places.size())}, x.device()));
    };
    return mul(chosen(left_), chosen(right_));
  }

  const FastOptions options_;
  const double scale_;   // 1/√t
  std::vector<int32_t> left_, right_;   // of every feature: the places of its factors
};

}  // namespace

std::unique_ptr<StateAttention> make_fast(const FastOptions& options, const MixerShape& shape) {
  nn::require_allowed("fast", options);
  return std::make_unique<Fast>(options, shape);
}

Mechanism fast_row() {
  return row_of<FastOptions>(
      {.name = "fast",
       .title = "FAST, polynomial attention",
       .paper = "Gerami et al. 2024, arXiv 2402.07901",
       .equation = "a_ij = f(s_ij) / Σ_n f(s_in), f(s) = 1 + s + s²/2, s_ij = q̂_i·k̂_j",
       .cost = "2 D³ operations a token and head (order 2), 4 D² (order 1); memory T"},
      [](const FastOptions& options) {
        Claims claims = and_exact(staged_claims);
        claims.distribution = options.order == 2 || options.bounded();
        claims.causal = claims.streaming = !options.over_tokens();
        claims.linear = true;
        return claims;
      },
      make_fast);
}

}  // namespace tapir

#include "attention/mechanisms/delta_rule.h"

#include "attention/heads.h"
#include "attention/lower_triangular.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/layers/norm.h"

namespace tapir {
namespace {

// A key has what its rate is made of beside it, (k, z).
class DeltaRule final : public RecurrentAttention {
 public:
  DeltaRule(const DeltaRuleOptions& options, const MixerShape& shape)
      : RecurrentAttention(shape, options.chunk),
        sum_(options.keys == "sum"),
        rate_(child<nn::Linear>("rate", shape.width, shape.key_head_count(), false, nn::Init::normal(0.02))),
        norm_(sum_ ? nullptr : &child<nn::RmsNorm>("norm", shape.head_channels(), 1e-5)) {}

 private:
  Tensor project(Projection which, const Tensor& x) const override {
    const Tensor own = RecurrentAttention::project(which, x);
    return which == Projection::key ? beside(own, rate_.forward(x), shape_.key_head_count()) : own;
  }

  Tensor features(const Tensor& x) const {
    if (sum_) {
      const Tensor positive = affine(elu(x), 1, 1), total = sum(positive, -1, true);   // 0 where all are far below 0
      return div(positive, where(greater(total, 0), total, Tensor::full({}, 1, x.dtype(), x.device())));
    }
    const Tensor y = silu(x);
    return mul(y, rsqrt(affine(sum(square(y), -1, true), 1, 1e-6)));
  }

  Tensor queries(const Tensor& Q) const override { return features(Q); }
  Tensor keys(const Tensor& K) const override {   // (k, β)
    return concat({features(own(K)), sigmoid(other(K))}, -1);
  }
  Tensor values(const Tensor& V) const override { return sum_ ? V : silu(V); }

  // Of L tokens, w_t = β_t (v_t − k_t S_{t−1}) are the rows of  R (V − K S),  R = (I + tril(β K Kᵀ, −1))⁻¹ diag(β)
  // (2406.06484, the WY representation of products of Householder-like matrices).
  Tokens tokens(const Tensor& q, const Tensor& keys) const override {
    const Tensor k = own(keys), beta = other(keys), of_keys = transpose(k);
    const Tensor R = mul(inverse_of_unit_lower(mul(beta, matmul(k, of_keys))), transpose(beta));
    const Tensor RK = lower_times(R, k), products = tril(matmul(q, of_keys));
    const int64_t F = k.size(-1);
    const Tensor ones = Tensor::full({1, 1, 1, F}, 1, k.dtype(), k.device());
    return {.pairs = lower_times(products, R), .reads = sub(q, lower_times(products, RK)),
            .keeps = sub(diagonal(ones), matmul(of_keys, RK)), .writes = matmul(of_keys, R)};
  }

  Tensor result(const Tensor& y, const Tensor&) const override { return norm_ ? norm_->forward(y) : y; }

  static Tensor own(const Tensor& x) { return slice(x, -1, 0, x.size(-1) - 1); }
  static Tensor other(const Tensor& x) { return slice(x, -1, x.size(-1) - 1, 1); }

  const bool sum_;
  const nn::Linear& rate_;
  const nn::RmsNorm* const norm_;
};

}  // namespace

std::unique_ptr<RecurrentAttention> make_delta_rule(const DeltaRuleOptions& options, const MixerShape& shape) {
  nn::require_allowed("delta_rule", options);
  return std::make_unique<DeltaRule>(options, shape);
}

Mechanism delta_rule_row() {
  return row_of<DeltaRuleOptions>(
      {.name = "delta_rule",
       .title = "DeltaNet",
       .paper = "Yang et al. 2024, arXiv 2406.06484; Schlag et al. 2021, arXiv 2102.11174",
       .equation = "S_t = S_{t−1} + β_t k_tᵀ (v_t − k_t S_{t−1}), y_t = q_t S_t",
       .cost = "8 D² operations a token and head; memory T"},
      recurrent_claims,
      make_delta_rule);
}

}  // namespace tapir

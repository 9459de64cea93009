#include "attention/mechanisms/linear.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

class LinearAttention final : public StateAttention {
 public:
  LinearAttention(const LinearOptions& options, const MixerShape& shape)
      : StateAttention(shape, options.chunk), epsilon_(options.epsilon) {}

 private:
  Tensor query_features(const Tensor& x, const nn::Call&) const override { return affine(elu(x), 1, 1); }
  double epsilon() const override { return epsilon_; }

  const double epsilon_;
};

}  // namespace

std::unique_ptr<StateAttention> make_linear(const LinearOptions& options, const MixerShape& shape) {
  nn::require_allowed("linear", options);
  return std::make_unique<LinearAttention>(options, shape);
}

Mechanism linear_row() {
  return row_of<LinearOptions>(
      {.name = "linear",
       .title = "Linear attention",
       .paper = "Katharopoulos et al. 2020, arXiv 2006.16236",
       .equation = "y_i = φ(q_i) Σ_j φ(k_j) v_jᵀ / φ(q_i)·Σ_j φ(k_j), φ = elu + 1",
       .cost = "4 D² operations a token and head; memory T"},
      [](const LinearOptions& options) {   // with ε a row sums to less than 1
        Claims claims = and_exact(staged_claims);
        claims.distribution = options.epsilon == 0;
        claims.linear = true;
        return claims;
      },
      make_linear);
}

}  // namespace tapir

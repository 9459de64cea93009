#include "attention/mechanisms/linear.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

class LinearAttention final : public StateAttention {
 public:
  LinearAttention(const LinearOptions& options, const MixerShape& shape)
      : StateAttention(shape, options.chunk), epsilon_(options.epsilon) {}

  // A bias of places is a term of scores, and there are none.
  bool accepts(nn::Positions positions) const override { return !nn::is_bias(positions); }

 private:
  Tensor query_features(const Tensor& Q, const nn::Call&) const override { return affine(elu(Q), 1, 1); }
  Tensor key_features(const Tensor& K, const nn::Call&) const override { return affine(elu(K), 1, 1); }
  double epsilon() const override { return epsilon_; }

  const double epsilon_;
};

}  // namespace

std::unique_ptr<StateAttention> make_linear(const LinearOptions& options, const MixerShape& shape) {
  nn::require_allowed("linear", options);
  return std::make_unique<LinearAttention>(options, shape);
}

Mechanism linear_row() {
  Mechanism row{.name = "linear",
                .title = "Linear attention",
                .paper = "Katharopoulos et al. 2020, arXiv 2006.16236",
                .equation = "y_i = φ(q_i) Σ_j φ(k_j) v_jᵀ / φ(q_i)·Σ_j φ(k_j), φ = elu + 1",
                .cost = "4 D² operations a token and head; memory T",
                .claims =
                    [](const nn::Options& options) {   // with ε a row sums to less than 1
                      Claims claims = and_exact(staged_claims);
                      claims.distribution = dynamic_cast<const LinearOptions&>(options).epsilon == 0;
                      claims.linear = true;
                      return claims;
                    },
                .options = {}, .make = {}};
  set_maker<LinearOptions>(row, make_linear);
  return row;
}

}  // namespace tapir

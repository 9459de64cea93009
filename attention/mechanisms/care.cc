#include "attention/mechanisms/care.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

using Replaced = std::set<Projection>;

class Care final : public StateAttention {
 public:
  Care(const CareOptions& options, const MixerShape& shape)
      : StateAttention(shape, options.chunk, Divisor::mean_weight,
                       options.projections == "all" ? Replaced{} : Replaced{Projection::value, Projection::out}),
        all_(options.projections == "all") {
    const int64_t H = shape.heads, G = shape.key_head_count(), D = shape.head_channels();
    require(
        all_ || (H * D == shape.width && G == H), "care",
        [&] {
          return text("values are the tokens themselves, ", shape.width, " channels, but queries have ", H, " heads of ", D,
                      ", keys ", G);
        },
        "set projections = \"all\", or no head_width and no key_heads");
  }

 private:
  Tensor project(Projection which, const Tensor& x) const override {
    const bool projects = all_ || which == Projection::query || which == Projection::key;
    return projects ? StateAttention::project(which, x) : x;
  }

  Tensor query_features(const Tensor& x, const nn::Call&) const override { return affine(elu(x), 1, 1); }
  double epsilon() const override { return 1e-6; }

  const bool all_;
};

}  // namespace

std::unique_ptr<StateAttention> make_care(const CareOptions& options, const MixerShape& shape) {
  nn::require_allowed("care", options);
  return std::make_unique<Care>(options, shape);
}

Mechanism care_row() {
  Claims claims = and_exact(staged_claims);
  claims.distribution = false;   // with ε a row sums to less than 1
  claims.linear = true;
  return row_of<CareOptions>(
      {.name = "care",
       .title = "CARE's linear attention",
       .paper = "Zhou et al. 2024, arXiv 2411.16170",
       .equation = "y_i = φ(q_i) Σ_j φ(k_j) v_jᵀ / Σ_j (φ(q_i)·φ(k_j) + ε), φ = elu + 1",
       .cost = "4 D² operations a token and head; memory T"},
      claims,
      make_care);
}

}  // namespace tapir

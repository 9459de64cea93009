// Kerple, logarithmic (Chi, Fan, Ramadge & Rudnicky 2022, arXiv 2205.09921):
//   b_ts = −r₁ log(1 + r₂ |t − s|),   r₁, r₂ > 0 of each head, learned
#pragma once
#include "attention/position_bias.h"

namespace tapir {

// r₁ = |ρ₁|, r₂ = |ρ₂|: never negative, and no value of ρ but 0 is without a gradient (the authors' code clamps r to 0.01 in
// place). At first r₁ is uniform in (0, 2) and r₂ in (0, 1), as in that code.
struct KerpleLog final : PositionBias {
  explicit KerpleLog(int64_t heads);
  Tensor forward(const Tensor& E, int64_t offset) const override;

  nn::Parameter &r1, &r2;   // ρ (H)
};

}  // namespace tapir

// FIRE, functional interpolation for relative positions (Li et al. 2023, arXiv 2310.04418):
//   b_ts = f(ψ(|t − s|) / ψ(max(t, L))),   ψ(x) = log(1 + c x),   f a network of one hidden layer, with an output for each head
// c and the threshold L are learned. However long the sequence, a causal query asks f for numbers from 0 to 1.
#pragma once
#include "attention/position_bias.h"
#include "nn/layers/linear.h"

namespace tapir {

// As in the paper's code: c = |c′|, 0.1 at first; L = |L′| 512, L′ = 1 at first; 32 hidden units, ReLU; 10⁻⁶ is added to
// what divides. t is the query's place, also where it looks ahead: there the share may exceed 1. The bias of `out` is the same for all keys, and
// softmax does not see it.
struct Fire final : PositionBias {
  explicit Fire(int64_t heads);
  Tensor forward(const Tensor& E, int64_t offset) const override;

  nn::Parameter &c, &threshold;   // c′, L′ (1)
  nn::Linear &hidden, &out;       // f
};

}  // namespace tapir

// Weights of Expressive Attention from squared scores: rows of a normaliser without exp and without a maximum.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/mask.h"
#include "tensor/tensor.h"

namespace tapir {

// A_ts = d_ts g_ts / Σ_allowed d_ts′ g_ts′,  g = z²/(1 + z²);  d_ts = exp(−m_h |t + offset − s|) with `alibi`, else 1
// m_h = 2^(−8h/H), h = 1 … H, for every H. Where H is a power of two these are the slopes of Press et al. 2022; for other H
// their code takes others (alibi.h).
//
// scores z (B,H,T,S), returns the same shape. What the mask forbids is never read: its weight is set to 0 after the map. A
// row is 0, and so is its gradient, where no key is allowed and where every allowed z² (times d) is 0 or underflows.
// Throws Error for scores of another rank and a mask that does not fit. Differentiable twice.
//
// A is the softmax of log(d g), and (log g)′ = 2/(z (1 + z²)):   dz_ts = A_ts (g_ts − Σ g A) · 2/(z_ts (1 + z_ts²))
Tensor expressive_weights(const Tensor& scores, const Mask& mask, Flag alibi);

struct ExpressiveWeights;
using ExpressiveWeightsOps = OpList<ExpressiveWeights>;
template <OneOf<ExpressiveWeightsOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// Turns the pairs (x_2i, x_2i+1) of token t by the angle (t + offset) θ_i, θ_i = 10000^(−2i/D), as in the paper's eq. 34:
//   y_2i = x_2i cos − x_2i+1 sin,   y_2i+1 = x_2i sin + x_2i+1 cos
// so that ⟨rotary(q)_t, rotary(k)_s⟩ depends on q, k and t − s alone. Neighbours form a pair; other code pairs x_i with
// x_{i+D/2}, which is the same up to an order of channels that the projections can learn.
// x (…,T,D) → (…,T,D). Throws Error unless D is even and |offset| ≤ 2⁵³.
Tensor rotary(const Tensor& x, Count offset = 0);

struct Rotary;
using RotaryOps = OpList<Rotary>;
template <OneOf<RotaryOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

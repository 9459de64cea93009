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

// On a grid: x (…,N,D), N = class_tokens + rows · columns, cells row by row. The first D/2 channels of a cell are turned by its
// row, the others by its column, each with the angles of rotary() for D/2 channels; class tokens are left as they are.
// (Axial rotary embedding, Heo et al. 2024, arXiv 2403.13298, eq. 6, with the base 10000.) Throws Error unless N fits and 4
// divides D.
Tensor rotary_grid(const Tensor& x, Count class_tokens, Count rows, Count columns);

struct Rotary;
using RotaryOps = OpList<Rotary>;
template <OneOf<RotaryOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

// Values between the elements along an axis, and images of other sizes.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// n elements along the axis become `size`, each on the straight line between its two neighbours; 1 ≤ n, size ≤ 2³⁰. Without
// align_corners the elements are cells, and both rows of cells have the same ends: y_o lies at (o + ½) n/size − ½, no further
// out than the first and the last element. With it those are at the same place: y_o lies at o (n − 1)/(size − 1). As PyTorch's
// interpolate with the mode "linear": no smoothing where there are fewer.
Tensor interpolate(const Tensor& x, Axis axis, Count size, Flag align_corners = false);
// The adjoint: from the shape of interpolate(x, axis, …) to that of x, which has `size` along the axis.
Tensor interpolate_adjoint(const Tensor& y, Axis axis, Count size, Flag align_corners = false);
// x (B,H,W,C) → (B,height,width,C): the same along H and along W; PyTorch's mode "bilinear", without antialiasing
Tensor bilinear(const Tensor& x, Count height, Count width, Flag align_corners = false);

struct Interpolate;
struct InterpolateAdjoint;
using InterpolationOps = OpList<Interpolate, InterpolateAdjoint>;
template <OneOf<InterpolationOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

// Shapes: views without a copy up to expand, and permute.
#pragma once
#include <vector>

#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor reshape(const Tensor& x, const Shape& shape);                          // one extent may be −1: what is left
Tensor transpose(const Tensor& x, Axis a = -2, Axis b = -1);                  // axes a and b change places
Tensor slice(const Tensor& x, Axis axis, Count begin, Count length);
Tensor expand(const Tensor& x, const Shape& shape);                           // repeats axes of extent 1
Tensor concat(const std::vector<Tensor>& parts, Axis axis);
Tensor stack(const std::vector<Tensor>& parts, Axis axis);                    // equal shapes; axis: the new one, in y
Tensor pad(const Tensor& x, Axis axis, Count before, Count after);            // zeros around
Tensor permute(const Tensor& x, const std::vector<int>& axes);                // axis a of y is axis axes[a] of x
Tensor flip(const Tensor& x, Axis axis);                                      // a copy, last element first
// Images x (B,H,W,C r²) → (B,H r,W r,C), r ≥ 1, and back (Shi et al. 2016, eq. 4): y[b][h r + i][w r + j][c] is
// x[b][h][w][c r² + i r + j]. The channels have PyTorch's order, though they are the last axis here, not the second.
Tensor pixel_shuffle(const Tensor& x, Count r);
Tensor pixel_unshuffle(const Tensor& y, Count r);
// Of the last two axes, (…,M,N): a copy where j − i ≤ k (tril) or j − i ≥ k (triu), else exactly 0, even where x is NaN.
Tensor tril(const Tensor& x, Count k = 0);
Tensor triu(const Tensor& x, Count k = 0);

struct Reshape;
struct Transpose;
struct Slice;
struct Pad;
struct Expand;
struct Concat;
struct Flip;
struct Tril;
struct Triu;
using ShapeOps = OpList<Reshape, Transpose, Slice, Pad, Expand, Concat, Flip, Tril, Triu>;
template <OneOf<ShapeOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

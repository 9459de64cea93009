// Views: new shapes and strides over the same storage, at no cost. They carry no gradient; autograd/ops wraps them.
#pragma once
#include "tensor/tensor.h"

namespace tapir::view {

// Axes a and b change places.
Tensor transpose(const Tensor& x, int a, int b);

// Elements begin … begin + length − 1 of an axis. Throws Error when they are not all there.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t length);

// x repeated along axes of extent 1, and along new axes in front, to `shape` (stride 0). Throws Error if it does not fit.
Tensor expand(const Tensor& x, const Shape& shape);

// The same elements in row-major order as `shape`; one extent may be −1: what is left. A view where the strides allow one,
// else a copy. Throws Error if the numbers of elements differ.
Tensor reshape(const Tensor& x, const Shape& shape);

// `shape` with its −1, if any, replaced by what is left of `elements`. Throws Error if that is impossible.
Shape resolve(const Shape& shape, const Tensor& x);

}  // namespace tapir::view

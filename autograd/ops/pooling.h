// Pooling of images that have their channels last, (B,H,W,C). Global pooling is a mean or a maximum over two axes:
// mean(mean(x, 1), 1).
#pragma once
#include "autograd/ops/patches.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// The largest number of each window of `rows` × `columns` places, (B,H,W,C) → (B,H',W',C) as unfold has it; places beside the
// image are none. A tie's gradient goes to the first in the order of rows, NaN is larger than every number, and of several the
// last counts. padding < kernel, dilation 1 (else Error).
Tensor max_pool2d(const Tensor& x, Count rows, Count columns, const PatchOptions& options);

// The sum over each window, divided by rows · columns: zeros beside the image count.
Tensor average_pool2d(const Tensor& x, Count rows, Count columns, const PatchOptions& options);

// The means over height × width windows that cover the image: window i of n has the places ⌊i H/n⌋ … ⌈(i + 1) H/n⌉ − 1, n ≤ H.
Tensor adaptive_average_pool2d(const Tensor& x, Count height, Count width);

}  // namespace tapir

// Comparisons, element by element: u8, 1 where they hold, else 0, as where() takes it. They have no gradient and make no node.
#pragma once
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// a and b of one type, whichever, are broadcast. NaN is not less, not greater and not equal, −0 is 0 (IEEE 754).
Tensor less(const Tensor& a, const Tensor& b);                                // a < b
Tensor less_equal(const Tensor& a, const Tensor& b);                          // a ≤ b
Tensor greater(const Tensor& a, const Tensor& b);                             // a > b
Tensor greater_equal(const Tensor& a, const Tensor& b);                       // a ≥ b
Tensor equal(const Tensor& a, const Tensor& b);                               // a = b
Tensor not_equal(const Tensor& a, const Tensor& b);                           // a ≠ b

// A number takes the type of x where that is f32 or f64; whole numbers are compared with it as it is. It may be infinite.
Tensor less(const Tensor& x, Number number);
Tensor less_equal(const Tensor& x, Number number);
Tensor greater(const Tensor& x, Number number);
Tensor greater_equal(const Tensor& x, Number number);
Tensor equal(const Tensor& x, Number number);
Tensor not_equal(const Tensor& x, Number number);

}  // namespace tapir

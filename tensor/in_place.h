// Writes to a whole tensor, in place and without gradient. Each counts as a write to y.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

void fill_(Tensor& y, double value);
void copy_(Tensor& y, const Tensor& x);   // y = x, converting; x broadcasts to y's shape; any device
void add_(Tensor& y, const Tensor& x);   // y += x
void scale_(Tensor& y, double factor);   // y *= factor

}  // namespace tapir

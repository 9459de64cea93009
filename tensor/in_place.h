// Writes to a whole tensor, in place and without gradient: for leaves and buffers. Each counts as a write to y. Throws Error
// where a gradient would be wrong or lost: backward passes through y or through memory that y is a view of; ops record, and x
// has a graph.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

void fill_(Tensor& y, double value);
void copy_(Tensor& y, const Tensor& x);   // y = x, converting; x broadcasts to y's shape; any device
void add_(Tensor& y, const Tensor& x);   // y += x
void scale_(Tensor& y, double factor);   // y *= factor

// What every function that writes into `y` checks first. Throws Error, named after `op`, where backward passes through y.
void require_no_backward_through(const char* op, const Tensor& y, const char* hint);

}  // namespace tapir

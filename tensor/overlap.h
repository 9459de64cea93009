// Which places of memory views share. Every function that writes in place asks before it does.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

bool overlaps_itself(const Tensor& x);             // two elements of x lie at one place, as along an expanded axis
bool overlap(const Tensor& x, const Tensor& y);    // an element of x lies where one of y does

// Throws an Error named after `function`, which writes y, if y is undefined or overlaps itself.
void require_target(const char* function, const Tensor& y);

// Throws an Error named after `function`, which writes y_i = f(x_i, …), if x, which expands to y's shape, overlaps y in another
// way than that x_i lies where y_i does, for every i.
void require_apart(const char* function, const Tensor& y, const Tensor& x);

}  // namespace tapir

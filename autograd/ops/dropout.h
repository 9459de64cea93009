// Dropout.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/philox.h"
#include "tensor/tensor.h"

namespace tapir {

// y = x/(1 − p) with probability 1 − p, else 0, p in [0, 1); element i draws Philox at (key, i)   Srivastava et al. 2014
Tensor dropout(const Tensor& x, Number p, const RandomKey& key);

struct Dropout;
using DropoutOps = OpList<Dropout>;
template <OneOf<DropoutOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

// Group normalisation.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// As layer_norm, but mean and variance are those of one of `groups` groups of consecutive channels, over all their places.
// x (B,C,…), weight and bias (C), groups divides C                                              Wu & He 2018, eq. 7
Tensor group_norm(const Tensor& x, Count groups, const Tensor& weight, const Tensor& bias, Number epsilon = 1e-5);

struct GroupNorm;
using GroupNormOps = OpList<GroupNorm>;
template <OneOf<GroupNormOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

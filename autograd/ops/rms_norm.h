// Root mean square normalisation.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// y = weight x/√(mean x² + epsilon) along the last axis; weight (C)                          Zhang & Sennrich 2019, eq. 4
Tensor rms_norm(const Tensor& x, const Tensor& weight, Number epsilon = 1e-6);

struct RmsNorm;
using RmsNormOps = OpList<RmsNorm>;
template <OneOf<RmsNormOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

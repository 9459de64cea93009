// Layer normalisation.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// y = weight (x − mean)/√(variance + epsilon) + bias along the last axis; weight, bias (C)      Ba et al. 2016, eq. 4
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Number epsilon = 1e-5);

struct LayerNorm;
using LayerNormOps = OpList<LayerNorm>;
template <OneOf<LayerNormOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

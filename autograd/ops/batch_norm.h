// Batch normalisation.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// As layer_norm, but for each channel (an index of `axis`, C of them) over all else; weight, bias (C).
// Running statistics take mean and variance n/(n − 1), n = x.elements()/C; no gradient there.   Ioffe & Szegedy 2015
struct BatchNormed {
  Tensor y, mean, variance;   // as x, (C), (C): Σ (x − mean)²/n
};
BatchNormed batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Axis axis = 1, Number epsilon = 1e-5);
// The same with a given mean and variance (C), for inference.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& variance,
                  Axis axis = 1, Number epsilon = 1e-5);

struct BatchNorm;
using BatchNormOps = OpList<BatchNorm>;
template <OneOf<BatchNormOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

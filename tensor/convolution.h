// Convolutions of images that have their channels last, and the two adjoints. What is convolved is
//
//   ⟨g, conv(x, w)⟩ = Σ g(b, i, j, o) x(b, i s − p + u d, j s − p + v d, c) w(u, v, c, o)
//
// with x (B,H,W,C), g (B,H',W',O) and w (kh,kw,C/groups,O); o and c are of one group. Each function below is the derivative of
// this form by one of the three. Operands are dense and of one kind; shapes are those of the plane, which is not checked.
#pragma once
#include "tensor/tensor.h"
#include "tensor/windows.h"

namespace tapir {

struct ConvolutionPlan {
  Plane plane;
  int64_t groups = 1;
};

// f32 operands are rounded to precision(), as those of gemm. The same bits at any thread count.
Tensor convolve(const ConvolutionPlan& plan, const Tensor& x, const Tensor& w);             // by g
Tensor convolve_transposed(const ConvolutionPlan& plan, const Tensor& g, const Tensor& w);  // by x
Tensor convolve_for_weight(const ConvolutionPlan& plan, const Tensor& x, const Tensor& g);  // by w

}  // namespace tapir

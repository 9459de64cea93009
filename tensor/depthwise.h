// Convolutions of each channel by itself: groups = C = O. Letters: images (B,H,W,C), weights (kh,kw,1,C).
#pragma once
#include "tensor/tensor.h"
#include "tensor/windows.h"

namespace tapir {

// The pixels of y (B,H',W',C) that the lines write, from x (B,H,W,C).
void convolve_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const Line& rows, const Line& columns);

// w(u,v,c) = Σ x(b, i s − p + u d, j s − p + v d, c) g(b,i,j,c)
void convolve_depthwise_for_weight(const Tensor& x, const Tensor& g, const Tensor& w, const Line& rows, const Line& columns);

}  // namespace tapir

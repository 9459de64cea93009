// Convolutions of each channel by itself: groups = C = O. Letters: images (B,H,W,C), weights (kh,kw,1,C).
#pragma once
#include "tensor/tensor.h"
#include "tensor/windows.h"

namespace tapir {

// Whether they take these convolutions: a block has room for the windows of 32 channels.
inline bool is_depthwise(int64_t groups, int64_t channels, int64_t outputs, int64_t taps) {
  return groups > 1 && groups == channels && groups == outputs && taps <= 384;
}

// The pixels of y (B,H',W',C) that the lines write, from x (B,H,W,C).
void convolve_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const WindowLine& rows, const WindowLine& columns);

// w(u,v,c) = Σ x(b, i s − p + u d, j s − p + v d, c) g(b,i,j,c)
void convolve_depthwise_for_weight(const Tensor& x, const Tensor& g, const Tensor& w, const WindowLine& rows,
                                   const WindowLine& columns);

}  // namespace tapir

// The block of a residual network (He et al. 2016, arXiv 1512.03385, section 4.2). Letters: B batch, H × W image.
#pragma once
#include "nn/layers/batch_norm.h"
#include "nn/layers/convolution.h"

namespace tapir::nn {

// y = relu(norm(conv(relu(norm(conv x)))) + shortcut x); the shortcut takes every `stride`-th pixel and adds channels of zeros
// (option A of the paper: no weights).
class ResidualBlock : public Module {
 public:
  ResidualBlock(int64_t in, int64_t out, int64_t stride);
  Tensor forward(const Tensor& x, const Call& call) const;   // (B,H,W,in) → (B,⌈H/stride⌉,⌈W/stride⌉,out)

 private:
  const int64_t out_, stride_;
  Conv2d &conv1_, &conv2_;
  BatchNorm &norm1_, &norm2_;
};

}  // namespace tapir::nn

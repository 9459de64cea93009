#include "nn/layers/residual_block.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/patches.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {

ResidualBlock::ResidualBlock(int64_t in, int64_t out, int64_t stride)
    : out_(out), stride_(stride),
      conv1_(child<Conv2d>("conv1", in, out, 3, ConvolutionOptions{.stride = stride, .padding = 1}, false, he_of_convolution(3, in))),
      conv2_(child<Conv2d>("conv2", out, out, 3, ConvolutionOptions{.padding = 1}, false, he_of_convolution(3, out))),
      norm1_(child<BatchNorm>("norm1", out)), norm2_(child<BatchNorm>("norm2", out)) {}

Tensor ResidualBlock::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  const Tensor inner = relu(norm1_.forward(conv1_.forward(x), call));
  Tensor shortcut = stride_ == 1 ? x : unfold(x, 1, 1, {.stride = stride_});
  if (const int64_t more = out_ - x.size(3); more > 0) shortcut = pad(shortcut, 3, more / 2, more - more / 2);
  return leave(relu(add(norm2_.forward(conv2_.forward(inner), call), shortcut)), x);
}

}  // namespace tapir::nn

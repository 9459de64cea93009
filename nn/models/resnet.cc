#include "nn/models/resnet.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

constexpr int stages = 3;

// He et al. 2015, arXiv 1502.01852, eq. 10: deviation √(2/fan_in).
Init he(int64_t in) { return Init::normal(std::sqrt(2.0 / static_cast<double>(9 * in))); }

int64_t blocks_of_stage(const ResNetOptions& options) {
  require_allowed("resnet", options);
  require(options.depth % 6 == 2, "resnet", [&] { return text("the depth must be 6 n + 2, got ", options.depth); },
          "20, 32, 44 and 56 are those of the paper");
  return (options.depth - 2) / 6;
}

// x of every stride-th row and column.
Tensor strided(const Tensor& x, int64_t stride) {
  Tensor y = x;
  for (const int axis : {1, 2}) {
    const int64_t size = y.size(axis), kept = (size + stride - 1) / stride;
    const Tensor whole = pad(y, axis, 0, kept * stride - size);
    Shape shape;
    for (int a = 0; a < whole.rank(); ++a) {
      if (a != axis) shape.push_back(whole.size(a));
      else { shape.push_back(kept); shape.push_back(stride); }
    }
    y = reshape(slice(reshape(whole, shape), axis + 1, 0, 1), y.shape().with(axis, kept));
  }
  return y;
}

}  // namespace

ResidualBlock::ResidualBlock(int64_t in, int64_t out, int64_t stride)
    : out_(out), stride_(stride),
      conv1_(child<Conv2d>("conv1", in, out, 3, ConvolutionOptions{.stride = stride, .padding = 1}, false, he(in))),
      conv2_(child<Conv2d>("conv2", out, out, 3, ConvolutionOptions{.padding = 1}, false, he(out))),
      norm1_(child<BatchNorm>("norm1", out)), norm2_(child<BatchNorm>("norm2", out)) {}

Tensor ResidualBlock::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  const Tensor inner = relu(norm1_.forward(conv1_.forward(x), call));
  Tensor shortcut = stride_ == 1 ? x : strided(x, stride_);
  if (const int64_t more = out_ - x.size(3); more > 0) shortcut = pad(shortcut, 3, more / 2, more - more / 2);
  return leave(relu(add(norm2_.forward(conv2_.forward(inner), call), shortcut)), x);
}

ResNet::ResNet(const ResNetOptions& options, const ImageShape& image, int64_t classes)
    : stem_((blocks_of_stage(options), child<Conv2d>("stem", image.channels, options.width, 3, ConvolutionOptions{.padding = 1},
                                                     false, he(image.channels)))),
      stem_norm_(child<BatchNorm>("stem_norm", options.width)),
      head_(child<Linear>("head", options.width << (stages - 1), classes, true, Init::fan_in(options.width << (stages - 1)),
                          Init::constant(0), ParameterKind::head)) {
  int64_t in = options.width;
  for (int stage = 0; stage < stages; ++stage)
    for (int64_t n = 0; n < blocks_of_stage(options); ++n) {
      const int64_t out = options.width << stage;
      blocks_.push_back(&child<ResidualBlock>(text("stages.", stage, '.', n), in, out, stage > 0 && n == 0 ? 2 : 1));
      in = out;
    }
}

Tensor ResNet::forward(const Tensor& pixels, const Call& call) const {
  const Scope scope = enter();
  Tensor x = relu(stem_norm_.forward(stem_.forward(pixels), call));
  for (const ResidualBlock* block : blocks_) x = block->forward(x, call);
  return leave(head_.forward(mean(mean(x, 1), 1)), pixels);
}

}  // namespace tapir::nn

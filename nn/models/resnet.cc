#include "nn/models/resnet.h"

#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

constexpr int stages = 3;

int64_t blocks_of_stage(const ResNetOptions& options) {
  require_allowed("resnet", options);
  require(options.depth % 6 == 2, "resnet", [&] { return text("the depth must be 6 n + 2, got ", options.depth); },
          "20, 32, 44 and 56 are those of the paper");
  return (options.depth - 2) / 6;
}

}  // namespace

ResNet::ResNet(const ResNetOptions& options, const ImageShape& image, int64_t classes)
    : stem_((blocks_of_stage(options), child<Conv2d>("stem", image.channels, options.width, 3, ConvolutionOptions{.padding = 1},
                                                     false, he_of_convolution(3, image.channels)))),
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

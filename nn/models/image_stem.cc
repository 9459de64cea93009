#include "nn/models/image_stem.h"

#include <bit>

#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

// log₂ of the patch: how often the image is halved, and with it how often the width can be.
int halvings(const char* stem, int64_t patch, int64_t width, int fewer) {
  require(patch >= 2 && std::has_single_bit(static_cast<uint64_t>(patch)), stem,
          [&] { return text("halves the image some times, so patches are of 2, 4, 8 … pixels, got ", patch); });
  const int count = std::countr_zero(static_cast<uint64_t>(patch));
  require(width % (int64_t{1} << (count - fewer)) == 0, stem,
          [&] { return text("the width ", width, " must be a multiple of ", int64_t{1} << (count - fewer)); });
  return count;
}

Tensor cells_of(const Tensor& grid) { return reshape(grid, {grid.size(0), grid.size(1) * grid.size(2), grid.size(3)}); }

}  // namespace

Tensor patches_of(const Tensor& pixels, int64_t p) {
  require(pixels.rank() == 4 && p > 0 && pixels.size(1) % p == 0 && pixels.size(2) % p == 0, "patches",
          [&] { return text("needs (B,H,W,Q) whose sides are multiples of ", p, ", got ", pixels.shape()); });
  const int64_t batch = pixels.size(0), rows = pixels.size(1) / p, columns = pixels.size(2) / p, channels = pixels.size(3);
  return reshape(transpose(reshape(pixels, {batch, rows, p, columns, p * channels}), 2, 3),
                 {batch, rows * columns, p * p * channels});
}

PatchStem::PatchStem(int64_t channels, int64_t patch, int64_t width)
    : patch_(patch), weight_(parameter("weight", {width, patch * patch * channels}, ParameterKind::weight, Init::normal(0.02))),
      bias_(parameter("bias", {width}, ParameterKind::bias, Init::constant(0))) {}

Tensor PatchStem::forward(const Tensor& pixels, const Call&) const {
  const Scope scope = enter();
  return leave(linear(patches_of(pixels, patch_), weight_.value, bias_.value), pixels);
}

ConvolutionStem::ConvolutionStem(int64_t channels, int64_t patch, int64_t width)
    : last_(child<Conv2d>("last", width, width, 1)) {
  const int count = halvings("convolution stem", patch, width, 1);
  int64_t in = channels;
  for (int k = 0; k < count; ++k) {
    const int64_t out = width >> (count - 1 - k);
    convolutions_.push_back(&child<Conv2d>(text("convolutions.", k), in, out, 3, ConvolutionOptions{.stride = 2, .padding = 1},
                                           false, he_of_convolution(3, in)));
    norms_.push_back(&child<BatchNorm>(text("norms.", k), out));
    in = out;
  }
}

Tensor ConvolutionStem::forward(const Tensor& pixels, const Call& call) const {
  const Scope scope = enter();
  Tensor x = pixels;
  for (size_t k = 0; k < convolutions_.size(); ++k) x = relu(norms_[k]->forward(convolutions_[k]->forward(x), call));
  return leave(cells_of(last_.forward(x)), pixels);
}

ResidualStem::ResidualStem(int64_t channels, int64_t patch, int64_t width)
    : count_(halvings("residual stem", patch, width, 0)),
      first_(child<Conv2d>("first", channels, width >> count_, 3, ConvolutionOptions{.padding = 1}, false,
                           he_of_convolution(3, channels))),
      norm_(child<BatchNorm>("norm", width >> count_)) {
  for (int k = count_; k > 0; --k)
    blocks_.push_back(&child<ResidualBlock>(text("blocks.", count_ - k), width >> k, width >> (k - 1), 2));
}

Tensor ResidualStem::forward(const Tensor& pixels, const Call& call) const {
  const Scope scope = enter();
  Tensor x = relu(norm_.forward(first_.forward(pixels), call));
  for (const ResidualBlock* block : blocks_) x = block->forward(x, call);
  return leave(cells_of(x), pixels);
}

std::unique_ptr<ImageStem> make_stem(const std::string& kind, int64_t channels, int64_t patch, int64_t width) {
  if (kind == "convolution") return std::make_unique<ConvolutionStem>(channels, patch, width);
  if (kind == "residual") return std::make_unique<ResidualStem>(channels, patch, width);
  return std::make_unique<PatchStem>(channels, patch, width);
}

}  // namespace tapir::nn

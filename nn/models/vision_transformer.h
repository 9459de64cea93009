// Vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929): a stem that cuts an image into a grid of patches, blocks over
// the grid, a classifier. Letters: B batch, H × W image of Q channels, p side of a patch, R × S patches (R = H/p, S = W/p), C width,
// N tokens (R·S, and the class token), K classes.
//
// Weights and their shapes, beside those of the blocks ("blocks.0.attention.query.weight" …, docs/5-nn.md):
//   patches.weight (C, p·p·Q), patches.bias (C)   a patch lies row by row, channels last. A convolution's weight (C,Q,p,p) of
//                                                 PyTorch is permute(0, 2, 3, 1).reshape(C, p·p·Q) of it. Of stem = "patch"
//   stem.convolutions.k.weight (3,3,·,·), stem.norms.k.*, stem.last.weight (1,1,C,C), stem.last.bias (C)   of "convolution"
//   stem.first.weight (3,3,Q,·), stem.norm.*, stem.blocks.k.*   of "residual", norms and blocks as in nn/models/resnet.h
//   class_token (C)                               of pool = "class"
//   positions (N,C)                               of positions = "learned"; the class token's row first
//   norm.weight, norm.bias (C)                    after the blocks
//   head.weight (K,C), head.bias (K)
#pragma once
#include <memory>

#include "nn/blocks.h"
#include "nn/models/image_shape.h"
#include "nn/models/image_stem.h"

namespace tapir::nn {

struct VisionTransformerOptions : BlockOptions {
  int64_t patch = 4;
  std::string stem = "patch";
  std::string positions = "learned";
  std::string pool = "mean";

  void fields(FieldVisitor& visit) override {
    visit("patch", patch, "side of a patch in pixels; must divide height and width", between(1, 1 << 12));
    visit("stem", stem, "a linear map of each patch; convolutions, or residual blocks, that halve the image until a patch is one pixel",
          Choices{"patch", "convolution", "residual"});
    BlockOptions::fields(visit);
    visit("positions", positions,
          "vectors added to the patch vectors, learned or of sine waves along rows and columns, or queries and keys turned by row "
          "and column",
          Choices{"learned", "sinusoidal", "rotary", "none"});
    visit("pool", pool, "what the classifier reads: the mean of all tokens, or a token of its own", Choices{"mean", "class"});
  }
};

class VisionTransformer : public Module {
 public:
  // Throws Error for options that are not allowed, for patches that do not tile the image, and what Blocks throws.
  VisionTransformer(const VisionTransformerOptions& options, const ImageShape& image, int64_t classes, const MixerMaker& mixer);

  // (B,H,W,Q) → logits (B,K). A recorder hears "grid" first, i32 (3): class tokens, R, S.
  Tensor forward(const Tensor& pixels, const Call& call) const;

 private:
  const ImageShape image_;
  const Places places_;
  ImageStem& stem_;
  Parameter* class_token_;   // (C); null where the mean is taken
  Parameter* positions_;     // (N,C); null unless learned
  const Tensor waves_;       // (R·S,C), of positions = "sinusoidal"; else undefined
  Dropout& dropout_;
  Blocks& blocks_;
  Norm& norm_;
  Linear& head_;
};

// The vectors of a grid, (rows·columns, C), in f64: the first half of the channels is the wave vector of the row, the second that of
// the column (nn/layers/waves.h). Throws Error unless 4 divides C.
Tensor grid_waves(int64_t rows, int64_t columns, int64_t width);

}  // namespace tapir::nn

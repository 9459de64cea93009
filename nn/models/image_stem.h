// What stands before the blocks of a model of images: it turns an image into a vector for each cell of a grid. Letters: B batch,
// H × W image of Q channels, p side of a cell in pixels, N = (H/p)·(W/p) cells, row by row, C width.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/layers/residual_block.h"

namespace tapir::nn {

class ImageStem : public Module {
 public:
  virtual Tensor forward(const Tensor& pixels, const Call& call) const = 0;   // (B,H,W,Q) → (B,N,C)
};

// A linear map of each patch of p × p pixels (Dosovitskiy et al. 2021).
class PatchStem : public ImageStem {
 public:
  PatchStem(int64_t channels, int64_t patch, int64_t width);
  Tensor forward(const Tensor& pixels, const Call& call) const override;

 private:
  const int64_t patch_;
  Parameter &weight_, &bias_;   // (C,p·p·Q), (C)
};

// log₂ p convolutions of 3 × 3 with stride 2, each with a batch norm and ReLU, the last one of C channels, each before it of half
// as many; then one of 1 × 1 (Xiao et al. 2021, arXiv 2106.14881, section 4).
class ConvolutionStem : public ImageStem {
 public:
  ConvolutionStem(int64_t channels, int64_t patch, int64_t width);
  Tensor forward(const Tensor& pixels, const Call& call) const override;

 private:
  std::vector<Conv2d*> convolutions_;
  std::vector<BatchNorm*> norms_;
  Conv2d& last_;
};

// A convolution of 3 × 3, then log₂ p residual blocks that halve the image and double the channels, up to C: a hybrid, in which a
// residual network's feature map takes the place of the patches (Dosovitskiy et al. 2021, section 3.1).
class ResidualStem : public ImageStem {
 public:
  ResidualStem(int64_t channels, int64_t patch, int64_t width);
  Tensor forward(const Tensor& pixels, const Call& call) const override;

 private:
  const int count_;   // of blocks
  Conv2d& first_;
  BatchNorm& norm_;
  std::vector<ResidualBlock*> blocks_;
};

// "patch", "convolution" or "residual". The latter two throw Error unless p is a power of 2, and the width divides.
std::unique_ptr<ImageStem> make_stem(const std::string& kind, int64_t channels, int64_t patch, int64_t width);

// (B,H,W,Q) → (B,N,p·p·Q): patches row by row, each row by row. Throws Error unless p divides H and W.
Tensor patches_of(const Tensor& pixels, int64_t p);

}  // namespace tapir::nn

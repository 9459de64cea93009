// Residual network for small images (He et al. 2016, arXiv 1512.03385, section 4.2): convolutions of 3 × 3 with batch norms, three
// stages, no attention. Letters: B batch, H × W image of Q channels, K classes.
//
// Weights and their shapes:
//   stem.weight (3,3,Q,width), stem_norm.*
//   stages.s.n.conv1.weight, stages.s.n.norm1.*, stages.s.n.conv2.weight, stages.s.n.norm2.*   of stage s, block n
//   head.weight (K,4·width), head.bias (K)
// A convolution's weight (k,k,C,O) is PyTorch's (O,C,k,k) permuted by {2, 3, 1, 0}; a norm (.*) has weight, bias, and the
// buffers running_mean and running_variance.
#pragma once
#include <vector>

#include "nn/fields.h"
#include "nn/layers/linear.h"
#include "nn/layers/residual_block.h"
#include "nn/models/image_shape.h"

namespace tapir::nn {

struct ResNetOptions : Options {
  int64_t depth = 20;
  int64_t width = 16;

  void fields(FieldVisitor& visit) override {
    visit("depth", depth, "layers with weights, 6 n + 2: n blocks of two convolutions in each of three stages", between(8, 1202));
    visit("width", width, "channels of the first stage; the second has twice as many, the third four times", between(1, 1 << 12));
  }
};

class ResNet : public Module {
 public:
  // Throws Error for options that are not allowed, and for a depth that is not 6 n + 2.
  ResNet(const ResNetOptions& options, const ImageShape& image, int64_t classes);

  Tensor forward(const Tensor& pixels, const Call& call) const;   // (B,H,W,Q) → logits (B,K)

 private:
  Conv2d& stem_;
  BatchNorm& stem_norm_;
  std::vector<ResidualBlock*> blocks_;
  Linear& head_;
};

}  // namespace tapir::nn

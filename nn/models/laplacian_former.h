// The Laplacian-Former (Azad et al. 2023, arXiv 2309.00108, as the authors' code has it): a class for each pixel of an image, by a
// network in the shape of a U. Its attention is that of any mixer that takes the places of a grid; the paper's is the mechanism
// `laplacian`, with 4 bands. Letters: B batch, H × W image of Q channels, C_s channels and h_s × w_s cells of stage s, K classes.
//
//   X_0 = LN(blocks(conv₇ₓ₇(pixels))), of stride f;   X_s = LN(blocks(conv₃ₓ₃(X_{s−1}))), of stride 2
//   X = bridge(X) of all stages, as often as there are bridges
//   Y_last = X_last;   Y_s = blocks(merge [expand(Y_{s+1}), X_s]);   logits = head(expand(Y_0))
// expand: a linear layer to 2·2 C_s channels, in the end to f·f C_0, which become cells (a pixel shuffle), and a layer norm.
//
// Weights and their shapes, beside those of norms (weight, bias), of blocks, mixers and bridges (nn/models/laplacian_blocks.h):
//   stages.s.down.weight (7,7,Q,C_0) or (3,3,C_{s−1},C_s), stages.s.down.bias, stages.s.n.* of block n, stages.s.norm.*
//   bridges.b.*
//   decoder.s.expand.linear.weight (4·C_s,C_{s+1}), decoder.s.expand.norm.*, decoder.s.merge.weight (C_s,2·C_s), decoder.s.n.*
//   expand.linear.weight (f·f·C_0,C_0), expand.norm.*, head.weight (K,C_0), all linear layers with biases
#pragma once
#include <memory>
#include <vector>

#include "nn/fields.h"
#include "nn/models/image_shape.h"
#include "nn/models/laplacian_blocks.h"

namespace tapir::nn {

struct LaplacianFormerOptions : Options {
  int64_t stride = 4;
  Numbers widths{64, 128, 320, 512};
  Numbers depths{2, 2, 2, 2};
  int64_t bridges = 1;
  std::string shortcut = "token";

  void fields(FieldVisitor& visit) override {
    visit("stride", stride, "f: pixels from one cell of the first stage to the next", between(1, 7));
    visit("widths", widths, "channels of each stage, from the finest on; with bridges multiples of the first's", between(1, 1 << 12));
    visit("depths", depths, "blocks of each stage, and of the decoder beside it", between(1, 64));
    visit("bridges", bridges, "multi-scale bridges between encoder and decoder, one after the other", between(0, 64));
    visit("shortcut", shortcut, "the diversity-enhanced shortcut of each token, or as the authors' code scrambles tokens and channels",
          {"token", "scrambled"});
  }
};

// (B,h,w,C) → (B,f h,f w,O)
class Expansion : public Module {
 public:
  Expansion(int64_t channels, int64_t out, int64_t factor);
  Tensor forward(const Tensor& x) const;

 private:
  const int64_t factor_;   // f
  Linear& linear_;
  LayerNorm& norm_;
};

class LaplacianFormer : public Module {
 public:
  // Throws Error for options that are not allowed, for images whose sides are not multiples of the last stage's cells, and where a
  // mixer needs more than it has.
  LaplacianFormer(const LaplacianFormerOptions& options, const ImageShape& image, int64_t classes, const MixerMaker& mixer);

  Tensor forward(const Tensor& pixels, const Call& call) const;   // (B,H,W,Q) → logits (B,H,W,K)

 private:
  struct Stage {
    Conv2d* down;
    std::vector<LaplacianBlock*> blocks;
    LayerNorm* norm;
  };
  struct Decoder {
    Expansion* expand;
    Linear* merge;
    std::vector<LaplacianBlock*> blocks;
  };

  const ImageShape image_;
  std::vector<Stage> stages_;
  std::vector<MultiScaleBridge*> bridges_;
  std::vector<Decoder> decoders_;   // of all stages but the last
  Expansion* expand_;
  Linear* head_;
};

}  // namespace tapir::nn

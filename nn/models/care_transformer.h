// CARE Transformer (Zhou et al. 2024, arXiv 2411.16170, and the authors' code): a network of images in four stages, which halve
// height and width. A block sends a third of its features through attention, or in the first two stages through long
// convolutions, the rest through small convolutions, and carries a memory past them; two networks then mix features, and
// features with the memory. Letters: B batch, H × W image of Q channels, h × w pixels of a map, m memory width, K classes. A
// map has 4 m channels: memory M, X_a of attention, X_3 and X_7.
//
//   Y_a = attention(X_a), with a mixer at the places of a grid;  in stages 1 and 2 DW₁₁ₓ₁(X_a) + DW₁ₓ₁₁(X_a)
//   F = [Y_a, DW₃ₓ₃(X_3), DW₇ₓ₇(X_7)],   G = [M, I₁(F)],   X ← X + γ ⊙ I₂(G)
//   I(x) = x + L₂(DW₃ₓ₃(gelu(L₁(norm x)))),   L₁ of r₁ or r₂ times as many channels, norm a batch norm
// The last block's result is DW₃ₓ₃(gelu(L₁(norm G))), without L₂ and sums. Attention is that of any mixer; the paper's is the
// mechanism `care` with projections = "query_key". Each classifier is a linear layer of norm(gelu(mean of all pixels)); logits
// are the mean of theirs.
//
// Weights and their shapes, beside those of norms (weight, bias, and as buffers running statistics) and of mixers:
//   stem.weight (p,p,Q,4m), stem.bias (4m), stem_norm.*
//   stages.s.norm.*, stages.s.down.weight (2,2,·,4m), stages.s.down.bias (4m)                          of stages s > 0
//   stages.s.n.attention.*, or stages.s.n.rows.weight, .columns.weight (11,1,m)                        of block n of stage s
//   stages.s.n.small.weight (3,3,1,m), .large.weight (7,7,1,m), all convolutions with biases (m)
//   stages.s.n.inner.norm.*, .up.weight (r·3m,3m), .depthwise.weight (3,3,1,r·3m), .down.weight (3m,r·3m), with biases
//   stages.s.n.outer.*, the same of 4m channels;  stages.s.n.branch.scale (4m): γ
//   classifiers.k.norm.*, classifiers.k.linear.weight (K,r·4m), classifiers.k.linear.bias (K)
//
//   S0: the defaults;  S1: depths 3, 6, 10, 6, outer_factors 4, 4, 4, 4
//   S2: depths 3, 6, 10, 6, memory 8, 16, 48, 96, inner_factors and outer_factors 4, 4, 4, 4
#pragma once
#include <memory>
#include <vector>

#include "nn/blocks.h"
#include "nn/layers/batch_norm.h"
#include "nn/layers/convolution.h"
#include "nn/models/image_shape.h"

namespace tapir::nn {

struct CareTransformerOptions : Options {
  int64_t patch = 4;
  Numbers depths{2, 4, 8, 4};
  Numbers memory{8, 16, 32, 64};
  Numbers head_widths{16, 32};
  Numbers inner_factors{2, 2, 4, 4};
  Numbers outer_factors{2, 4, 4, 4};
  int64_t classifiers = 2;
  double drop_path = 0;
  double layer_scale = 1e-6;

  void fields(FieldVisitor& visit) override {
    visit("patch", patch, "side of the stem's convolution and its stride, in pixels", between(1, 64));
    visit("depths", depths, "blocks of each of the four stages", between(1, 1024));
    visit("memory", memory, "m of each stage: channels of the memory and of each part of the features", between(1, 1 << 12));
    visit("head_widths", head_widths, "channels of an attention head in the third and fourth stage; must divide their memory",
          between(1, 1 << 12));
    visit("inner_factors", inner_factors, "r₁ of each stage: hidden channels that mix features, as multiples of them",
          between(1, 64));
    visit("outer_factors", outer_factors, "r₂ of each stage: those that mix features with the memory", between(1, 64));
    visit("classifiers", classifiers,
          "whose logits are averaged; the authors' second one learns from a teacher, here from labels", between(1, 2));
    visit("drop_path", drop_path, "probability that a sample skips a block, of the last one; it grows from 0 in the first",
          between(0, 0.99));
    visit("layer_scale", layer_scale, "first value of γ; 0: none", between(0, 10));
  }
};

// I above; without L₂ and the sum where it is `last`.
class CareInteraction : public Module {
 public:
  CareInteraction(int64_t channels, int64_t factor, bool last);
  Tensor forward(const Tensor& x, const Call& call) const;   // (B,h,w,C) → (B,h,w,C), last (B,h,w,factor·C)

 private:
  BatchNorm& norm_;
  Linear& up_;
  Conv2d& depthwise_;
  Linear* down_;   // null: last
};

// Where a block stands in its model.
struct CarePlace {
  int64_t stage, block, blocks;   // of the model's blocks, from 0, and how many there are

  bool last() const { return block + 1 == blocks; }
};

class CareBlock : public Module {
 public:
  // `mixer`: of attention; null: long convolutions.
  CareBlock(const CareTransformerOptions& options, const CarePlace& place, std::unique_ptr<TokenMixer> mixer);
  Tensor forward(const Tensor& x, const Call& call) const;   // (B,h,w,4m) → (B,h,w,4m), the last one (B,h,w,r₂·4m)

 private:
  Tensor attended(const Tensor& x, const Call& call) const;   // (B,h,w,m) → (B,h,w,m)

  const int64_t width_;   // m
  TokenMixer* mixer_;
  Conv1d *rows_ = nullptr, *columns_ = nullptr;   // along a row, along a column; null: attention
  Conv2d &small_, &large_;
  CareInteraction &inner_, &outer_;
  Branch* branch_;   // null: last
};

class CareTransformer : public Module {
 public:
  // Throws Error for options that are not allowed, for images whose sides are not multiples of 8 patches, and where a mixer
  // needs more than it has.
  CareTransformer(const CareTransformerOptions& options, const ImageShape& image, int64_t classes, const MixerMaker& mixer);

  Tensor forward(const Tensor& pixels, const Call& call) const;   // (B,H,W,Q) → logits (B,K)

 private:
  struct Stage {
    BatchNorm* norm;   // null: the first
    Conv2d* down;
    std::vector<CareBlock*> blocks;
  };

  const ImageShape image_;
  Conv2d& stem_;
  BatchNorm& stem_norm_;
  std::vector<Stage> stages_;
  std::vector<LayerNorm*> norms_;
  std::vector<Linear*> classifiers_;
};

}  // namespace tapir::nn

// Parts of the Laplacian-Former (Azad et al. 2023, arXiv 2309.00108, as the authors' code has them). Letters: B batch, h × w cells of
// a map, N = h·w, C channels, C₀ those of the first level. DW: a depthwise convolution of 3 × 3 cells. Linear layers begin as
// Xavier's uniform ones without bias, convolutions as PyTorch's.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/layers/convolution.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/token_mixer.h"

namespace tapir::nn {

// down(gelu(LN(DW(u) + u))), u = up(x) of 4 C channels: (B,h,w,C) → (B,h,w,C). Weights up.weight (4C,C), depthwise.weight
// (3,3,1,4C), norm.weight (4C), down.weight (C,4C), with biases.
class MixFeedForward : public Module {
 public:
  explicit MixFeedForward(int64_t channels);
  Tensor forward(const Tensor& x) const;

 private:
  Linear& up_;
  Conv2d& depthwise_;
  LayerNorm& norm_;
  Linear& down_;
};

// The diversity-enhanced shortcut: the channels of a token as a matrix X (r,p), p a power of 2 near √C that divides C:
//   Y = W_o gelu(X W_iᵀ + b_i) + b_o, W_i (p,p) = inner.weight, W_o (r,r) = outer.weight; b_i of each column, b_o of each row
// `scrambled`: of the authors' code, which takes the numbers (N,C) of an image for (C,N), so that a "token" has numbers of many.
class DiverseShortcut : public Module {
 public:
  // Throws Error where p = 2^(e − ⌊e/2⌋), e = ⌊log₂ C⌋, does not divide C.
  DiverseShortcut(int64_t channels, bool scrambled);
  Tensor forward(const Tensor& x) const;   // (B,h,w,C) → (B,h,w,C)

 private:
  const int64_t columns_;   // p
  const bool scrambled_;
  Linear &inner_, &outer_;
};

// t = x + attention(LN x) + shortcut(x),  t + mlp(LN t). Modules norm1, attention, shortcut, norm2, mlp.
class LaplacianBlock : public Module {
 public:
  LaplacianBlock(int64_t channels, bool scrambled, std::unique_ptr<TokenMixer> mixer);
  Tensor forward(const Tensor& x, const Call& call) const;   // (B,h,w,C) → (B,h,w,C)

 private:
  LayerNorm& norm1_;
  TokenMixer& mixer_;
  DiverseShortcut& shortcut_;
  LayerNorm& norm2_;
  MixFeedForward& mlp_;
};

// The efficient enhancement multi-scale bridge: maps of all levels, X_i with C_i = m_i C₀ channels, read one context.
//   E = Σ_i softmax_N(X_i W_k)ᵀ X_i W_v                  (C₀,C₀)
//   Z_i = X_i + softmax_{C₀}(X_i W_q) E,   out_i = Z_i + mlp(LN Z_i)
// A query has C_i channels, taken for C₀ by m_i: each of its m_i columns passes softmax and reads E. Modules levels.i.query (C_i,C_i),
// .key and .value (C₀,C_i), .norm, .mlp.
class MultiScaleBridge : public Module {
 public:
  explicit MultiScaleBridge(const std::vector<int64_t>& channels);   // throws Error unless C₀ divides all
  std::vector<Tensor> forward(const std::vector<Tensor>& maps) const;   // (B,h_i,w_i,C_i) each → the same shapes

 private:
  struct Level {
    Linear &query, &key, &value;
    LayerNorm& norm;
    MixFeedForward& mlp;
  };

  const int64_t width_;   // C₀
  std::vector<Level> levels_;
};

}  // namespace tapir::nn

// Efficient frequency attention of the Laplacian-Former (Azad et al. 2023, arXiv 2309.00108; not the LaplacianFormer of 2026):
// channels are attended, in two branches that share their queries. Letters: B batch, H heads, S tokens, D channels of a head,
// C = H·D, X the tokens, softmax_S over them, softmax_D over channels.
//   Q̂ = softmax_D(X W_q),  K̂ = softmax_S(X W_k),  V = X W_v
//   Y_e = (Q̂ K̂ᵀ V) W_r                                             efficient attention (Shen et al. 2021, arXiv 1812.01243)
//   Y_f = Q̂ Σ_{i<P} A_i                                            frequency attention
//   Y   = w₁ ⊙ Y_e + w₂ ⊙ Y_f,   w of each channel
// The context A (D,D) is of the bands of a pyramid G₀ = X, G_{i+1} = g_i * G_i (attention/gaussian_pyramid.h):
//   A_0 = softmax_D(softmax_S(G_0)ᵀ G_0),   A_i = softmax_S(L_i)ᵀ L_i,   L_i = G_{i−1} − G_i
// Each head has the pyramid of its own channels; the paper has one head.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "attention/mechanism.h"
#include "attention/projected.h"

namespace tapir {

struct LaplacianOptions : nn::Options {
  int64_t levels = 3;
  bool first_softmax = true;
  std::string fusion = "learned";

  void fields(nn::FieldVisitor& visit) override {
    visit("levels", levels, "P: bands of the frequency branch, the first of them the tokens themselves; 0: efficient attention alone",
          nn::between(0, 8));
    visit("first_softmax", first_softmax,
          "rows of the first band's context pass a second softmax, as in the authors' code; false: as those of the other bands");
    visit("fusion", fusion, "of the branches: sums by learned numbers for each channel, as in the authors' code, or plain sums",
          {"learned", "sum"});
    visit.only(levels > 0, "levels is not 0", {"first_softmax", "fusion"});
  }
};

std::unique_ptr<ProjectedAttention> make_laplacian(const LaplacianOptions& options, const MixerShape& shape);
Mechanism laplacian_row();

// G_0, L_1, …, L_{levels−1} of tokens x (B,S,C), 0 where the mask hides them.
std::vector<Tensor> laplacian_bands(const Tensor& x, int64_t levels, const nn::Places& places, const Mask& mask);

}  // namespace tapir

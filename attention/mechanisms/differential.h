// Differential attention (Ye et al. 2024, arXiv 2410.05258): each head has two maps of softmax and takes their difference, so
// that what both see of everything cancels.
//   a = softmax(q¹k¹ᵀ/√(D/2)) − λ softmax(q²k²ᵀ/√(D/2)),   q = [q¹ q²], k = [k¹ k²],   o = (1 − λ₀) RMSNorm(a v)
//   λ = exp(λ_q1·λ_k1) − exp(λ_q2·λ_k2) + λ₀,   λ₀ = 0.8 − 0.6 exp(−0.3 l) in block l = 0, 1, …
// The two maps have half of a head's width each, values and result all of it: projections are those of the dot product. The
// vectors λ (D/2) and the norm's weight (D) are one for all heads of a layer.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct DifferentialOptions : nn::Options {
  double initial = 0;

  void fields(nn::FieldVisitor& visit) override {
    visit("initial", initial, "λ₀; 0: it grows with the depth of the block, from 0.2 to 0.8", nn::between(0, 0.99));
  }
};

// Throws Error unless the heads' width is even.
std::unique_ptr<nn::TokenMixer> make_differential(const DifferentialOptions& options, const MixerShape& shape);
Mechanism differential_row();

}  // namespace tapir

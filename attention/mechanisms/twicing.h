// Twicing Attention (Abdullaev & Nguyen 2025, arXiv 2503.00687): the residual that the weights A leave of the values is
// smoothed once more and added back.
//   R = V − A V,   O = A V + A R = (2 A − A²) V
// There is nothing to learn beside the projections. R_j is what is left of key j as a query, so queries and keys are the same
// tokens: no cross-attention, and under an offset only token by token, where R of earlier tokens is remembered.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct TwicingOptions : StagedOptions {
  int64_t last = 0;   // the authors' code: 2 of 16 layers for language, all 12 for images

  void fields(nn::FieldVisitor& visit) override {
    visit("last", last, "in the last so many blocks, dot product in the others; 0: in all", nn::between(0, 1024));
    StagedOptions::fields(visit);
  }
};

std::unique_ptr<nn::TokenMixer> make_twicing(const TwicingOptions& options, const MixerShape& shape);
Mechanism twicing_row();

}  // namespace tapir

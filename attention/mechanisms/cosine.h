// Cosine attention: a pair is scored by the cosine of query and key, times a learnt factor (Henry, Dachapally, Pawar & Chen
// 2020, Query-Key Normalization, arXiv 2010.04245; per head and bounded: Liu et al. 2022, Swin Transformer V2, arXiv
// 2111.09883).
//   s_ij = γ q_i·k_j / (|q_i| |k_j|),   γ = exp min(ℓ_h, log 100), or γ itself is learnt
// Lengths have no say, so |s| ≤ γ whatever becomes of the projections.
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"

namespace tapir {

struct CosineOptions : StagedOptions {
  std::string temperature = "logarithm";
  double initial = 10;

  void fields(nn::FieldVisitor& visit) override {
    visit("temperature", temperature,
          "what is learnt: logarithm: log γ of each head, with γ ≤ 100; factor: γ, one for the layer", {"logarithm", "factor"});
    visit("initial", initial, "first value of γ", nn::between(0.01, 100));
    StagedOptions::fields(visit);
  }
};

std::unique_ptr<nn::TokenMixer> make_cosine(const CosineOptions& options, const MixerShape& shape);
Mechanism cosine_row();

}  // namespace tapir

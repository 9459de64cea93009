// Attention-BN (Nguyen et al. 2023, arXiv 2406.13781): queries and keys are normalised by the mean and the deviation of the
// keys, feature by feature, over the tokens of the sequence.
//   q̂_i = (q_i − β μ)/σ,  k̂_j = (k_j − β μ)/σ,  s_ij = q̂_i·k̂_j / √D,   σ² = mean of (k_j − μ)², + ε
// Of the keys' shift only a term of the row is left, which softmax does not see, so s_ij = (q_i − β μ)·(k_j/σ²) / √D. Under a
// causal mask μ and σ are those of the keys that query i sees, and as these may be few, σ² counts so many tokens of variance 1
// more (`prior`). Multiplied with (`deviation`), σ² stands where 1/σ² does, and has no ε: nothing is divided by it.
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"

namespace tapir {

// How queries and keys are normalised: of this row, and of attention_sh, which has it upon its windows.
struct KeyNormalisation {
  double beta = 1, epsilon = 1e-5, prior = 8;
  bool learned = false;
  std::string deviation = "divide";

  void fields(nn::FieldVisitor& visit) {
    visit("beta", beta, "share of the mean that is taken away, or its initial value", nn::between(-10, 10));
    visit("learned", learned, "β is learnt, one for each head");
    visit("deviation", deviation, "divide by it, or multiply with it, as the one public code does", {"divide", "multiply"});
    visit("epsilon", epsilon, "added to variances that are divided by", nn::between(1e-12, 1));
    visit("prior", prior, "tokens of variance 1 that count beside those seen under a causal mask", nn::between(0, 1e6));
    visit.only(deviation == "divide", "deviation = \"divide\"", {"epsilon"});
  }
};

struct AttentionBnOptions : StagedOptions, KeyNormalisation {
  void fields(nn::FieldVisitor& visit) override {
    KeyNormalisation::fields(visit);
    StagedOptions::fields(visit);
  }
};

// Queries Q (B,H,T,D) whose products with the keys K (B,…,S,D), 0 where hidden, are those of both normalised, but for a term of
// the row: (q_i − β μ)/σ², with the mean and variance of the keys that the mask lets query i see; q_i itself where it sees
// none. β (H), or one for all; undefined: options.beta.
Tensor normalised_by_keys(const Tensor& Q, const Tensor& K, const Mask& mask, const KeyNormalisation& options,
                          const Tensor& beta = {});

std::unique_ptr<nn::TokenMixer> make_attention_bn(const AttentionBnOptions& options, const MixerShape& shape);
Mechanism attention_bn_row();

}  // namespace tapir

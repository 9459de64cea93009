// Inter-token attention with a learnt temperature (Rahman & Arafat 2024, arXiv 2410.12861; Lee, Lee & Song 2021,
// arXiv 2112.13492): no token attends to itself, and √D becomes a temperature that is learnt.
//   s_ij = q_i·k_j / τ_h,   s_ii = −∞ where row i sees another key
// A row that sees no key but its own keeps it: the first of a causal sequence, a token among padding. Queries and keys are the
// same tokens.
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"

namespace tapir {

struct InterTokenOptions : StagedOptions {
  bool diagonal = false;
  std::string temperature = "logarithm";

  void fields(nn::FieldVisitor& visit) override {
    visit("diagonal", diagonal, "whether tokens attend to themselves");
    visit("temperature", temperature,
          "of each head: fixed: √D; factor: 1/τ is learnt; logarithm: −log τ is learnt, so τ stays positive; network: a "
          "network of 16 units makes it of the mean of all queries, under a causal mask of those so far",
          {"fixed", "factor", "logarithm", "network"});
    StagedOptions::fields(visit);
  }
};

std::unique_ptr<nn::TokenMixer> make_inter_token(const InterTokenOptions& options, const MixerShape& shape);
Mechanism inter_token_row();

}  // namespace tapir

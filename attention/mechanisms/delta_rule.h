// DeltaNet: what the state has for a key is corrected towards the token's value, at a rate that the token says: Widrow's and
// Hoff's delta rule.
//   S_t = S_{t−1} + β_t k_tᵀ (v_t − k_t S_{t−1}),  o_t = q_t S_t,  β_t = sigmoid(w x_t)
//   length  q, k = SiLU(W x) of length 1, v = SiLU(W x), y = RMSNorm(o)        Yang et al. 2024, arXiv 2406.06484
//   sum     q, k = φ/Σφ of φ = elu(W x) + 1, y = o                             Schlag et al. 2021, arXiv 2102.11174
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"
#include "attention/recurrent_attention.h"

namespace tapir {

struct DeltaRuleOptions : StateOptions {
  std::string keys = "length";

  void fields(nn::FieldVisitor& visit) override {
    visit("keys", keys,
          "queries and keys have length 1, after SiLU, and results an RMS norm (2024); or they are elu + 1 and sum to 1 (2021)",
          {"length", "sum"});
    StateOptions::fields(visit);
  }
};

std::unique_ptr<RecurrentAttention> make_delta_rule(const DeltaRuleOptions& options, const MixerShape& shape);
Mechanism delta_rule_row();

}  // namespace tapir

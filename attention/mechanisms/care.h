// CARE's attention (Zhou et al. 2024, arXiv 2411.16170): linear attention whose divisor has an ε for each key that the query
// sees, for sums are means in the authors' code. In CARE's block (nn/models/care_transformer.h) only queries and keys are
// projected: values are the tokens themselves, and a convolutional network behind them mixes the channels of the heads.
//   y_t = φ(q_t) Σ_s φ(k_s) v_sᵀ / (φ(q_t)·Σ_s φ(k_s) + n_t ε),   φ = elu + 1,  ε = 10⁻⁶,  n_t keys that query t sees
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"
#include "attention/state_attention.h"

namespace tapir {

struct CareOptions : StateOptions {
  std::string projections = "all";

  void fields(nn::FieldVisitor& visit) override {
    visit("projections", projections,
          "all: those of multi-head attention; query_key: none of values and results, for blocks that mix channels behind it",
          {"all", "query_key"});
    StateOptions::fields(visit);
  }
};

// Throws Error for "query_key" where values, which are the tokens, do not have the channels of all heads.
std::unique_ptr<StateAttention> make_care(const CareOptions& options, const MixerShape& shape);
Mechanism care_row();

}  // namespace tapir

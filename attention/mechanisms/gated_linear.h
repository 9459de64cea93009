// Gated linear attention (Yang, Wang, Shen, Panda & Kim 2023, arXiv 2312.06635): the state of linear attention forgets, each
// feature at a rate of its own that the token says.
//   S_t = diag(α_t) S_{t−1} + k_tᵀ v_t,  o_t = q_t S_t,  α_t = sigmoid(W₂ W₁ x_t + b)^(1/τ)                     (section 4)
//   y_t = RMSNorm(o_t) ⊙ swish(W_r x_t), of each head, then the output projection
// Queries and keys have half the width of values. With one rate for a head it is the gate of Peng et al. 2021, arXiv
// 2103.02143; with rates that are fixed, α_h = 1 − 2^(−5−h), it is retention (Sun et al. 2023, arXiv 2307.08621).
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"
#include "attention/recurrent_attention.h"

namespace tapir {

struct GatedLinearOptions : StateOptions {
  std::string decay = "feature";
  double temperature = 16;
  int64_t rank = 16;

  void fields(nn::FieldVisitor& visit) override {
    visit("decay", decay, "rates of each feature of the state, of each head, or fixed ones of each head, as retention has",
          {"feature", "head", "fixed"});
    visit("temperature", temperature, "τ: the larger, the slower the state forgets", nn::between(1, 1e6));
    visit("rank", rank, "of the matrix that gives the rates of features", nn::between(1, 65536));
    visit.only(decay == "feature", "decay = \"feature\"", {"rank"});
    visit.only(decay != "fixed", "decay is not \"fixed\"", {"temperature"});
    StateOptions::fields(visit);
  }
};

// Throws Error where heads have an odd width.
std::unique_ptr<RecurrentAttention> make_gated_linear(const GatedLinearOptions& options, const MixerShape& shape);
Mechanism gated_linear_row();

}  // namespace tapir

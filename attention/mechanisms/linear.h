// Linear attention (Katharopoulos, Vyas, Pappas & Fleuret 2020, arXiv 2006.16236): the weight of a key is an inner product of
// features, φ(x) = elu(x) + 1, so sums over keys are kept in place of the keys.
//   y_t = φ(q_t) Σ_s φ(k_s) v_sᵀ / (φ(q_t)·Σ_s φ(k_s) + ε)                                           (eq. 5, 7, 8–12)
#pragma once
#include <memory>

#include "attention/mechanism.h"
#include "attention/state_attention.h"

namespace tapir {

struct LinearOptions : StateOptions {
  double epsilon = 0;   // the authors' code: 1e-6

  void fields(nn::FieldVisitor& visit) override {
    visit("epsilon", epsilon, "added to the sum that divides; 0: none, and weights sum to 1", nn::between(0, 1));
    StateOptions::fields(visit);
  }
};

std::unique_ptr<StateAttention> make_linear(const LinearOptions& options, const MixerShape& shape);
Mechanism linear_row();

}  // namespace tapir

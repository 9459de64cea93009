// FAST, or Fastmax (Gerami, Hoover, Dulepet & Duraiswami 2024, arXiv 2402.07901): the exponential of softmax gives way to the
// first terms of its series. A polynomial of an inner product is an inner product of features, so every pair counts and keys
// become sums.
//
//   a_ij = f(s_ij) / Σ_n f(s_in),   s_ij = q̂_i·k̂_j / t,   f(s) = 1 + s (p = 1),  1 + s + s²/2 (p = 2)
//   f(s_ij) = φ(q̂_i)·φ(k̂_j),   φ(x) = [1, x_a/√t, x_a²/(√2 t), x_a x_b/t for a < b]           1 + D, + D(D + 1)/2 features
//
// q̂ and k̂ are (`normalisation`)
//   per_token                      (x − m)/√(‖x − m‖² + 1e-5), m the mean of its channels; t = 1, |s| < 1
//   standardised                   (x − m)/√(‖x − m‖²/D + 1e-5); t = 1, |s| < D
//   none                           x; t = 8 √D
//   max_norm                       x / max_n ‖x_n‖ over the tokens of a sample and head; t = 1, |s| ≤ 1
//   centred_max_norm               the same of x − m
//   centred_sequence_max_norm      the same of x − the mean of the tokens, channel by channel
// The last three know later tokens, so they need a sequence without a causal mask. For p = 2 weights are positive, since
// f(s) = ((s + 1)² + 1)/2; for p = 1 they are ≥ 0 where |s| ≤ 1 alone.
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"
#include "attention/state_attention.h"

namespace tapir {

struct FastOptions : StateOptions {
  int64_t order = 2;   // p
  std::string normalisation = "per_token";

  void fields(nn::FieldVisitor& visit) override {
    visit("order", order, "p: the highest power of the score in a weight", nn::between(1, 2));
    visit("normalisation", normalisation,
          "of queries and keys; all but standardised and none bound scores by 1; the three by a largest norm know other tokens",
          {"per_token", "standardised", "none", "max_norm", "centred_max_norm", "centred_sequence_max_norm"});
    StateOptions::fields(visit);
  }

  bool over_tokens() const { return normalisation.ends_with("max_norm"); }
  bool bounded() const { return normalisation != "none" && normalisation != "standardised"; }   // |s| ≤ 1
};

std::unique_ptr<StateAttention> make_fast(const FastOptions& options, const MixerShape& shape);
Mechanism fast_row();

}  // namespace tapir

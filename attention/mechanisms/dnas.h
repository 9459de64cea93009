// Doubly normalised and hybrid attention (Ding, Fan, Lan, Schuurmans & Soricut 2020, arXiv 2009.14308): each key's scores are
// normalised over the queries first, so that no key is explained away by others.
//   ξ_ij = exp s_ij / Σ_i' exp s_i'j,   a_ij = ξ_ij / Σ_j' ξ_ij' = softmax_j(s_ij − c_j),   c_j = log Σ_i exp s_ij
//   hybrid: a = u a_doubly + (1 − u) softmax_j(s_ij),  u = σ(θ_h)
// Every key then has a total weight Σ_i a_ij of at least 1/N. Under a causal mask c_j of a whole column would know later
// queries: c_tj sums over the queries i ≤ t, so that every pair has one of its own, and there is no fused form. Queries and
// keys are the same tokens, so that padding is known among the queries too.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct DnasOptions : StagedOptions {
  bool hybrid = false;

  void fields(nn::FieldVisitor& visit) override {
    visit("hybrid", hybrid, "mixed with softmax's weights, in a share that each head learns from 1/2 on");
    StagedOptions::fields(visit);
  }
};

std::unique_ptr<nn::TokenMixer> make_dnas(const DnasOptions& options, const MixerShape& shape);
Mechanism dnas_row();

}  // namespace tapir

// Additive attention (Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, appendix A.1.2): a hidden layer of tanh units scores
// the pair.
//
//   e_ts = vᵀ tanh(W q_t + U k_s + b),   W, U (M,D), v (M), for each head
//
// The layer is separable: W q + b and U k are computed once per token, and pairs meet in a sum (pair_hidden.h), so that no
// value for each pair and unit is ever stored.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct AdditiveOptions : nn::Options {
  int64_t hidden = 0;
  bool bias = false;

  int64_t hidden_width(int64_t head_width) const { return hidden ? hidden : head_width; }

  void fields(nn::FieldVisitor& visit) override {
    visit("hidden", hidden, "hidden units of a head; 0: the head width", nn::between(0, 4096));
    visit("bias", bias, "add a bias b to the hidden layer");
  }
};

std::unique_ptr<nn::TokenMixer> make_additive(const AdditiveOptions& options, const MixerShape& shape);

Mechanism additive_row();

}  // namespace tapir

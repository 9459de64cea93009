// Attention-SH, attention with scaled heads (Nguyen et al. 2023, arXiv 2406.13781): head h reads means over windows of r_h keys
// in place of the keys, and of their values.
//   k̄_b = mean of k_j over window b, v̄_b likewise,   o_i = Σ_b softmax_b(q_i·k̄_b / √D) v̄_b
// A window that the sequence or padding cuts short is the mean of what is there. On a grid of an image windows are r × r cells,
// and class tokens stay alone. Under a causal mask a query reads the windows that ended before or at it, never one that later
// tokens would change, and where r_h > 1 its own key and value beside them, so that it always reads something. With
// Attention-BN upon it (attention_bn.h) the statistics are those of the windows that a query reads.
#pragma once
#include <memory>

#include "attention/mechanisms/attention_bn.h"

namespace tapir {

struct AttentionShOptions : nn::Options, KeyNormalisation {
  nn::Numbers factors{1, 2, 4, 8};
  bool normalised = false;

  void fields(nn::FieldVisitor& visit) override {
    visit("factors", factors, "r of each head, from the first again where there are more heads", nn::between(1, 4096));
    visit("normalised", normalised, "queries and means are normalised as by attention_bn, with its options");
    KeyNormalisation::fields(visit);
    visit.only(normalised, "normalised = true", {"beta", "learned", "deviation", "epsilon", "prior"});
  }
};

std::unique_ptr<nn::TokenMixer> make_attention_sh(const AttentionShOptions& options, const MixerShape& shape);
Mechanism attention_sh_row();

}  // namespace tapir

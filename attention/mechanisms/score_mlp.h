// Neural Attention (DiGiugno & Mahmood 2025, arXiv 2502.17206): a small network of the pair (q_i, k_j) gives the score.
//
//   q′ = P_q q + p_q,  k′ = P_k k + p_k                                  D → d′
//   paper form      s_ij = w_aᵀ ReLU(W_h [q′_i; k′_j] + b_h) + b_a
//   released form   u = ReLU(W_1 [q′_i; k′_j] + b_1),  v = ReLU(W_2 u + b_2),  s_ij = w_3ᵀ v + b_3,  widths d′ and ⌊d′/2⌋
//
// then softmax over the allowed keys. The first layer is separable, W_h [q′; k′] = A q′ + C k′ with W_h = [A C], so it is
// computed once per token; pairs meet in a sum (pair_hidden.h). The N × N concatenation is the oracle in tests/.
//
// b_a and b_3 cancel in the softmax: their gradient is exactly 0. In the released form with d′ = 2 one unit gates every
// pair: when it is off for all of them attention is uniform for ever (at least 1/8 of default initialisations). So the
// recorder is given "gate": the share of allowed (pair, unit) of the last hidden layer that are active, a scalar.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct ScoreMlpOptions : StagedOptions {
  std::string form = "released";
  std::string layers = "first";
  int64_t reduced = 0;
  int64_t hidden = 16;
  bool scale = false;
  bool shared = true;

  int64_t reduced_width(int64_t head_width) const { return reduced ? reduced : head_width >= 32 ? head_width / 32 : 1; }

  void fields(nn::FieldVisitor& visit) override {
    visit("form", form, "score network: one hidden layer as in the paper, or two as in the released code",
          {"paper", "released"});
    visit("layers", layers, "blocks that use it; the others use dot_product", {"first", "all"});
    visit("reduced", reduced, "width d′ of queries and keys in the network; 0: a 32nd of the head width",
          nn::between(0, 4096));
    visit("hidden", hidden, "hidden units of the paper form (the released form has d′ and d′/2)", nn::between(1, 4096));
    visit.only(form == "paper", "form = \"paper\"", {"hidden"});
    visit("scale", scale, "divide scores by the root of the head width");
    visit("shared", shared, "one network for all heads of a layer");
    StagedOptions::fields(visit);
  }
};

std::unique_ptr<nn::TokenMixer> make_score_mlp(const ScoreMlpOptions& options, const MixerShape& shape);

Mechanism score_mlp_row();

}  // namespace tapir

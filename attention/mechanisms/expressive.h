// Expressive Attention (Gros 2024, arXiv 2407.18601): large weight for parallel and anti-parallel pairs, small weight for
// orthogonal ones.
//
//   z_ts = β q_t·k_s,   g_ts = z_ts²/(1 + z_ts²),   a_ts = g_ts / Σ g_ts′ over the allowed keys
//
// A mask zeroes g after the map: a large negative score would be squared. A row whose allowed scores are all 0 has weights
// 0. With `alibi`, g_ts is multiplied by exp(−m_h |i − j|), the analogue of the bias of ALiBi (Press et al. 2022).
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct ExpressiveOptions : StagedOptions {
  double beta = 1;
  bool alibi = false;

  void fields(nn::FieldVisitor& visit) override {
    visit("beta", beta, "factor β of the dot product; 0: 1/√D, D the head width", nn::between(0, 1e6));
    visit("alibi", alibi, "multiply by exp(−m |i − j|), slopes m = 2^(−8h/H) for heads h = 1 … H");
    StagedOptions::fields(visit);
  }
};

std::unique_ptr<nn::TokenMixer> make_expressive(const ExpressiveOptions& options, const MixerShape& shape);

Mechanism expressive_row();

}  // namespace tapir

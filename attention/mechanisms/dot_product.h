// Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762, eq. 1): softmax(Q Kᵀ / √D) V. Every stage of
// staged attention as it stands.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

inline std::unique_ptr<nn::TokenMixer> make_dot_product(const MixerShape& shape, bool fused = false) {
  return std::make_unique<StagedAttention>(shape, fused);
}

Mechanism dot_product_row();

}  // namespace tapir

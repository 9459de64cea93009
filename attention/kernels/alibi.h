// ALiBi: attention with linear biases (Press, Smith, Lewis 2021, arXiv 2108.12409).
#pragma once
#include <vector>

#include "tensor/tensor.h"

namespace tapir {

// m_h of each head: 2^(−8h/H), h = 1 … H, where H is a power of two. Else those of the next smaller power P, then every
// second one of 2P, as in the authors' code.
std::vector<double> alibi_slopes(int64_t heads);

// −m_h |t + offset − s|, (H,T,S), to be added to scores. Under a causal mask this is the paper's; without one it is
// symmetric.
Tensor alibi_bias(int64_t heads, int64_t queries, int64_t keys, int64_t offset, DType type, Device device);

}  // namespace tapir

// Gaussian blurs of tokens, the steps of a pyramid whose levels keep all tokens: Laplacian bands are their differences.
#pragma once
#include <vector>

#include "nn/token_mixer.h"

namespace tapir {

// g of `level` i ≥ 0: normalised, 2 i + 3 numbers, of the deviation 1.6 · 2^(i/3).
std::vector<double> gaussian(int64_t level);

// g * x of tokens x (B,S,C), each channel by itself, with zeros around: on a grid over its cells, g gᵀ in a window of
// (2 i + 3)², where class tokens stay as they are; else along the sequence. Tokens that mask.keys hides are 0, and get 0. The map
// is symmetric, and g is no parameter.
Tensor blurred(const Tensor& x, int64_t level, const nn::Places& places, const Mask& mask);

}  // namespace tapir

// Where a model of images looks: weights of attention over the cells of an image. Letters: B images, H heads, T tokens: class
// tokens, then the cells of a grid row by row.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace tapir {

struct ImageGrid {
  int64_t class_tokens = 0, rows = 0, columns = 0;
  int64_t cells() const { return rows * columns; }
  int64_t tokens() const { return class_tokens + cells(); }
};

// What the classifier reads of each cell by weights (…,T,T) whose rows are queries, as (…,cells): those of the first class token,
// or where there is none, the mean over all queries, since the mean of all tokens is classified then.
Tensor read_from_cells(const Tensor& weights, const ImageGrid& grid);

// Whether every row of weights (…,S) is a distribution over the keys: nothing is negative, and the sum is 1 within 1e-3.
bool are_distributions(const Tensor& weights);

// Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928, section 4): Π_l (½ mean_h A_l + ½ I), the last layer first, (B,T,T)
// in f64. Layer by layer, so that none has to be kept: `before` is the product so far, undefined before the first layer, whose
// weights are (B,H,T,T).
Tensor rolled_out(const Tensor& before, const Tensor& weights);

}  // namespace tapir

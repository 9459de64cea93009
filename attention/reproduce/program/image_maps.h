// Where a model of images looks: weights of attention over the cells of an image. Letters: H heads, T tokens: class tokens, then
// the cells of a grid row by row.
#pragma once
#include <cstdint>
#include <vector>

namespace tapir {

struct ImageGrid {
  int64_t class_tokens = 0, rows = 0, columns = 0;
  int64_t cells() const { return rows * columns; }
  int64_t tokens() const { return class_tokens + cells(); }
};

// What the classifier reads of each cell by weights (T,T) whose rows are queries: those of the first class token, or where there is
// none, the mean over all queries, since the mean of all tokens is classified then.
std::vector<double> read_from_cells(const std::vector<double>& weights, const ImageGrid& grid);

// Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928, section 4): Π_l (½ mean_h A_l + ½ I), the last layer first, (T,T).
// `layers`: weights (H,T,T) of each, in order.
std::vector<double> rollout(const std::vector<std::vector<double>>& layers, int64_t tokens);

}  // namespace tapir

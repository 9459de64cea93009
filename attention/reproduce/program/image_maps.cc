#include "attention/reproduce/program/image_maps.h"

namespace tapir {

std::vector<double> read_from_cells(const std::vector<double>& weights, const ImageGrid& grid) {
  const int64_t tokens = grid.tokens(), queries = grid.class_tokens > 0 ? 1 : tokens;
  std::vector<double> read(grid.cells());
  for (int64_t t = 0; t < queries; ++t)
    for (int64_t cell = 0; cell < grid.cells(); ++cell)
      read[cell] += weights[t * tokens + grid.class_tokens + cell] / static_cast<double>(queries);
  return read;
}

std::vector<double> rollout(const std::vector<std::vector<double>>& layers, int64_t tokens) {
  std::vector<double> all(tokens * tokens);
  for (int64_t t = 0; t < tokens; ++t) all[t * tokens + t] = 1;
  for (const std::vector<double>& weights : layers) {
    const int64_t heads = static_cast<int64_t>(weights.size()) / (tokens * tokens);
    std::vector<double> next(tokens * tokens);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t s = 0; s < tokens; ++s) {
        double own = t == s ? 0.5 : 0;
        for (int64_t h = 0; h < heads; ++h) own += weights[(h * tokens + t) * tokens + s] / static_cast<double>(2 * heads);
        for (int64_t r = 0; r < tokens; ++r) next[t * tokens + r] += own * all[s * tokens + r];
      }
    all = std::move(next);
  }
  return all;
}

}  // namespace tapir

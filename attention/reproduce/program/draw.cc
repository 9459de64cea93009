#include "attention/reproduce/program/draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tapir {

int32_t draw(const std::vector<double>& logits, const DrawOptions& options, double uniform) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (options.temperature == 0) return static_cast<int32_t>(best - logits.begin());
  std::vector<double> p;
  for (const double logit : logits) p.push_back(std::exp((logit - *best) / options.temperature));

  if (options.top_k > 0 || options.top_p < 1) {
    std::vector<size_t> order(p.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    size_t kept = options.top_k > 0 ? std::min(order.size(), static_cast<size_t>(options.top_k)) : order.size();
    double total = 0, cumulative = 0;
    for (size_t i = 0; i < kept; ++i) total += p[order[i]];
    for (size_t i = 0; i < kept; ++i)
      if ((cumulative += p[order[i]]) >= options.top_p * total) kept = i + 1;
    for (size_t i = kept; i < order.size(); ++i) p[order[i]] = 0;
  }

  std::partial_sum(p.begin(), p.end(), p.begin());
  const auto chosen = std::upper_bound(p.begin(), p.end(), uniform * p.back());
  // Rounding may lead beyond the last token that has a share.
  return static_cast<int32_t>(std::min(chosen, std::lower_bound(p.begin(), p.end(), p.back())) - p.begin());
}

}  // namespace tapir

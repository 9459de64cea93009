#include "attention/reproduce/tasks/confusion.h"

#include <numeric>

namespace tapir {

int64_t Confusion::labelled(size_t k) const { return std::accumulate(counts[k].begin(), counts[k].end(), int64_t{0}); }

int64_t Confusion::guessed(size_t k) const {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0}, [k](int64_t sum, const auto& row) { return sum + row[k]; });
}

size_t Confusion::mistaken_for(size_t k) const {
  size_t most = k;
  for (size_t other = 0; other < classes.size(); ++other)
    if (other != k && counts[k][other] > (most == k ? 0 : counts[k][most])) most = other;
  return most;
}

}  // namespace tapir

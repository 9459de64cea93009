#include "datasets/draws.h"

#include <numbers>
#include <numeric>
#include <utility>

#include "tensor/scalar_math.h"
#include "tensor/sine.h"

namespace tapir {

double Draws::normal() {
  const double radius = math::sqrt(-2 * math::log(uniform(0, 1)));
  return radius * math::cos<true>(uniform(0, 2 * std::numbers::pi));
}

std::vector<int64_t> permutation(int64_t n, const RandomKey& key) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (size_t last = order.size(); last-- > 1;) {
    const Philox4 bits = random_block(key, last);
    const uint64_t drawn = uint64_t{bits[0]} << 32 | bits[1];
    std::swap(order[last], order[drawn % (last + 1)]);
  }
  return order;
}

}  // namespace tapir

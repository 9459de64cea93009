// Numbers for tests of tensor/, which draw none of their own.
#pragma once
#include <cstdint>
#include <vector>

namespace tapir::testing {

// Numbers in [−1, 1) from a linear congruential generator.
template <class T>
std::vector<T> numbers(int64_t count, uint64_t seed) {
  std::vector<T> values(count);
  for (T& value : values) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<T>(static_cast<double>(seed >> 11) / (1ull << 52) - 1);
  }
  return values;
}

}  // namespace tapir::testing

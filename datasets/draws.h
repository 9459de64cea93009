// Random numbers in a row, from Philox: the k-th is a function of the key, the first block and k.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/philox.h"

namespace tapir {

class Draws {
 public:
  // Blocks first_block, first_block + 1, …, four numbers each.
  Draws(const RandomKey& key, uint64_t first_block) : key_(key), block_(first_block) {}

  // Uniform in 0 … n − 1, exactly (Lemire 2019, arXiv 1805.10941). 0 < n < 2^31.
  int32_t below(int64_t n) {
    const auto bound = static_cast<uint32_t>(n);
    uint64_t product = uint64_t{next()} * bound;
    while (static_cast<uint32_t>(product) < -bound % bound) product = uint64_t{next()} * bound;
    return static_cast<int32_t>(product >> 32);
  }

  double uniform(double low, double high) { return low + (high - low) * static_cast<double>(tapir::uniform(next())); }

  double normal();   // mean 0, deviation 1, of two uniform numbers (Box, Muller 1958)

 private:
  uint32_t next() {
    if (used_ % 4 == 0) bits_ = random_block(key_, block_ + used_ / 4);
    return bits_[used_++ % 4];
  }

  RandomKey key_;
  uint64_t block_;
  Philox4 bits_{};
  uint32_t used_ = 0;
};

// 0 … n − 1 in an order that is a function of the key (Fisher & Yates 1938, Durstenfeld 1964).
std::vector<int64_t> permutation(int64_t n, const RandomKey& key);

}  // namespace tapir

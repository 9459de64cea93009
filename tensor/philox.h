// Philox4x32-10: random numbers as a pure function of (seed, step, site, element).
// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; tested on the published vectors.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "tensor/hd.h"

namespace tapir {

// Where a stream of random numbers is used. An element's value depends on nothing else: not on threads, device or history.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t step = 0;
  uint32_t site = 0;   // site_of(module path)
};

// FNV-1a: a module's path as a number.
constexpr uint32_t site_of(std::string_view path) {
  uint32_t hash = 2166136261u;
  for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

using Philox4 = std::array<uint32_t, 4>;

HD constexpr Philox4 philox(Philox4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

// The four numbers of elements 4·block … 4·block + 3.
HD constexpr Philox4 random_block(const RandomKey& key, uint64_t block) {
  return philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), key.site, key.step},
                static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32));
}

// Uniform in (0, 1): 23 bits and a half, so the value is exact in f32.
HD constexpr float uniform(uint32_t bits) { return (static_cast<float>(bits >> 9) + 0.5f) * 0x1p-23f; }

}  // namespace tapir

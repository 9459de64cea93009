// What is written in place by name, each in memory of its own.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tensor/overlap.h"

namespace tapir::nn {

// Throws an Error named after `where` if two of them have an element at the same place.
inline void require_own_memory(const char* where, const std::vector<std::pair<std::string, Tensor>>& all) {
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      require(
          !overlap(all[i].second, all[j].second), where,
          [&] { return text(all[j].first, " and ", all[i].first, " share memory"); }, "register what is shared once");
}

}  // namespace tapir::nn

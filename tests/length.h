// How long a test goes on: short in ./check, long in the ring `long` of ./check --full, which sets LENGTH=long.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace tapir {

inline bool long_form() {
  const char* const length = std::getenv("LENGTH");
  return length && std::string_view(length) == "long";
}

inline int64_t cases(int64_t in_short, int64_t in_long) { return long_form() ? in_long : in_short; }

}  // namespace tapir

// Arguments that are no tensors. C++ would take them for one another, sum(x, true) for the sum along axis 1: here that does
// not compile. And the ranges of numbers.
#pragma once
#include <cmath>
#include <concepts>
#include <cstdint>
#include <ostream>
#include <type_traits>

#include "tensor/error.h"

namespace tapir {

struct Axis {   // an int, and nothing else
  template <std::same_as<int> T> constexpr Axis(T axis) : value(axis) {}   // NOLINT: implicit, as all of these
  constexpr operator int() const { return value; }
  int value;
};

struct Flag {   // true or false, and no number
  template <std::same_as<bool> T> constexpr Flag(T flag) : value(flag) {}   // NOLINT
  constexpr operator bool() const { return value; }
  bool value;
};

struct Count {   // of elements or places: a whole number of any width
  template <std::integral T> requires(!std::same_as<T, bool>)
  constexpr Count(T count) : value(static_cast<int64_t>(count)) {}   // NOLINT
  constexpr operator int64_t() const { return value; }
  int64_t value;
};

struct Number {   // whole or not
  template <class T> requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>)
  constexpr Number(T number) : value(static_cast<double>(number)) {}   // NOLINT
  constexpr operator double() const { return value; }
  double value;
};

// low … high, each end a part of it or not. NaN is in none.
struct Bounds {
  double low, high;
  bool with_low = true, with_high = true;
  bool contains(double x) const { return (with_low ? low <= x : low < x) && (with_high ? x <= high : x < high); }
};
namespace interval {
inline constexpr Bounds numbers{-HUGE_VAL, HUGE_VAL}, finite{-HUGE_VAL, HUGE_VAL, false, false};
inline constexpr Bounds positive{0, HUGE_VAL, false, false}, not_negative{0, HUGE_VAL, true, false};
}  // namespace interval

inline std::ostream& operator<<(std::ostream& out, const Bounds& range) {
  return out << (range.with_low ? '[' : '(') << range.low << ", " << range.high << (range.with_high ? ']' : ')');
}

// Throws an Error named after `where` unless the number is in the range:  layer_norm: epsilon must be in [0, inf), got -1
inline void require_in(const Bounds& range, const char* where, const char* parameter, double number) {
  require(range.contains(number), where, [&] { return text(parameter, " must be in ", range, ", got ", number); });
}

}  // namespace tapir

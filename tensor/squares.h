// Sums of squares of numbers of every size. Squares of large numbers overflow, those of small ones lose digits; such numbers
// are first multiplied by a power of two, which is exact. That is rare: a caller asks the sum that it has whether it must be.
#pragma once
#include "tensor/scalar_math.h"

namespace tapir::math {

// Whether squares with this sum, or mean, have neither overflowed nor lost digits that matter.
template <std::floating_point T>
HD_INLINE bool keeps_digits(T squares) {
  using F = Format<T>;
  return squares > F::smallest_normal / (F::epsilon * F::epsilon) && squares < F::infinity;
}

// Whether the cube of this sum, and its inverse, are normal numbers: second derivatives of 1/√squares have powers up to 5/2.
template <std::floating_point T>
HD_INLINE bool has_cubes(T squares) {
  constexpr T least = is_float<T> ? T(0x1p-42) : T(0x1p-340);
  return squares > least && squares < T(1) / least;
}

// The power of two that takes x > 0 into [1, 2), and in any case below 4; that takes subnormal numbers as far as it can.
// 1 for 0, ∞ and NaN. Its inverse is a normal number too.
template <std::floating_point T>
HD_INLINE T scale_of(T x) {
  using F = Format<T>;
  if (!(x > T(0) && x < F::infinity)) return T(1);
  const auto exponent = bits(x) >> F::fraction_bits;   // with the bias
  const typename F::Word last = 2 * F::bias - 1;
  return power_of_two<T>(exponent < 1 ? last : exponent > last ? 1 : last + 1 - exponent);
}

}  // namespace tapir::math

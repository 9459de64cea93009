// Mean and variance of a row, whatever the size of its numbers.
#pragma once
#include "tensor/squares.h"

namespace tapir {

// Of scale · x: scale is a power of two, 1 where the variance of x has cubes (tensor/squares.h).
template <class T> struct RowStatistics {
  T mean, variance, scale;
  HD T inverse_deviation(T epsilon) const { return T(1) / math::sqrt(variance + epsilon * scale * scale); }
};

// The same, scaled by the largest |x|, or by √ε where that is larger. Equal numbers have exactly their mean and variance 0.
template <class T, class Team, class Element>
HD RowStatistics<T> scaled_statistics(const Team& team, int64_t n, const Element& x, T divisor, T epsilon) {
  const T largest = team.max(n, [&](int64_t i) { return math::abs(x(i)); }), root = math::sqrt(epsilon);
  const T scale = math::scale_of(largest < root ? root : largest);
  const T rough = team.sum(n, [&](int64_t i) { return x(i) * scale; }) / static_cast<T>(n);
  const T mean = rough + team.sum(n, [&](int64_t i) { return std::fma(x(i), scale, -rough); }) / static_cast<T>(n);
  const T squares = team.sum(n, [&](int64_t i) {
    const T d = std::fma(x(i), scale, -mean);
    return d * d;
  });
  if (squares == T(0)) return {mean / scale, T(0), T(1)};
  return {mean, squares / divisor, scale};
}

// mean = Σ x / n,  variance = Σ (x − mean)² / divisor, of x(i), i < n
template <class T, class Team, class Element>
HD_INLINE RowStatistics<T> row_statistics(const Team& team, int64_t n, const Element& x, T divisor, T epsilon) {
  const T mean = team.sum(n, x) / static_cast<T>(n);
  const T squares = team.sum(n, [&](int64_t i) { return (x(i) - mean) * (x(i) - mean); });
  const T variance = squares / divisor;
  if (math::has_cubes(variance + epsilon)) [[likely]] return {mean, variance, T(1)};
  return scaled_statistics(team, n, x, divisor, epsilon);
}

}  // namespace tapir

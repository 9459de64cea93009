// The map of Expressive Attention (Gros 2024, arXiv 2407.18601) and the slopes of its ALiBi.
#pragma once
#include <cstdint>

#include "tensor/scalar_math.h"

namespace tapir {

// z²/(1 + z²), also where z² overflows
template <class T> HD_INLINE T response(T z) {
  const T square = z * z, rest = T(1) / (T(1) + square);
  return square < T(1) ? square * rest : T(1) - rest;
}

// 2/(z (1 + z²)), the derivative of the response's logarithm
template <class T> HD_INLINE T log_response_slope(T z) { return T(2) / (z * (T(1) + z * z)); }

// 2^(−8 (h + 1)/H) for head h = 0 … H − 1, the paper's rule for any H; alibi.h has the steps of the authors' code where H is
// no power of two.
HD_INLINE double response_slope(int64_t head, int64_t heads) {
  return math::exp(-8 * 0.6931471805599453 * static_cast<double>(head + 1) / static_cast<double>(heads));
}

}  // namespace tapir

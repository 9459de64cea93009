// Comparisons of numbers that infinity and NaN do not pass: |∞ − x| ≤ 1e-6 |∞| would hold, and NaN gets lost in a maximum.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

namespace tapir {

// |x − y| ≤ absolute + relative max(|x|, |y|), both finite.
inline bool within(double x, double y, double absolute, double relative) {
  return std::isfinite(x) && std::isfinite(y) &&
         std::fabs(x - y) <= absolute + relative * std::max(std::fabs(x), std::fabs(y));
}

// |x − y| / scale; infinite unless all three are finite. Never NaN, so a maximum of errors keeps the worst.
inline double error_of(double x, double y, double scale = 1) {
  const double error = std::fabs(x - y) / scale;
  return std::isfinite(x) && std::isfinite(y) && std::isfinite(scale) && !std::isnan(error)
             ? error : std::numeric_limits<double>::infinity();
}

}  // namespace tapir

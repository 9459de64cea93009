#include "attention/reproduce/program/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "nn/train/finite.h"

namespace tapir {
namespace {

// P(|T| < t) with θ = atan(t/√ν) (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4):
//   ν odd:   2/π (θ + sin θ (cos θ + 2/3 cos³θ + … + (2·4⋯(ν−3)) / (3·5⋯(ν−2)) cos^(ν−2) θ))
//   ν even:  sin θ (1 + 1/2 cos²θ + … + (1·3⋯(ν−3)) / (2·4⋯(ν−2)) cos^(ν−2) θ)
double student_probability(double theta, int64_t degrees) {
  const double sine = std::sin(theta), cosine = std::cos(theta);
  const bool odd = degrees % 2;
  double term = odd ? cosine : 1, sum = degrees > 1 ? term : 0;
  for (int64_t power = odd ? 3 : 2; power <= degrees - 2; power += 2)
    sum += term *= cosine * cosine * static_cast<double>(power - 1) / static_cast<double>(power);
  return odd ? 2 / std::numbers::pi * (theta + sine * sum) : sine * sum;
}

}  // namespace

double student_quantile(int64_t degrees) {
  double low = 0, high = std::numbers::pi / 2;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (student_probability(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return std::tan(low) * std::sqrt(static_cast<double>(degrees));
}

bool Interval::excludes_zero() const { return std::abs(mean) > half_width; }

Interval mean_interval(const std::vector<double>& values) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (values.empty()) return {nan, nan};
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  require_finite("interval", text("the mean of ", values.size(), " results"), mean);
  for (const double value : values) squares += (value - mean) * (value - mean);
  if (values.size() == 1) return {mean, nan};
  require_finite("interval", text("the variance of ", values.size(), " results"), squares);
  return {mean, student_quantile(static_cast<int64_t>(values.size()) - 1) * std::sqrt(squares / (n - 1) / n)};
}

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Entropy entropy_of(const std::vector<double>& weights, int64_t keys) {
  Entropy total{0, 0};
  int64_t rows = 0;
  for (size_t row = 0; row < weights.size(); row += keys) {
    double sum = 0, own = 0, seen = 0;
    for (int64_t s = 0; s < keys; ++s) {
      const double a = weights[row + s];
      if (a == 0) continue;
      sum += a;
      own -= a * std::log(a);   // NaN for a negative weight
      ++seen;
    }
    if (seen == 0) continue;
    total.mean += std::abs(sum - 1) < 1e-3 ? own : std::numeric_limits<double>::quiet_NaN();
    total.uniform += std::log(seen);
    ++rows;
  }
  return {total.mean / static_cast<double>(rows), total.uniform / static_cast<double>(rows)};
}

}  // namespace tapir

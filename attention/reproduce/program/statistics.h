// Means over seeds with their uncertainty, and entropies of attention weights.
#pragma once
#include <cstdint>
#include <vector>

namespace tapir {

// t with P(|T| < t) = 0.95, T Student's with ν ≥ 1 degrees of freedom.
double student_quantile(int64_t degrees);

// The 95 % interval mean ± half_width of the expectation of independent normal values: half_width = t s / √n, with
// s² = Σ (x − mean)² / (n − 1) and n − 1 degrees of freedom. NaN where there is too little to say: both without values,
// half_width with one. Throws NotFinite (nn/train/finite.h) when values are not finite, or their squares overflow.
struct Interval {
  double mean, half_width;
  bool excludes_zero() const;   // false where half_width is NaN
};
Interval mean_interval(const std::vector<double>& values);

double median(std::vector<double> values);   // mean of the middle two where their number is even; NaN without values

// Means over the rows of weights (T,S), row by row, in nats: of −Σ a ln a, and of ln of the number of keys with weight, the
// entropy of uniform weights over them. Rows without any weight do not count; NaN where a row is no distribution.
struct Entropy {
  double mean, uniform;
};
Entropy entropy_of(const std::vector<double>& weights, int64_t keys);

}  // namespace tapir

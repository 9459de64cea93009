// Means over seeds with their uncertainty, tests of differences and of families of them, and entropies of attention weights.
#pragma once
#include <cstdint>
#include <vector>

namespace tapir {

// t with P(|T| < t) = `probability`, T Student's with ν ≥ 1 degrees of freedom.
double student_quantile(int64_t degrees, double probability = 0.95);

// The interval mean ± half_width of the expectation of independent normal values, which has it with `probability`:
// half_width = t s / √n, with s² = Σ (x − mean)² / (n − 1) and n − 1 degrees of freedom. NaN where there is too little to say:
// both without values, half_width with one. Throws NotFinite (nn/train/finite.h) when values are not finite, or their squares
// overflow.
struct Interval {
  double mean, half_width;
};
Interval mean_interval(const std::vector<double>& values, double probability = 0.95);

// P(|T| ≥ |mean| √n / s): how likely a mean so far from 0 is where the expectation is 0 (Student 1908). NaN for fewer than two
// values; 1 where all are 0.
double student_p(const std::vector<double>& values);

// P of at least |wins − losses| apart if either is as likely: the sign test, ties left out (Dixon & Mood 1946). NaN without any.
double sign_p(int64_t wins, int64_t losses);

// Holm 1979: p_(k), the k-th smallest of m, becomes max over j ≤ k of min(1, (m − j + 1) p_(j)). Below α it says what p says
// alone, but the chance that any of the m says so wrongly is at most α. NaN stays, and does not count.
struct Corrected {
  double p;
  double level;   // 1 − 0.05 / (m − k + 1): of the interval that goes with it
};
std::vector<Corrected> holm(const std::vector<double>& p);

double median(std::vector<double> values);   // mean of the middle two where their number is even; NaN without values

// Means over the rows of weights (T,S), row by row, in nats: of −Σ a ln a, and of ln of the number of keys with weight, the
// entropy of uniform weights over them. Rows without any weight do not count; NaN where a row is no distribution.
struct Entropy {
  double mean, uniform;
};
Entropy entropy_of(const std::vector<double>& weights, int64_t keys);

}  // namespace tapir

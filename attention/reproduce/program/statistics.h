// Means and shares over seeds with their uncertainty, tests of differences and of families of them, times until something
// happens, and entropies of attention weights.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
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

// Of the probability behind a share k / n (Wilson 1927): (k + z²/2 ± z √(k (n − k) / n + z²/4)) / (n + z²). `mean` is its middle,
// which lies between the share and 1/2. NaN for n = 0. Throws Error unless 0 ≤ k ≤ n.
Interval wilson(int64_t successes, int64_t of, double level = 0.95);

std::string ends_of(const Interval& interval);   // of a share: "0.431–0.502"; "–" where there is none

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

// 1 − 0.05 / m, of each of m ≥ 1 intervals: with 95 % all of them hold what they are of at once, however they depend on one
// another, by Bonferroni's inequality (Dunn 1961).
double joint_level(size_t intervals);

// The time until something happened, or, where it had not by the end, until nobody looked any more.
struct Lifetime {
  double time;
  bool ended;                            // false: censored at that time
};

// Kaplan & Meier 1958: after time t, Π (n − d) / n over the times up to t at which d of the n that were still there ended. Who
// is censored at a time is still there at that time. The band is pointwise and of 95 %, from Greenwood's variance of
// log(−log alive); the interval of the median is where the band holds 1/2 (Brookmeyer & Crowley 1982). Where nobody is left
// that variance is infinite: the band is drawn as 0 there, and bounds nothing from above.
struct Survival {
  std::vector<double> times, alive;      // alive[i]: share that has not ended after times[i]; from 0, 1 to the last time of all
  std::vector<double> low, high;         // band
  double median;                         // first time after which at most half are alive; NaN: there is none
  double median_low, median_high;        // NaN: no bound
};
// Without lives all is empty and NaN. Throws Error for a time that is negative or not finite; so does log_rank().
Survival survival(const std::vector<Lifetime>& lives);

// Whether two groups end alike (Mantel 1966), in strata that are compared within themselves alone: (Σ (d₁ − d n₁ / n))² / Σ V
// over all times of all strata at which d of n end, of them d₁ of the first group's n₁;
// V = d (n₁ / n) (1 − n₁ / n) (n − d) / (n − 1).
struct LogRank {
  double statistic, p;                   // χ² of one degree of freedom; NaN: never were both there when one ended
};
LogRank log_rank(const std::vector<std::pair<std::vector<Lifetime>, std::vector<Lifetime>>>& strata);

// Mean of the middle two where their number is even. NaN stands for no value, and does not count; NaN where none is left.
double median(std::vector<double> values);

// Means over the rows of weights (T,S), row by row, in nats: of −Σ a ln a, and of ln of the number of keys with weight, the
// entropy of uniform weights over them. Rows without any weight do not count; NaN where a row is no distribution.
struct Entropy {
  double mean, uniform;
};
Entropy entropy_of(const std::vector<double>& weights, int64_t keys);

}  // namespace tapir

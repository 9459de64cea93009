#include "attention/reproduce/program/statistics.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <set>

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

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Moments {
  double mean, error;   // s / √n; NaN for fewer than two values
};

Moments moments_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  require_finite("interval", text("the mean of ", values.size(), " results"), mean);
  for (const double value : values) squares += (value - mean) * (value - mean);
  if (values.size() == 1) return {mean, nan};
  require_finite("interval", text("the variance of ", values.size(), " results"), squares);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

double normal_quantile(double probability) {   // z with P(|Z| < z) = `probability`
  double low = 0, high = 40;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (std::erf(middle / std::numbers::sqrt2) < probability ? low : high) = middle;
  }
  return low;
}

std::set<double> ends_of(const std::vector<Lifetime>& lives) {
  std::set<double> ends;
  for (const Lifetime& life : lives) {
    require(life.time >= 0 && std::isfinite(life.time), "survival",
            [&] { return text("a time must be finite and not negative, found ", life.time); });
    if (life.ended) ends.insert(life.time);
  }
  return ends;
}

struct AtRisk {
  double there = 0, ended = 0;
};

AtRisk at_risk(const std::vector<Lifetime>& lives, double time) {
  AtRisk found;
  for (const Lifetime& life : lives) {
    found.there += life.time >= time;
    found.ended += life.ended && life.time == time;
  }
  return found;
}

}  // namespace

double student_quantile(int64_t degrees, double probability) {
  double low = 0, high = std::numbers::pi / 2;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (student_probability(middle, degrees) < probability ? low : high) = middle;
  }
  return std::tan(low) * std::sqrt(static_cast<double>(degrees));
}

Interval mean_interval(const std::vector<double>& values, double probability) {
  if (values.empty()) return {nan, nan};
  const Moments moments = moments_of(values);
  if (values.size() == 1) return {moments.mean, nan};
  return {moments.mean, student_quantile(static_cast<int64_t>(values.size()) - 1, probability) * moments.error};
}

Interval wilson(int64_t successes, int64_t of, double level) {
  require(successes >= 0 && successes <= of, "wilson", [&] { return text(successes, " of ", of, " is no share"); });
  if (of == 0) return {nan, nan};
  const auto k = static_cast<double>(successes), n = static_cast<double>(of);
  const double z = normal_quantile(level);
  return {(k + z * z / 2) / (n + z * z), z * std::sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)};
}

std::string ends_of(const Interval& interval) {
  if (std::isnan(interval.mean)) return "–";
  return fmt::format("{:.3f}–{:.3f}", interval.mean - interval.half_width, interval.mean + interval.half_width);
}

double student_p(const std::vector<double>& values) {
  if (values.size() < 2) return nan;
  const Moments moments = moments_of(values);
  if (moments.mean == 0) return 1;
  const auto degrees = static_cast<int64_t>(values.size()) - 1;
  return 1 - student_probability(std::atan2(std::abs(moments.mean), moments.error * std::sqrt(static_cast<double>(degrees))),
                                 degrees);
}

double sign_p(int64_t wins, int64_t losses) {
  const int64_t n = wins + losses, most = std::max(wins, losses);
  if (n == 0) return nan;
  double tail = 0;   // Σ_{k ≥ most} C(n, k) / 2ⁿ
  for (int64_t k = most; k <= n; ++k)
    tail += std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) - std::numbers::ln2 * n);
  return std::min(1.0, 2 * tail);
}

std::vector<Corrected> holm(const std::vector<double>& p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<Corrected> corrected(p.size(), {nan, nan});
  double least = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    const auto left = static_cast<double>(order.size() - k);
    least = std::max(least, std::min(1.0, left * p[order[k]]));
    corrected[order[k]] = {least, 1 - 0.05 / left};
  }
  return corrected;
}

double joint_level(size_t intervals) { return 1 - 0.05 / static_cast<double>(intervals); }

Survival survival(const std::vector<Lifetime>& lives) {
  Survival curve{{}, {}, {}, {}, nan, nan, nan};
  const auto add = [&](double time, double alive, double low, double high) {
    curve.times.push_back(time);
    curve.alive.push_back(alive);
    curve.low.push_back(low);
    curve.high.push_back(high);
  };
  const auto note_half = [](double& when, double time, double share) {
    constexpr double half = 0.5 + 1e-12;   // a share is a product, which rounds
    if (std::isnan(when) && share <= half) when = time;
  };
  const double z = normal_quantile(0.95);
  double alive = 1, variance = 0, last = 0;   // Greenwood's, of log alive
  const std::set<double> ends = ends_of(lives);
  for (const Lifetime& life : lives) last = std::max(last, life.time);
  if (!lives.empty()) add(0, 1, 1, 1);
  for (const double time : ends) {
    const auto [there, ended] = at_risk(lives, time);
    alive *= (there - ended) / there;
    variance += ended / (there * (there - ended));
    const double width = alive > 0 ? std::exp(z * std::sqrt(variance) / -std::log(alive)) : 1;
    add(time, alive, std::pow(alive, width), std::pow(alive, 1 / width));
    note_half(curve.median, time, alive);
    note_half(curve.median_low, time, curve.low.back());
    if (alive > 0) note_half(curve.median_high, time, curve.high.back());
  }
  if (!lives.empty() && curve.times.back() < last) add(last, alive, curve.low.back(), curve.high.back());
  return curve;
}

LogRank log_rank(const std::vector<std::pair<std::vector<Lifetime>, std::vector<Lifetime>>>& strata) {
  double difference = 0, variance = 0;
  for (const auto& [first, second] : strata) {
    std::set<double> ends = ends_of(first);
    ends.merge(ends_of(second));
    for (const double time : ends) {
      const AtRisk a = at_risk(first, time), b = at_risk(second, time);
      const double there = a.there + b.there, ended = a.ended + b.ended, share = a.there / there;
      difference += a.ended - ended * share;
      if (there > 1) variance += ended * share * (1 - share) * (there - ended) / (there - 1);
    }
  }
  if (variance == 0) return {nan, nan};
  const double statistic = difference * difference / variance;
  return {statistic, std::erfc(std::sqrt(statistic / 2))};
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });   // they have no place in an order
  if (values.empty()) return nan;
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

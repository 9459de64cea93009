#include "attention/reproduce/program/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tapir {
namespace {

constexpr size_t most_intervals = 6;

std::vector<double> linear_ticks(double low, double high, size_t most) {
  if (low > 0 && low < high / 2) low = 0;
  constexpr double rounding = 1e-9, factors[] = {1, 2, 5};
  const double power = std::floor(std::log10((high - low) / static_cast<double>(most)));
  for (int k = 0;; ++k) {
    const double step = factors[k % 3] * std::pow(10, power + k / 3);
    const double first = std::floor(low / step + rounding), last = std::ceil(high / step - rounding);
    if (last - first > static_cast<double>(most)) continue;
    std::vector<double> ticks;
    for (double tick = first; tick <= last; ++tick) ticks.push_back(tick * step);
    return ticks;
  }
}

// 1, 2 and 5 of each decade, or else 1 of every decade, every second, third, …
std::vector<double> logarithmic_ticks(double low, double high, size_t most) {
  for (int every = 0;; ++every) {
    std::vector<double> ticks;
    const double stride = std::max(every, 1);
    for (double decade = std::floor(std::log10(low) / stride) * stride; ticks.empty() || ticks.back() < high; decade += stride)
      for (const double factor : {1, 2, 5}) {
        const double tick = factor * std::pow(10, decade);
        if (every > 0 && factor > 1) break;
        if (ticks.empty() || tick <= low) ticks = {tick};
        else if (ticks.back() < high) ticks.push_back(tick);
      }
    if (ticks.size() <= most + 1) return ticks;
  }
}

}  // namespace

Axis::Axis(bool logarithmic, double low, double high, double room, double letter) : logarithmic_(logarithmic) {
  if (!(high - low > 1e-9 * std::max(std::abs(low), std::abs(high)))) {   // all are one number
    const double half = low == 0 ? 1 : std::abs(low) / 2;
    low -= half;
    high += half;
  }
  for (size_t most = most_intervals; most > 1; --most) {
    place_ticks(low, high, most);
    size_t longest = 0;
    for (const std::string& name : names_) longest = std::max(longest, name.size());
    name_width_ = letter * static_cast<double>(longest);
    if (name_width_ * static_cast<double>(ticks_.size()) <= room) return;
  }
}

void Axis::place_ticks(double low, double high, size_t most) {
  ticks_ = logarithmic_ ? logarithmic_ticks(low, high, most) : linear_ticks(low, high, most);
  const double largest = std::max(std::abs(ticks_.front()), std::abs(ticks_.back())), step = ticks_[1] - ticks_[0];
  const int digits = logarithmic_ ? 6 : std::max(6, static_cast<int>(std::log10(largest / step)) + 2);
  names_.clear();
  for (const double tick : ticks_) names_.push_back(fmt::format("{:.{}g}", tick, digits));
}

double Axis::at(double value) const {
  const auto scale = [&](double one) { return logarithmic_ ? std::log(one) : one; };
  const double first = scale(ticks_.front()), last = scale(ticks_.back());
  return from_ + (to_ - from_) * (scale(value) - first) / (last - first);
}

}  // namespace tapir

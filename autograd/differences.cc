#include "autograd/differences.h"

#include <algorithm>
#include <cmath>

#include "autograd/tolerance.h"

namespace tapir {

const std::vector<double>& Line::operator()(double t) {
  const auto found = known_.find(t);
  return found != known_.end() ? found->second : known_.emplace(t, at_(t)).first->second;
}

void Extrapolation::add(double d, double noise) {
  if (!std::isfinite(d)) {
    row_.clear();
    return;
  }
  std::vector<double> row{d};
  for (size_t j = 0; j < row_.size(); ++j) {
    row.push_back(row[j] + (row[j] - row_[j]) / (std::ldexp(1.0, power_ * static_cast<int>(j + 1)) - 1));
    const double error = std::max({std::fabs(row[j + 1] - row[j]), std::fabs(row[j + 1] - row_[j]), noise});
    if (error <= error_) {
      value_ = row[j + 1];
      error_ = error;
    }
  }
  row_ = std::move(row);
}

bool Tolerance::holds(double x, double y) const { return within(x, y, absolute, relative); }
double Tolerance::at(double x) const { return absolute + relative * std::fabs(x); }

namespace {

constexpr double nothing = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
constexpr double sure = 4;   // an estimate of an error may be so many times too small

// φ′(0) for one step after the other, from long to short in ladders that know nothing of each other: a kink spoils those that
// step across it. Ends where `agrees` takes a value, or where one is sure.
template <class Agrees>
Slope descend(const std::function<double(double)>& phi, double step, const Tolerance& tolerance, const Agrees& agrees) {
  constexpr int ladders = 4, rungs = 6, apart = 7;
  Slope best{nothing, infinite, nothing, nothing, infinite, false};
  for (int ladder = 0; ladder < ladders; ++ladder) {
    Extrapolation central(2), before(1), after(1);
    const auto at = [&](int rung) { return std::ldexp(2 * step, -(apart * ladder + rung)); };
    const auto noise = [&](double h) { return (std::fabs(phi(h)) + std::fabs(phi(-h))) * 0x1p-52 / h; };
    for (int rung = 0; rung < rungs; ++rung) {
      const double h = at(rung);
      central.add((phi(h) - phi(-h)) / (2 * h), noise(h) / 2);
      if (agrees(central.value())) return {central.value(), central.error(), central.value(), central.value(), 0, false};
    }
    for (int rung = 0; rung < rungs; ++rung) {
      const double h = at(rung);
      after.add((phi(h) - phi(0)) / h, noise(h));
      before.add((phi(0) - phi(-h)) / h, noise(h));
    }
    const double doubt = sure * std::max(after.error(), before.error());
    const bool kinked = std::fabs(after.value() - before.value()) > 2 * doubt + tolerance.at(after.value());
    const bool certain = !kinked && sure * central.error() <= tolerance.at(central.value());
    if (certain || central.error() < best.error)
      best = {central.value(), central.error(), before.value(), after.value(), doubt, kinked};
    if (certain) break;
  }
  if (!best.kinked) {
    best.before = best.after = best.value;
    best.doubt = sure * best.error;
  }
  return best;
}

}  // namespace

Slope slope_of(const std::function<double(double)>& phi, double step, const Tolerance& tolerance) {
  return descend(phi, step, tolerance, [](double) { return false; });
}

Verdict judge(const std::function<double(double)>& phi, double analytic, double step, const Tolerance& tolerance) {
  bool agreed = false;
  const Slope slope = descend(phi, step, tolerance, [&](double value) { return agreed = tolerance.holds(analytic, value); });
  const bool finite = std::isfinite(analytic) && std::isfinite(slope.value);
  if (agreed) return {slope, Verdict::right};
  if (finite && slope.kinked) return {slope, Verdict::kink};
  const bool doubtful = finite && std::fabs(analytic - slope.value) <= tolerance.at(slope.value) + slope.doubt;
  return {slope, doubtful ? Verdict::right : Verdict::wrong};
}

}  // namespace tapir

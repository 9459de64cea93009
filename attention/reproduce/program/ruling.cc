#include "attention/reproduce/program/ruling.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace tapir {
namespace {

// Of 2, 3, …: the first number of seeds whose interval would be at most `gap` on either side.
int64_t seeds_for(double gap, double deviation, double level) {
  constexpr int64_t most = 100'000;
  int64_t n = 2;
  while (n < most && student_quantile(n - 1, level) * deviation / std::sqrt(static_cast<double>(n)) > gap) n += 1 + n / 50;
  return n;
}

Ruling::Kind ruled(const TrialOptions& options, const Interval& gain) {
  const double low = gain.mean - gain.half_width, high = gain.mean + gain.half_width;
  if (options.expects == "not_worse")
    return low > -options.difference ? Ruling::holds : high < -options.difference ? Ruling::fails : Ruling::undecided;
  return low > 0 && gain.mean >= options.difference ? Ruling::holds
         : high < options.difference                ? Ruling::fails
                                                    : Ruling::undecided;
}

// How near the interval's end must come to its middle, so that it is decided.
double gap_of(const TrialOptions& options, double mean) {
  if (options.expects == "not_worse") return std::abs(mean + options.difference);
  return mean >= options.difference ? mean : options.difference - mean;
}

}  // namespace

std::vector<Ruling> rulings(const TrialOptions& options, std::vector<Pairing> pairings) {
  const double level = joint_level(pairings.size());
  std::vector<Ruling> all;
  for (Pairing& pairing : pairings) {
    const Interval gain = mean_interval(pairing.gains, level), known = mean_interval(pairing.known, level);
    Ruling& ruling =
        all.emplace_back(Ruling{.pairing = std::move(pairing), .interval = gain, .alone = ruled(options, gain)});
    if (ruling.alone == ruled(options, known)) ruling.kind = ruling.alone;
  }
  return all;
}

int64_t seeds_needed(const TrialOptions& options, const Ruling& ruling, size_t of) {
  const auto n = static_cast<int64_t>(ruling.pairing.gains.size());
  if (ruling.alone != Ruling::undecided || n == 0) return 0;
  const double level = joint_level(of);
  const double deviation = ruling.interval.half_width / student_quantile(n - 1, level) * std::sqrt(n);
  return seeds_for(gap_of(options, ruling.interval.mean), deviation, level);
}

Verdict verdict_of(const std::vector<Ruling>& rulings) {
  std::map<std::pair<std::string, std::string>, std::pair<bool, bool>>
      units;   // by cell and subject: whether all hold, one fails
  for (const Ruling& one : rulings) {
    auto& [all_hold, one_fails] = units.try_emplace({one.pairing.cell, one.pairing.subject}, true, false).first->second;
    all_hold = all_hold && one.kind == Ruling::holds;
    one_fails = one_fails || one.kind == Ruling::fails;
  }
  const auto standing = std::count_if(units.begin(), units.end(), [](const auto& unit) { return unit.second.first; });
  const bool falls = std::any_of(units.begin(), units.end(), [](const auto& unit) { return unit.second.second; });
  return standing == static_cast<int64_t>(units.size()) ? Verdict::reproduced
         : standing > 0                                 ? Verdict::partly
         : falls                                        ? Verdict::not_reproduced
                                                        : Verdict::undecided;
}

const char* name_of(Ruling::Kind kind) {
  return kind == Ruling::holds ? "holds" : kind == Ruling::fails ? "does not hold here" : "undecided";
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced: return "reproduced";
    case Verdict::partly: return "partly reproduced";
    case Verdict::not_reproduced: return "not reproduced";
    case Verdict::undecided: break;
  }
  return "undecided";
}

}  // namespace tapir

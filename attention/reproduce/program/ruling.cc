#include "attention/reproduce/program/ruling.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

std::vector<Ruling> rulings(const TrialOptions& options, const Objective& objective,
                            const std::vector<std::vector<RunRecord>>& arms, const std::vector<std::string>& names) {
  const double sign = objective.higher_is_better ? 1 : -1;
  double worst = std::numeric_limits<double>::infinity();   // times the sign
  for (const std::vector<RunRecord>& runs : arms)
    for (const RunRecord& run : runs)
      if (run.finished()) worst = std::min(worst, sign * run.judged.result);
  const auto worth = [&](const RunRecord& run) { return run.finished() ? sign * run.judged.result : worst; };

  std::vector<Ruling> all;
  std::vector<double> p;
  for (size_t k = 0; k < arms.size(); ++k) {
    if (k == 1) continue;
    Ruling ruling{.against = names[k], .gains = {}, .interval = {}};
    for (const RunRecord& own : arms[1])
      for (const RunRecord& other : arms[k])
        if (own.seed == other.seed) ruling.gains.push_back(worth(own) - worth(other));
    p.push_back(student_p(ruling.gains));
    all.push_back(std::move(ruling));
  }
  const std::vector<Corrected> corrected = holm(p);
  for (size_t k = 0; k < all.size(); ++k) {
    Ruling& ruling = all[k];
    ruling.corrected = corrected[k].p;
    ruling.interval = mean_interval(ruling.gains, corrected[k].level);
    ruling.kind = ruled(options, ruling.interval);
    if (ruling.kind != Ruling::undecided) continue;
    const auto n = static_cast<int64_t>(ruling.gains.size());
    const double deviation = ruling.interval.half_width / student_quantile(n - 1, corrected[k].level) * std::sqrt(n);
    ruling.seeds_needed = seeds_for(gap_of(options, ruling.interval.mean), deviation, corrected[k].level);
  }
  return all;
}

Ruling::Kind verdict_of(const std::vector<Ruling>& rulings) {
  const auto count = [&](Ruling::Kind kind) {
    return std::count_if(rulings.begin(), rulings.end(), [&](const Ruling& one) { return one.kind == kind; });
  };
  return count(Ruling::fails) > 0                                      ? Ruling::fails
         : count(Ruling::holds) == static_cast<int64_t>(rulings.size()) ? Ruling::holds
                                                                        : Ruling::undecided;
}

}  // namespace tapir

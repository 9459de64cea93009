// What the runs of a trial say of its claim.
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/trial.h"

namespace tapir {

// The subject against another arm.
struct Ruling {
  enum Kind { holds, fails, undecided };
  std::string against;
  std::vector<double> gains;   // paired by seed, positive where the subject is better
  Interval interval;           // of the gain, at the level that Holm's correction asks for
  double corrected = 0;        // p
  Kind kind = undecided;
  int64_t seeds_needed = 0;    // that would decide, about, if mean and deviation stayed; 0: it is decided
};

// "better": holds where the interval is above 0 and its middle is at least the difference that counts; fails where the whole
// interval is below that difference. "not_worse": holds where the interval is above minus the difference, fails where it is below.
// A run that diverged counts as the worst result of all runs.
// `arms`: the counted runs of each, all of them finished or diverged.
std::vector<Ruling> rulings(const TrialOptions& options, const Objective& objective,
                            const std::vector<std::vector<RunRecord>>& arms, const std::vector<std::string>& names);

// Of all together: holds where all hold, fails where one fails.
Ruling::Kind verdict_of(const std::vector<Ruling>& rulings);

}  // namespace tapir

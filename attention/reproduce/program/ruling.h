// What the gains of a trial say of its claim.
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/trial_results.h"

namespace tapir {

struct Ruling {
  enum Kind { holds, fails, undecided };
  Pairing pairing;
  Interval interval;           // of the gain, at the joint level (statistics.h) of all rulings; NaN: there are no gains
  Kind alone = undecided;      // what the interval says
  Kind kind = undecided;       // the same, where the known gains say it as well
};

// "better": holds where the interval is above 0 and its middle is at least the difference that counts; fails where the whole
// interval is below that difference. "not_worse": holds where the interval is above minus the difference, fails where it is
// below. Either must be so of the known gains alone as well. A ruling is false only where its interval does not have the gain
// that it is of. So the chance that any of them is false is at most 5 %, in either direction and however gains depend on one
// another: Bonferroni's intervals, and not Holm's steps, of which this is shown for independent gains alone (Shaffer 1980).
std::vector<Ruling> rulings(const TrialOptions& options, std::vector<Pairing> pairings);

// Until the interval of one of so many rulings says something, about, if mean and deviation stayed; 0: it does, or is NaN.
int64_t seeds_needed(const TrialOptions& options, const Ruling& ruling, size_t of);

// A subject stands in a cell where all rulings on it there hold, and falls where one of them fails. reproduced: every one
// stands; partly: some do; not_reproduced: none stands, and one falls.
enum class Verdict { reproduced, partly, not_reproduced, undecided };
Verdict verdict_of(const std::vector<Ruling>& rulings);

const char* name_of(Ruling::Kind kind);   // "holds", "does not hold here", "undecided"
const char* name_of(Verdict verdict);     // "reproduced", "partly reproduced", "not reproduced", "undecided"

}  // namespace tapir

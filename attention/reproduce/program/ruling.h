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
  Interval interval;           // of the gain, at the level that Holm's correction over all rulings asks for
  double corrected = 0;        // p
  Kind kind = undecided;
  int64_t seeds_needed = 0;    // that would decide, about, if mean and deviation stayed; 0: it is decided
};

// "better": holds where the interval is above 0 and its middle is at least the difference that counts; fails where the whole
// interval is below that difference. "not_worse": holds where the interval is above minus the difference, fails where it is
// below.
std::vector<Ruling> rulings(const TrialOptions& options, std::vector<Pairing> pairings);

// A subject stands in a cell where all rulings on it there hold, and falls where one of them fails. reproduced: every one
// stands; partly: some do; not_reproduced: none stands, and one falls.
enum class Verdict { reproduced, partly, not_reproduced, undecided };
Verdict verdict_of(const std::vector<Ruling>& rulings);

const char* name_of(Ruling::Kind kind);   // "holds", "does not hold here", "undecided"
const char* name_of(Verdict verdict);     // "reproduced", "partly reproduced", "not reproduced", "undecided"

}  // namespace tapir

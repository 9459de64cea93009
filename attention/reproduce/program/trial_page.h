// The page of a trial: claim, criterion, arms, results, verdict, every run, limits.
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/program/ruling.h"

namespace tapir {

struct GridResult {
  double rate;
  double result;                  // NaN: diverged
  std::filesystem::path folder;   // of its run
};

// What an arm came to.
struct TrialResult {
  std::string name, changed;         // "attention.mechanism = 'expressive'": against the baseline
  std::vector<GridResult> grid;      // none where there was one rate
  double rate = 0;
  std::vector<RunRecord> counted;    // seed by seed
};

// As Markdown. `all_runs`: every run in the trial's folder, whatever it counts for; `base`: that folder.
std::string trial_page(const Trial& trial, const std::vector<TrialResult>& arms, const std::vector<Ruling>& rulings,
                       const std::vector<RunRecord>& all_runs, const std::filesystem::path& base);

// "holds", "does not hold here", "undecided"
const char* name_of(Ruling::Kind kind);

}  // namespace tapir

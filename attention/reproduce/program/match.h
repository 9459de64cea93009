// Experiments that cost the same, so that a difference between them is not one of size.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "attention/reproduce/program/experiment.h"

namespace tapir {

struct Costs {
  int64_t parameters = 0;
  int64_t operations = 0;   // of a training step
};
Costs costs_of(Experiment& experiment);          // by a dry run. Throws what the task and the model throw

// Of a training step of each, measured with so many threads: the median of ten, after three. They take turns, so that
// whatever else the machine does meets all of them.
std::vector<double> seconds_of_steps(const std::vector<Experiment*>& experiments, int threads);

inline constexpr double matched_within = 0.02;    // of a cost, as a share of it

void set_hidden(Experiment& experiment, int64_t hidden);   // model.hidden. Throws Error for a model without that key

// Sets model.hidden so that `by`, "parameters" or "operations", is as near to that of `to` as whole units allow. Throws Error
// for a model without that key, and where no width comes within 2 %.
void match_width(Experiment& experiment, Experiment& to, const std::string& by);

// An arm of a comparison.
struct MatchedArm {
  std::string label;
  std::vector<Experiment*> runs;   // one for each seed
};

// How long a step takes, and what that is true of.
struct StepTime {
  double seconds = 0;
  int threads = 0;            // 0: as an earlier version kept it, which did not say
  std::string experiment{};   // digest of what its time depends on: all settings but names, places, seed and number of steps
};
using StepTimes = std::map<std::string, StepTime>;   // by label

// In folder/match.json; none without it. Throws Error where it is malformed.
StepTimes kept_times(const std::filesystem::path& folder);

// Those that are kept, the others measured with the `threads` that each run has. Where one is of other threads or of another
// experiment, all are measured anew, unless they have `decided` how many steps a run has that has begun: then Error, but for
// those of an earlier version, which stand, and that is said. Throws what kept_times throws.
StepTimes step_times(const std::vector<MatchedArm>& arms, const std::filesystem::path& folder, int threads, bool decided);
void keep(const StepTimes& times, const std::filesystem::path& folder);   // so that they are not measured again

// As long as `steps` of the first take, in steps of the second; at least one.
int64_t steps_in_time(int64_t steps, double seconds_of_one, double seconds_of_other);

// Makes every arm cost what the first one does: by "parameters" and "operations" with match_width; by "time" with train.steps,
// from `times`. Returns what was done, a line for each of the other arms. Throws what match_width throws.
std::vector<std::string> match_arms(const std::vector<MatchedArm>& arms, const std::string& by, const StepTimes& times);

}  // namespace tapir

// Runs side by side: what their folders say, the seeds of one experiment taken together, and differences between
// experiments, paired by seed.
#pragma once
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "attention/reproduce/program/statistics.h"
#include "nn/train/metrics.h"
#include "nn/train/trainer.h"

namespace tapir {

// A run as its folder tells it, without model and data.
struct RunRecord {
  std::filesystem::path folder;
  std::map<std::string, std::string> settings;   // "section.key" to value, as in experiment.toml
  int64_t seed = 0;
  int64_t steps = 0;                             // that the experiment has
  int64_t parameters = 0;
  Objective objective;
  std::vector<MetricsLine> metrics;
  int64_t done = 0;                              // last logged step
  int64_t evaluated = 0;                         // step of the last evaluation; 0: none
  double result = 0;                             // the objective there; NaN: none
  std::string diverged;                          // what was not finite; "": nothing
  double step_seconds = 0;                       // median over logged steps; NaN: none
  int64_t peak_bytes = 0;

  bool finished() const { return evaluated == steps && diverged.empty(); }
  std::string name() const;                      // of the folder, or of the one around a folder seed-…
};

// Throws Error when the folder is no run, and for files in it that are malformed.
RunRecord read_record(const std::filesystem::path& folder);

// Runs of experiments that differ in nothing but run.seed and run.name.
struct Arm {
  std::string label;
  std::vector<RunRecord> runs;

  Interval result() const;                            // of the finished runs; none where one has diverged
  Interval difference(const Arm& reference) const;    // this minus reference, over seeds that both have finished; the same
  std::string verdict(const Arm& reference) const;    // one sentence, from the interval of the difference alone
  double step_seconds() const;                        // median over runs
  int64_t peak_bytes() const;                         // largest of the runs
};

// In the order of their first runs. Throws Error without runs, when two have the same settings and seed, and when their
// objectives differ.
std::vector<Arm> arms_of(std::vector<RunRecord> runs);

// {"metric": …, "higher_is_better": …, "arms": [{"label": …, "mean": …, "half_width": …, …}, …]}: each arm with its runs,
// their folders as seen from `base`, and its difference to the first arm.
nlohmann::ordered_json comparison_json(const std::vector<Arm>& arms, const std::filesystem::path& base);

// Names each run that has diverged on standard error. Returns whether one has.
bool tell_diverged(const std::vector<Arm>& arms);

}  // namespace tapir

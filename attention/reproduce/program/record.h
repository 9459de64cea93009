// Finished and unfinished runs as their folders tell of them, without model and data.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/train/metrics.h"
#include "nn/train/trainer.h"

namespace tapir {

// What must be equal before two results are compared: names and values. A value "≈ 256" equals numbers within 5 %.
using Conditions = std::vector<std::pair<std::string, std::string>>;
// A result, and what it may be compared with.
struct Judged {
  Objective objective;
  Conditions conditions;
  double result = 0;   // at the last evaluation; NaN: none
};

// What keeps two results from being compared: "size is 2, not 4"; "": nothing does.
std::string incomparable(const Judged& own, const Judged& other);
// Throws Error, which names both and what differs between them.
void require_comparable(const std::string& name, const Judged& own, const std::string& other_name, const Judged& other);

struct RunRecord {
  std::filesystem::path folder;
  std::map<std::string, std::string> settings;   // "section.key" to value, as in experiment.toml
  int64_t seed = 0;
  std::string seed_decides;                      // "initial weights, sequences"
  std::string trial;                             // digest of the criterion under which it was made; "": none
  int64_t steps = 0;                             // that the experiment has
  int64_t parameters = 0, operations = 0;        // of the model; of a training step
  Judged judged;
  std::optional<Judged> wider;                   // in a unit in which more runs compare
  std::vector<MetricsLine> metrics;
  int64_t done = 0;                              // last logged step
  int64_t evaluated = 0;                         // step of the last evaluation; 0: none
  int64_t solved = 0;                            // step of the evaluation at which it was solved; 0: not
  std::string diverged;                          // what was not finite; "": nothing
  double step_seconds = 0;                       // median over logged steps; NaN: none
  int64_t peak_bytes = 0;

  bool finished() const { return (evaluated == steps || solved) && diverged.empty(); }
  bool ended() const { return finished() || !diverged.empty(); }
  std::string name() const;                      // of the folder, or of the one around a folder seed-…
};

// Throws Error when the folder is no run, and for files in it that are malformed.
RunRecord read_record(const std::filesystem::path& folder);

}  // namespace tapir

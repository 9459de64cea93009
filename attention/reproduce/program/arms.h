// Runs side by side: the seeds of one experiment taken together, groups of what can be compared, and differences within them,
// paired by seed. No difference is formed between groups.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/statistics.h"

namespace tapir {

// Of an arm minus the baseline of its group, over the seeds that both have finished.
struct Difference {
  std::vector<double> values;   // none where a run of either has diverged: those that are left do not stand for all
  Interval interval{};          // at the level that Holm's correction asks for
  double p = 0, corrected = 0;  // Student's; after the correction
  std::string verdict;          // one sentence
};

// Runs of experiments that differ in nothing but run.seed and run.name.
struct Arm {
  std::string label;
  std::vector<RunRecord> runs;
  std::optional<Difference> difference;   // none: it is the baseline
  std::string remark;                     // how its costs differ from those of the baseline, where they do by over 2 %

  Interval result() const;                // of the finished runs; none where one has diverged
  double step_seconds() const;            // median over runs
  int64_t peak_bytes() const;             // largest of the runs
};

// Arms that compare: what their results depend on, beside the experiment, is equal.
struct Group {
  std::string title;        // the conditions by which it differs from other groups; "": there are none
  Conditions conditions;
  Objective objective;
  bool wider = false;       // of runs that are in other groups too
  std::vector<Arm> arms;    // the first one is the baseline
};

// Groups, and arms in them, in the order of their first runs; groups in the wider unit come last, where one joins several
// groups. All differences are corrected together. Throws Error without runs, and when two have the same settings and seed.
std::vector<Group> groups_of(std::vector<RunRecord> runs);

// What several groups say together of two arms that all of them have: the sign test over all pairs of runs with equal seeds.
struct Joint {
  std::string arm, baseline;
  int64_t groups = 0, wins = 0, losses = 0, ties = 0;
  double p = 0;             // NaN: all are ties
  std::string statement{};  // one sentence
};
std::vector<Joint> joint_statements(const std::vector<Group>& groups);

// {"groups": [{"title": …, "conditions": {…}, "metric": …, "arms": [{"label": …, "mean": …, …}, …]}, …], "joint": […]}: each
// arm with its runs, their folders as seen from `base`, and its difference to the baseline.
nlohmann::ordered_json comparison_json(const std::vector<Group>& groups, const std::filesystem::path& base);

// Names each run that has diverged on standard error. Returns whether one has.
bool tell_diverged(const std::vector<Group>& groups);

}  // namespace tapir

// environment.jsonl of a run folder: what computed the run, a line for each time that it was begun or gone on with. It is a log
// of its own, so that equal runs have equal metrics.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "attention/reproduce/program/experiment.h"
#include "nn/train/metrics.h"

namespace tapir {

inline constexpr const char* environment_file = "environment.jsonl";

// {"step": those done before, "time": "2026-01-31T12:00:00Z", the facts of version.h, "processor": …, "system": …, "device": …,
// "precision": …, "command": …}, all text but the step. What the host does not say is "unknown".
MetricsLine environment(const Experiment& experiment, int64_t step);

void log_environment(const std::filesystem::path& run, const Experiment& experiment, int64_t step);   // throws Error

// The lines of a run; none where an earlier version made it. Throws what read_metrics throws.
std::vector<MetricsLine> read_environment(const std::filesystem::path& run);

std::string fact(const MetricsLine& line, const std::string& name);   // "unknown" where there is none

// Whether every start and resume of the run was by a build of a commit as it was.
bool is_of_clean_commit(const std::filesystem::path& run);

// One sentence on what made these runs: versions, commits, processors, days.
std::string makers_of(const std::vector<std::filesystem::path>& runs);

}  // namespace tapir

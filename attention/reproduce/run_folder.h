// A finished or stopped run, opened for evaluation and generation.
#pragma once
#include <filesystem>
#include <memory>

#include "attention/reproduce/task.h"

namespace tapir {

struct OpenRun {
  Experiment experiment;
  std::unique_ptr<Task> task;           // with the trained weights
  std::string weights;                  // which: "best on validation, step 750" or "last, step 1000"
};

// The experiment of a run folder. Throws Error when it is none, and what read_experiment throws.
Experiment read_run(const std::filesystem::path& folder, const std::vector<std::string>& assignments = {});

// Throws Error when the folder is no run, or its weights are missing or do not fit.
std::unique_ptr<OpenRun> open_run(const std::filesystem::path& folder);

inline constexpr const char* experiment_file = "experiment.toml";

}  // namespace tapir

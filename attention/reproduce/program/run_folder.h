// A run and its folder: trained there, and opened again for evaluation and generation.
#pragma once
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/tasks/task.h"

namespace tapir {

struct OpenRun {
  Experiment experiment;
  std::optional<ComputeAs> place;       // while this lives
  std::unique_ptr<Task> task;           // with the trained weights
  std::string weights;                  // which: "best on validation, step 750" or "last, step 1000"
};

// The experiment of a run folder. Throws Error when it is none, and what read_experiment throws.
Experiment read_run(const std::filesystem::path& folder, const std::vector<std::string>& assignments = {});

// On the device of this name; "": on the run's own. `data`: a file or folder to take for the run's own, empty: none. No data are
// read yet. What was passed over is told on standard error. Throws Error when the folder is no run, when its weights are missing, do
// not fit or are not finite, when what the task saved is not what it saved, and when there is no such device.
std::unique_ptr<OpenRun> open_run(const std::filesystem::path& folder, const std::string& device = "",
                                  const std::filesystem::path& data = {});

struct TrainedRun {
  std::unique_ptr<Task> task;
  TrainReport report;
};

// Trains the experiment in `folder`, anew or from its newest checkpoint, with progress on standard error. A folder without a
// checkpoint is begun again. Throws Error when the folder is of another kind, when a run would go on with other settings or
// other data than it was begun with (it names them), and what the task's constructor and train() throw; where memory is not
// enough, OutOfMemory names a batch for which it would be. `trial`: digest of the criterion under which a new run is made
// (trial.h), kept in its facts; "": none.
TrainedRun train_run(Experiment& experiment, const std::filesystem::path& folder, bool resume, int64_t stop_after = 0,
                     double minutes = std::numeric_limits<double>::infinity(), const std::string& trial = "");

}  // namespace tapir

// Steps of a run once more, in memory, by the loop's own steps (nn/train/training.h). Nothing is written.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "attention/reproduce/program/run_folder.h"
#include "nn/train/training.h"

namespace tapir {

class ReplayedRun {
 public:
  // From its newest checkpoint of step `last` or before, else from its start. `device`: as for open_run(). Throws Error for
  // what is no run, for a training part or initial weights that are not those of the training, and for what open_run() refuses.
  ReplayedRun(const std::filesystem::path& folder, int64_t last, const std::string& device = "");

  Experiment& experiment() { return experiment_; }
  int64_t steps() const { return training_->steps(); }   // done
  int64_t start() const { return start_; }               // of them, those of the checkpoint
  MetricsLine step();       // one more: its numbers as they are logged
  Metrics evaluate();       // throws Error for a validation part that is not that of the training
  // The tensors themselves: named as in a checkpoint, and as "gradient/…", of the last step.
  std::vector<NamedTensor> state() const { return training_->state().tensors; }
  std::vector<NamedTensor> gradients() const;

 private:
  const std::filesystem::path folder_;
  Experiment experiment_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<TrainTask> loop_;
  std::unique_ptr<Training> training_;
  int64_t start_ = 0;
};

// All numbers that a log has of one step, by name.
std::map<std::string, double> logged_at(const std::vector<MetricsLine>& log, int64_t step);

// Whether a number is the logged one. `tolerance`: relative; 0: every bit counts.
bool reproduces(double logged, double replayed, double tolerance);

inline constexpr double other_kernels_tolerance = 1e-5;   // what sums in another order may make of a logged number

// What computed the steps after `start` up to `last`, where it is not what would compute them now: "blas OpenBLAS, core Haswell,
// not OpenBLAS, core SkylakeX"; "" where it is the same, or the run does not say.
std::string other_arithmetic(const std::filesystem::path& run, const Experiment& now, int64_t start, int64_t last);

}  // namespace tapir

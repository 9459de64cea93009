#include "attention/reproduce/run_folder.h"

#include "nn/train/checkpoint.h"
#include "nn/train/weights.h"

namespace tapir {

Experiment read_run(const std::filesystem::path& folder, const std::vector<std::string>& assignments) {
  require(std::filesystem::is_regular_file(folder / experiment_file), folder.string(),
          [] { return text("is no run: it has no ", experiment_file); }, "give the folder that `tapir train` wrote");
  return read_experiment(folder / experiment_file, assignments);
}

std::unique_ptr<OpenRun> open_run(const std::filesystem::path& folder) {
  auto run = std::make_unique<OpenRun>();
  run->experiment = read_run(folder);
  run->task = make_task(run->experiment, folder);

  std::vector<std::string> notes;
  const CheckpointFolder checkpoints(folder / "checkpoints");
  std::optional<Checkpoint> checkpoint = checkpoints.load_best(notes);
  const char* which = "best on validation";
  if (!checkpoint) {
    checkpoint = checkpoints.load_latest(notes);
    which = "last";
  }
  require(checkpoint.has_value(), folder.string(), [] { return "has no checkpoint yet"; });
  std::vector<NamedTensor> weights;
  for (const NamedTensor& tensor : checkpoint->tensors)
    if (tensor.name.starts_with("model/")) weights.push_back({tensor.name.substr(6), tensor.tensor});
  assign_weights(folder.c_str(), run->task->model(), weights);
  run->weights = text(which, ", step ", checkpoint->step);
  return run;
}

}  // namespace tapir

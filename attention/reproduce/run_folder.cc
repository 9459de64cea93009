#include "attention/reproduce/run_folder.h"

#include "datasets/tokenizer.h"
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
  run->task = std::make_unique<LanguageTask>(run->experiment, load_tokenizer(folder / tokenizer_file));

  std::vector<std::string> notes;
  const CheckpointFolder checkpoints(folder / "checkpoints");
  std::optional<Checkpoint> checkpoint = checkpoints.load_best(notes);
  const char* which = "best on validation";
  if (!checkpoint) {
    checkpoint = checkpoints.load_latest(notes);
    which = "last";
  }
  require(checkpoint.has_value(), folder.string(), [] { return "has no checkpoint yet"; });
  const char* prefix = run->experiment.train.ema > 0 ? "ema/" : "model/";
  assign_weights(folder.c_str(), run->task->model(), tensors_under(*checkpoint, prefix));
  run->weights = text(which, ", step ", checkpoint->step);
  return run;
}

}  // namespace tapir

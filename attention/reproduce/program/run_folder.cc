#include "attention/reproduce/program/run_folder.h"

#include <fmt/core.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/summary.h"
#include "nn/files/atomic_file.h"
#include "nn/train/checkpoint.h"
#include "nn/train/weights.h"
#include "tensor/arena.h"
#include "tensor/threads.h"

namespace tapir {

Experiment read_run(const std::filesystem::path& folder, const std::vector<std::string>& assignments) {
  require_run(folder);
  return read_experiment(folder / experiment_file, assignments);
}

std::unique_ptr<OpenRun> open_run(const std::filesystem::path& folder, const std::string& device) {
  auto run = std::make_unique<OpenRun>();
  std::vector<std::string> assignments;
  if (!device.empty()) assignments.push_back("run.device=\"" + device + '"');
  run->experiment = read_run(folder, assignments);
  require_checkpoint(folder);
  run->place.emplace(run->experiment);
  run->task = make_task(run->experiment, folder);

  std::vector<std::string> notes;
  const CheckpointFolder checkpoints(folder / "checkpoints");
  std::optional<Checkpoint> checkpoint = checkpoints.load_best(notes);
  const char* which = "best on validation";
  if (!checkpoint) {
    checkpoint = checkpoints.load_latest(notes);
    which = "last";
  }
  require(checkpoint.has_value(), folder.string(), [] { return "has no checkpoint"; });
  for (const std::string& line : notes) note(line);
  assign_weights(folder.c_str(), run->task->model(), evaluated_tensors(*checkpoint));
  run->weights = text(which, ", step ", checkpoint->step);
  return run;
}

namespace {

TrainedRun train_in(Experiment& experiment, const std::filesystem::path& folder, bool resume, int64_t stop_after,
                    double minutes) {
  resume ? require_checkpoint(folder) : require_place_for_run(folder);
  const ComputeAs place(experiment);
  TrainedRun run;
  run.task = make_task(experiment, resume ? folder : "", [&](Task& made) { rehearse(made, experiment); });
  Task& task = *run.task;
  Arena::of(experiment.device()).reset_peak();
  TrainTask loop = task.train_task();
  const auto begin = [&] {   // another process may have been here before the lock was had
    resume ? require_checkpoint(folder) : require_place_for_run(folder);
    if (resume) {
      Experiment before = read_run(folder);
      if (std::exchange(before.train.steps, experiment.train.steps) != experiment.train.steps)
        write_atomically(folder / experiment_file, before.toml());
    } else {
      write_atomically(folder / experiment_file, experiment.toml());
      for (const char* leftover : {"checkpoints", "metrics.jsonl", "costs.jsonl"})
        std::filesystem::remove_all(folder / leftover);
      task.save(folder);
    }
    const nlohmann::ordered_json facts = {{"parameters", task.model().parameter_count()},
                                          {"metric", loop.objective.metric},
                                          {"higher_is_better", loop.objective.higher_is_better}};
    write_atomically(folder / facts_file, facts.dump() + '\n');
  };
  note(fmt::format("{}: {}, {}, {} parameters, {} thread{}", folder.string(), experiment.subject(), task.summary(),
                   task.model().parameter_count(), threads(), threads() == 1 ? "" : "s"));
  run.report = train(loop, experiment.train, experiment.schedule, experiment.optimiser,
                     static_cast<uint64_t>(experiment.run.seed),
                     {.folder = folder, .resume = resume, .terminal = isatty(STDERR_FILENO) == 1, .stop_after = stop_after,
                      .minutes = minutes, .out = std::cerr, .begin = begin});
  return run;
}

}  // namespace

TrainedRun train_run(Experiment& experiment, const std::filesystem::path& folder, bool resume, int64_t stop_after,
                     double minutes) {
  std::string message;
  try {
    return train_in(experiment, folder, resume, stop_after, minutes);
  } catch (const OutOfMemory& error) {
    message = error.what();
  }
  message.resize(std::min(message.size(), message.find("; hint: ")));
  const int64_t batch = fitting_batch(experiment);
  throw OutOfMemory("train", message, batch > 0 ? text("train.batch=", batch, " fits")
                                                : "no batch fits: use a shorter context or a smaller model");
}

}  // namespace tapir

#include "attention/reproduce/program/run_folder.h"

#include <fmt/core.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/summary.h"
#include "nn/files/atomic_file.h"
#include "nn/train/checkpoint.h"
#include "nn/train/training.h"
#include "nn/train/weights.h"
#include "tensor/arena.h"
#include "tensor/threads.h"

namespace tapir {

Experiment read_run(const std::filesystem::path& folder, const std::vector<std::string>& assignments) {
  require_run(folder);
  std::vector<std::string> all = assignments;
  const toml::table written = read_config(folder / experiment_file);
  // As text was read before there was a choice.
  if (written["data"]["tokens"] && !written["data"]["order"]) all.emplace_back("data.order=contiguous");
  return read_experiment(folder / experiment_file, all);
}

std::unique_ptr<OpenRun> open_run(const std::filesystem::path& folder, const std::string& device,
                                  const std::filesystem::path& data) {
  auto run = std::make_unique<OpenRun>();
  std::vector<std::string> assignments;
  if (!device.empty()) assignments.push_back("run.device=\"" + device + '"');
  if (!data.empty()) {
    const TaskRow& row = task_row(read_run(folder).task.name);
    require(row.own_data != nullptr, folder.string(), [&] { return text("its task '", row.name, "' has no data of its own"); });
    for (std::string& assignment : row.own_data(data, folder)) assignments.push_back(std::move(assignment));
    assignments.push_back("data.path=" + std::filesystem::absolute(data).string());
  }
  run->experiment = read_run(folder, assignments);
  require_checkpoint(folder);
  run->place.emplace(run->experiment);
  run->task = make_task(run->experiment, folder);
  require_kept(folder, run->task->digests({}), "put back the file that the training wrote into the folder");

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
  if (state_entry(*checkpoint, "identity") != read_run(folder).identity())
    note(text(folder.string(), ": its settings are not those that the checkpoint of step ", checkpoint->step, " was trained with, or "
              "another version of tapir trained it: results may not be the run's own"));
  assign_weights(folder.c_str(), run->task->model(), evaluated_tensors(*checkpoint));
  run->weights = text(which, ", step ", checkpoint->step);
  return run;
}

namespace {

void require_same_settings(const std::filesystem::path& folder, Experiment& own, Experiment& found) {
  std::set<std::string> free{"run.name", "run.device", "train.steps"};   // train() judges other steps
  if (!kept_digests(folder).empty()) free.insert("data.path");   // data that are known by their digests may lie elsewhere
  const std::string changed = changed_settings(own, found, free);
  require(changed.empty(), folder.string(), [&] { return text("was begun with other settings: ", changed); },
          "a run goes on with those that it was begun with; another one has a folder of its own, with --out");
}

nlohmann::ordered_json judged(const Objective& objective, const Task::Results& conditions) {
  nlohmann::ordered_json facts = {{"metric", objective.metric}, {"higher_is_better", objective.higher_is_better}};
  for (const auto& [name, value] : conditions) facts["comparable"][name] = value;
  return facts;
}

// What a comparison must know of a run beside its experiment and its log, and what it was made from.
nlohmann::ordered_json facts_of(const Task& task, const Objective& objective, int64_t operations,
                                const Task::Digests& digests, const std::string& trial) {
  nlohmann::ordered_json facts = {
      {"parameters", task.model().parameter_count()}, {"operations", operations}, {"seed", task.seed_decides()}};
  if (!trial.empty()) facts["trial"] = trial;
  facts.update(judged(objective, task.conditions("valid")));
  if (const auto wider = task.wider()) facts["wider"] = judged(wider->objective, wider->conditions);
  facts["digests"] = nlohmann::ordered_json::object();
  for (const auto& [name, digest] : digests) facts["digests"][name] = digest;
  return facts;
}

TrainedRun train_in(Experiment& experiment, const std::filesystem::path& folder, bool resume, int64_t stop_after,
                    double minutes, const std::string& trial) {
  resume ? require_checkpoint(folder) : require_place_for_run(folder);
  std::optional<Experiment> begun;
  if (resume) require_same_settings(folder, begun.emplace(read_run(folder)), experiment);
  const ComputeAs place(experiment);
  TrainedRun run;
  int64_t operations = 0;
  run.task = make_task(experiment, resume ? folder : "", [&](Task& made) { operations = rehearse(made, experiment); });
  Task& task = *run.task;
  Arena::of(experiment.device()).reset_peak();
  TrainTask loop = task.train_task();
  if (begun) {
    const Task::Digests found = task.digests(all_parts);
    tell_unkept(folder, found);
    require_kept(folder, found, "a run goes on with the data that it was begun with");
    loop.identity = begun->identity();
  }
  const std::string of_trial = resume ? kept_trial(folder) : trial;
  const auto begin = [&](int64_t steps) {   // another process may have been here before the lock was had
    resume ? require_checkpoint(folder) : require_place_for_run(folder);
    if (resume) {
      Experiment before = read_run(folder);
      if (std::exchange(before.train.steps, experiment.train.steps) != experiment.train.steps)
        write_atomically(folder / experiment_file, before.toml());
    } else {
      write_atomically(folder / experiment_file, experiment.toml());
      for (const char* leftover : {"checkpoints", "metrics.jsonl", "costs.jsonl", environment_file})
        std::filesystem::remove_all(folder / leftover);
      task.save(folder);
    }
    const Task::Digests digests = resume ? kept_digests(folder) : start_digests(task, experiment, all_parts);
    write_atomically(folder / facts_file, facts_of(task, loop.objective, operations, digests, of_trial).dump(2) + '\n');
    log_environment(folder, experiment, steps);
  };
  note(fmt::format("{}: {}, {}, {} parameters, {} thread{}", folder.string(), experiment.subject(), task.summary(),
                   task.model().parameter_count(), threads(), threads() == 1 ? "" : "s"));
  if (experiment.schedule.warmup >= experiment.train.steps)
    note(fmt::format("schedule.warmup = {}: the rate still grows when the {} steps end", experiment.schedule.warmup,
                     experiment.train.steps));
  run.report = train(loop, experiment.train, experiment.schedule, experiment.optimiser,
                     static_cast<uint64_t>(experiment.run.seed),
                     {.folder = folder, .resume = resume, .terminal = isatty(STDERR_FILENO) == 1, .stop_after = stop_after,
                      .minutes = minutes, .out = std::cerr, .begin = begin});
  return run;
}

}  // namespace

TrainedRun train_run(Experiment& experiment, const std::filesystem::path& folder, bool resume, int64_t stop_after,
                     double minutes, const std::string& trial) {
  std::string message;
  try {
    return train_in(experiment, folder, resume, stop_after, minutes, trial);
  } catch (const OutOfMemory& error) {
    message = error.what();
  }
  message.resize(std::min(message.size(), message.find("; hint: ")));
  const int64_t batch = fitting_batch(experiment);
  throw OutOfMemory("train", message, batch > 0 ? text("train.batch=", batch, " fits")
                                                : "no batch fits: use a shorter context or a smaller model");
}

}  // namespace tapir

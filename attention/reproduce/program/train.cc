// tapir train
#include <fmt/core.h>

#include <optional>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/run_folder.h"
#include "autograd/anomaly.h"
#include "nn/train/weights.h"
#include "tensor/arena.h"

namespace tapir {
namespace {

std::string summary(const Experiment& experiment, Task& task, const TrainReport& report) {
  const MemoryStatistics memory = Arena::of(experiment.device()).statistics();
  std::string lines = fmt::format("{} steps of {}, {} parameters, {:.0f} {}s/s, peak {:.0f} MiB\n", report.steps,
                                  experiment.train.steps, task.model().parameter_count(),
                                  report.seconds > 0 ? static_cast<double>(report.counted) / report.seconds : 0, task.unit(),
                                  static_cast<double>(memory.peak) / (1 << 20));
  for (const auto& [name, value] : report.validation) lines += fmt::format("{} {:.6g}\n", name, value);
  if (report.solved) lines += fmt::format("solved at step {}\n", report.solved);
  return lines + fmt::format("weights sha256 {}\n", weights_digest(task.model()));
}

}  // namespace

int run_train(const TrainCommand& command) {
  const bool resume = !command.resume.empty();
  Experiment experiment = resume ? read_run(command.resume, command.assignments)
                                 : read_experiment(command.experiment, command.assignments);
  const std::filesystem::path folder =
      resume ? command.resume : command.out.empty() ? std::filesystem::path("runs") / experiment.run.name : command.out;

  std::optional<AnomalyMode> watching;
  if (command.anomaly) watching.emplace();
  const TrainedRun run = train_run(experiment, folder, resume, command.stop_after, command.minutes);
  const TrainReport& report = run.report;
  fmt::print("{}", summary(experiment, *run.task, report));
  if (report.steps < experiment.train.steps && !report.solved)
    fmt::print("stopped; go on with: tapir train --resume {}\n", folder.string());
  return report.signal ? 128 + report.signal : 0;
}

}  // namespace tapir

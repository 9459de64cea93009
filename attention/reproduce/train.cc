// tapir train
#include <fmt/core.h>
#include <unistd.h>

#include <iostream>

#include "attention/reproduce/commands.h"
#include "attention/reproduce/run_folder.h"
#include "nn/train/atomic_file.h"
#include "nn/train/weights.h"
#include "tensor/arena.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

std::string summary(const Experiment& experiment, LanguageTask& task, const TrainReport& report) {
  const MemoryStatistics memory = Arena::of(Device::cpu).statistics();
  std::string lines = fmt::format("{} steps of {}, {} parameters, {:.0f} tokens/s, peak {:.0f} MiB\n", report.steps,
                                  experiment.train.steps, task.model().parameter_count(),
                                  report.seconds > 0 ? static_cast<double>(report.tokens) / report.seconds : 0,
                                  static_cast<double>(memory.peak) / (1 << 20));
  for (const auto& [name, value] : report.validation) lines += fmt::format("{} {:.6g}\n", name, value);
  return lines + fmt::format("weights sha256 {}\n", weights_digest(task.model()));
}

}  // namespace

int run_train(const TrainCommand& command) {
  const bool resume = !command.resume.empty();
  Experiment experiment = resume ? read_run(command.resume, command.assignments)
                                 : read_experiment(command.experiment, command.assignments);
  const std::filesystem::path folder =
      resume ? command.resume : command.out.empty() ? std::filesystem::path("runs") / experiment.run.name : command.out;
  require(resume || !std::filesystem::exists(folder / experiment_file), folder.string(), [] { return "has a run already"; },
          "go on with --resume, or give another folder with --out");

  LanguageTask task(experiment, resume ? load_tokenizer(folder / tokenizer_file) : nullptr);
  TrainTask loop = task.train_task();
  if (!resume) {
    create_folders(folder);
    save_tokenizer(task.tokenizer(), folder / tokenizer_file);
    write_atomically(folder / experiment_file, experiment.toml());
  }
  fmt::print(stderr, "{}: {}, {} tokens in the vocabulary, {} steps an epoch, {} parameters, {} thread{}\n",
             folder.string(), experiment.attention.mechanism, task.tokenizer().size(), task.steps_per_epoch(),
             task.model().parameter_count(), threads(), threads() == 1 ? "" : "s");
  const TrainReport report =
      train(loop, experiment.train, experiment.schedule, experiment.optimiser, static_cast<uint64_t>(experiment.run.seed),
            {.folder = folder, .resume = resume, .terminal = isatty(STDERR_FILENO) == 1, .stop_after = command.stop_after,
             .minutes = command.minutes, .out = std::cerr});
  fmt::print("{}", summary(experiment, task, report));
  if (report.steps < experiment.train.steps) fmt::print("stopped; go on with: tapir train --resume {}\n", folder.string());
  return report.signal ? 128 + report.signal : 0;
}

}  // namespace tapir

// tapir replay
#include "attention/reproduce/program/replay.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iostream>
#include <map>
#include <set>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/streams.h"
#include "autograd/backward.h"
#include "nn/train/progress.h"

namespace tapir {

constexpr const char* same_data = "a run is replayed with the data that it was begun with";

ReplayedRun::ReplayedRun(const std::filesystem::path& folder, int64_t last, const std::string& device) : folder_(folder) {
  std::vector<std::string> assignments, notes;
  if (!device.empty()) assignments.push_back("run.device=\"" + device + '"');
  experiment_ = read_run(folder, assignments);
  const std::optional<Checkpoint> checkpoint = CheckpointFolder(folder / "checkpoints").load_latest(notes, last);
  for (const std::string& line : notes) note(line);
  const ComputeAs place(experiment_);
  task_ = make_task(experiment_, folder);
  require_kept(folder, checkpoint ? task_->digests({"train"}) : start_digests(*task_, experiment_, {"train"}), same_data);
  if (!checkpoint) task_->initialise(true);
  loop_ = std::make_unique<TrainTask>(task_->train_task());
  training_ = std::make_unique<Training>(*loop_, experiment_.train, experiment_.schedule, experiment_.optimiser,
                                         static_cast<uint64_t>(experiment_.run.seed));
  if (checkpoint) training_->restore(*checkpoint);
  start_ = training_->steps();
}

MetricsLine ReplayedRun::step() {
  const ComputeAs place(experiment_);
  const MetricsLine line = lines_of({training_->compute()}).front();
  training_->apply();
  return line;
}

Metrics ReplayedRun::evaluate() {
  require_kept(folder_, task_->digests({"valid"}), same_data);
  const ComputeAs place(experiment_);
  return training_->evaluate();
}

std::vector<NamedTensor> ReplayedRun::gradients() const {
  std::vector<NamedTensor> tensors;
  task_->model().each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    if (const Tensor g = gradient(parameter.value); g.defined()) tensors.push_back({"gradient/" + name, g});
  });
  return tensors;
}

bool reproduces(double logged, double replayed, double tolerance) {
  if (tolerance == 0) return std::bit_cast<uint64_t>(logged) == std::bit_cast<uint64_t>(replayed);
  return std::abs(replayed - logged) <= tolerance * std::max(std::abs(logged), std::abs(replayed));
}

std::string other_arithmetic(const std::filesystem::path& run, const Experiment& now, int64_t start, int64_t last) {
  const std::vector<MetricsLine> lines = read_environment(run);
  const MetricsLine here = environment(now, start);
  std::set<std::string> others;
  int64_t until = last;   // a later line stands for the steps that it did again
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (std::max(line->step, start) < until)
      for (const char* name : {"blas", "device"})
        if (fact(*line, name) != fact(here, name))
          others.insert(text(name, ' ', fact(*line, name), ", not ", fact(here, name)));
    until = std::min(until, line->step);
  }
  std::string named;
  for (const std::string& other : others) named += (named.empty() ? "" : "; ") + other;
  return named;
}

std::map<std::string, double> logged_at(const std::vector<MetricsLine>& log, int64_t step) {
  std::map<std::string, double> numbers;
  for (const MetricsLine& line : log)
    for (const auto& [name, value] : line.values)
      if (line.step == step && !std::holds_alternative<std::string>(value)) numbers[name] = line.number(name);
  return numbers;
}

namespace {

// "20" or, between two, "10 and 20".
std::string nearest_logged(const std::vector<MetricsLine>& log, int64_t step) {
  int64_t before = 0, after = 0;
  for (const MetricsLine& line : log)
    if (line.step < step) before = std::max(before, line.step);
    else if (after == 0 || line.step < after) after = line.step;
  return before && after ? text(before, " and ", after) : before || after ? text(before + after) : "none";
}

}  // namespace

int run_replay(const ReplayCommand& command) {
  require_run(command.run);
  const int64_t planned = read_run(command.run).train.steps;
  const std::vector<MetricsLine> log = read_metrics(command.run / "metrics.jsonl");
  const int64_t solved = solved_step(log), steps = solved ? solved : planned;
  require(command.step <= steps, "--step",
          [&] { return text("the run has ", steps, " steps", solved ? ", then it was solved, found " : ", found ", command.step); });
  ReplayedRun run(command.run, command.step - 1, command.device);
  const std::string others = other_arithmetic(command.run, run.experiment(), run.start(), command.step);
  const double tolerance = others.empty() ? 0 : other_kernels_tolerance;
  fmt::print("steps {} … {} of {}, from {}\n", run.start() + 1, command.step, command.run.string(),
             run.start() ? fmt::format("the checkpoint of step {}", run.start()) : "the start");
  if (!others.empty()) fmt::print("was computed otherwise: {}; compared to {}, not to the bit\n", others, tolerance);

  Progress progress(std::cerr, isatty(STDERR_FILENO) == 1, command.step, "step");
  MetricsLine line;
  while (run.steps() < command.step) {
    line = run.step();
    progress.update(line.step, line.number("loss"), 1);
  }
  const std::map<std::string, double> logged = logged_at(log, command.step);
  if (logged.contains("validation_loss"))
    for (const auto& [name, value] : run.evaluate()) line.values.emplace_back(name, value);
  bool same = !logged.empty();
  fmt::print("{:<24} {:<24} {}\n", "", "replayed", "logged");
  for (const auto& named : line.values) {
    const double value = line.number(named.first);
    const auto found = logged.find(named.first);
    const bool holds = found != logged.end() && reproduces(found->second, value, tolerance);
    same = same && (holds || found == logged.end());
    fmt::print("{:<24} {:<24} {}\n", named.first, value,
               found == logged.end() ? "–" : fmt::format("{}{}", found->second, holds ? "" : "  differs"));
  }
  for (const auto& [name, value] : logged)
    if (std::none_of(line.values.begin(), line.values.end(), [&, &name = name](const auto& one) { return one.first == name; }))
      same = false, fmt::print("{:<24} {:<24} {}\n", name, "–", value);
  if (logged.empty())
    fmt::print("step {} was not logged, so there is nothing to compare with; logged were {}\n", command.step,
               nearest_logged(log, command.step));
  else
    fmt::print("{}\n", !same            ? "not reproduced"
                       : others.empty() ? "reproduced to the bit"
                                        : fmt::format("reproduced to {}", tolerance));
  return same ? 0 : 1;
}

}  // namespace tapir

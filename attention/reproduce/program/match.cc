#include "attention/reproduce/program/match.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/summary.h"
#include "attention/reproduce/tasks/task.h"
#include "datasets/text/text_file.h"
#include "nn/files/atomic_file.h"
#include "nn/files/small_file.h"
#include "nn/train/progress.h"

namespace tapir {
namespace {

double cost_by(const std::string& by, Experiment& experiment) {
  const Costs costs = costs_of(experiment);
  return static_cast<double>(by == "parameters" ? costs.parameters : costs.operations);
}

}  // namespace

void set_hidden(Experiment& experiment, int64_t hidden) {
  read_section(toml::table{{"model", toml::table{{"hidden", hidden}}}}, "model", experiment.model);
}

Costs costs_of(Experiment& experiment) {
  const ComputeAs place(experiment);
  const std::unique_ptr<Task> task = task_row(experiment.task.name).make(experiment, {});
  return {task->model().parameter_count(), rehearse(*task, experiment)};
}

double seconds_of_step(Experiment& experiment) {
  constexpr int64_t unsteady = 3, steps = 10;
  const ComputeAs place(experiment);
  const std::unique_ptr<Task> task = make_task(experiment);
  TrainTask loop = task->train_task();
  const std::unique_ptr<nn::Optimiser> optimiser = experiment.optimiser.make(task->model());
  std::vector<double> seconds;
  for (int64_t step = 0; step < unsteady + steps; ++step) {
    const double begin = steady_seconds();
    const StepLoss loss = accumulate_gradients(loop, *optimiser, step, experiment.train.accumulate, 1);
    apply_gradients(*optimiser, experiment.schedule.at(step, experiment.train.steps), experiment.train.clip, loss.count);
    if (step >= unsteady) seconds.push_back(steady_seconds() - begin);
  }
  return median(std::move(seconds));
}

void match_width(Experiment& experiment, Experiment& to, const std::string& by) {
  require(section_of(experiment.model).contains("hidden"), "match",
          [&] { return text("the model '", experiment.model.name, "' has no key 'hidden', whose width could be adjusted"); });
  // A feed-forward layer's cost is linear in its width: two widths say what the others cost.
  constexpr int64_t narrow = 64, wide = 128;
  const double target = cost_by(by, to);
  set_hidden(experiment, narrow);
  const double at_narrow = cost_by(by, experiment);
  set_hidden(experiment, wide);
  const double slope = (cost_by(by, experiment) - at_narrow) / (wide - narrow);
  const double hidden = std::round(narrow + (target - at_narrow) / slope);
  set_hidden(experiment, static_cast<int64_t>(std::clamp(hidden, 1.0, 0x1p20)));
  const double reached = cost_by(by, experiment);
  require(std::abs(reached / target - 1) <= matched_within, "match", [&] {
    return fmt::format("{} {:.6g} cannot be reached by {}: with model.hidden = {:.0f} there are {:.6g}", by, target,
                       experiment.subject(), std::clamp(hidden, 1.0, 0x1p20), reached);
  });
}

StepTimes step_times(const std::vector<MatchedArm>& arms, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / match_file;
  StepTimes times;
  try {
    if (std::filesystem::exists(file)) {
      const std::string contents = read_file(file);
      require_small(file.string(), contents.size());
      nlohmann::json::parse(contents).at("seconds_of_step").get_to(times);
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(file.string(), text("is malformed: ", error.what()));
  }
  for (const auto& [label, seconds] : times)
    require(seconds > 0 && seconds < 1e6, file.string(),
            [&, own = label, of = seconds] { return text("a step of ", own, " cannot take ", of, " seconds"); });
  for (const MatchedArm& arm : arms)
    if (!times.contains(arm.label)) times[arm.label] = seconds_of_step(*arm.runs.front());
  return times;
}

void keep(const StepTimes& times, const std::filesystem::path& folder) {
  write_atomically(folder / match_file, nlohmann::json{{"seconds_of_step", times}}.dump(2) + '\n');
}

int64_t steps_in_time(int64_t steps, double seconds_of_one, double seconds_of_other) {
  return std::max<int64_t>(1, std::llround(static_cast<double>(steps) * seconds_of_one / seconds_of_other));
}

std::vector<std::string> match_arms(const std::vector<MatchedArm>& arms, const std::string& by, const StepTimes& times) {
  std::vector<std::string> done;
  const std::string& first = arms.front().label;
  Experiment& to = *arms.front().runs.front();
  for (size_t k = 1; k < arms.size(); ++k) {
    const std::string& label = arms[k].label;
    Experiment& own = *arms[k].runs.front();
    if (by == "time") {
      const int64_t steps = steps_in_time(to.train.steps, times.at(first), times.at(label));
      for (Experiment* run : arms[k].runs) run->train.steps = steps;
      done.push_back(fmt::format("{} takes {} steps of {:.3g} ms, as long as {} of {:.3g} ms of {}", label, steps,
                                 1e3 * times.at(label), to.train.steps, 1e3 * times.at(first), first));
      continue;
    }
    match_width(own, to, by);
    const auto hidden = section_of(own.model)["hidden"].value_or(int64_t{0});
    for (Experiment* run : arms[k].runs) set_hidden(*run, hidden);
    done.push_back(fmt::format("{} has model.hidden = {}: {:.6g} {}, {} has {:.6g}", label, hidden, cost_by(by, own), by, first,
                               cost_by(by, to)));
  }
  return done;
}

}  // namespace tapir

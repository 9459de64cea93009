#include "attention/reproduce/program/match.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/summary.h"
#include "attention/reproduce/tasks/task.h"
#include "datasets/text/text_file.h"
#include "nn/files/atomic_file.h"
#include "nn/files/small_file.h"
#include "nn/train/progress.h"
#include "tensor/sha256.h"
#include "tensor/threads.h"

namespace tapir {
namespace {

double cost_by(const std::string& by, Experiment& experiment) {
  const Costs costs = costs_of(experiment);
  return static_cast<double>(by == "parameters" ? costs.parameters : costs.operations);
}

class WithThreads {
 public:
  explicit WithThreads(int count) : before_(threads()) { set_threads(count); }
  ~WithThreads() { set_threads(before_); }
  WithThreads(const WithThreads&) = delete;
  WithThreads& operator=(const WithThreads&) = delete;

 private:
  const int before_;
};

// An experiment whose steps are computed, without a run.
struct Timed {
  explicit Timed(Experiment& own) : experiment(own) {
    const ComputeAs place(experiment);
    task = make_task(experiment);
    loop.emplace(task->train_task());
    optimiser = experiment.optimiser.make(task->model());
  }
  void compute(int64_t step, bool counts) {
    const ComputeAs place(experiment);
    const double begin = steady_seconds();
    const StepLoss loss = accumulate_gradients(*loop, *optimiser, step, experiment.train.accumulate, 1);
    apply_gradients(*optimiser, experiment.schedule.at(step, experiment.train.steps), experiment.train.clip, loss.count);
    if (counts) seconds.push_back(steady_seconds() - begin);
  }

  Experiment& experiment;
  std::unique_ptr<Task> task;
  std::optional<TrainTask> loop;
  std::unique_ptr<nn::Optimiser> optimiser;
  std::vector<double> seconds;
};

std::string digest_of_cost(Experiment& experiment) {
  std::string all;
  for (const auto& [key, value] : experiment.settings())
    if (!std::set<std::string>{"run.name", "run.seed", "run.initial", "data.path", "train.steps"}.contains(key))
      all += text(key, " = ", value, '\n');
  return sha256_hex(all);
}

StepTime step_time_of(const nlohmann::json& kept) {
  if (kept.is_number()) return {.seconds = kept.get<double>()};   // of an earlier version
  return {kept.at("seconds").get<double>(), kept.at("threads").get<int>(), kept.at("experiment").get<std::string>()};
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

std::vector<double> seconds_of_steps(const std::vector<Experiment*>& experiments, int threads) {
  constexpr int64_t unsteady = 3, steps = 10;
  const WithThreads for_now(threads);
  std::vector<std::unique_ptr<Timed>> all;
  for (Experiment* one : experiments) all.push_back(std::make_unique<Timed>(*one));
  for (int64_t step = 0; step < unsteady + steps; ++step)
    for (const auto& one : all) one->compute(step, step >= unsteady);
  std::vector<double> medians;
  for (const auto& one : all) medians.push_back(median(one->seconds));
  return medians;
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

StepTimes kept_times(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / match_file;
  StepTimes times;
  if (!std::filesystem::exists(file)) return times;
  try {
    const std::string contents = read_file(file);
    require_small(file.string(), contents.size());
    const nlohmann::json whole = nlohmann::json::parse(contents);
    for (const auto& [label, kept] : whole.at("seconds_of_step").items()) times[label] = step_time_of(kept);
  } catch (const nlohmann::json::exception& error) {
    throw Error(file.string(), text("is malformed: ", error.what()));
  }
  for (const auto& [label, time] : times)
    require(time.seconds > 0 && time.seconds < 1e6, file.string(),
            [&, own = label, of = time.seconds] { return text("a step of ", own, " cannot take ", of, " seconds"); });
  return times;
}

StepTimes step_times(const std::vector<MatchedArm>& arms, const std::filesystem::path& folder, int threads, bool decided) {
  const std::filesystem::path file = folder / match_file;
  StepTimes times = kept_times(folder);
  const auto is_other = [&](const MatchedArm& arm) {
    const auto kept = times.find(arm.label);
    return kept != times.end() &&
           (kept->second.threads != threads || kept->second.experiment != digest_of_cost(*arm.runs.front()));
  };
  if (!decided && std::any_of(arms.begin(), arms.end(), is_other)) times.clear();
  bool unknown = false;
  for (const MatchedArm& arm : arms) {
    if (!is_other(arm)) continue;
    const int then = times[arm.label].threads;
    require(then == 0, file.string(), [&] {
      const std::string number = text(then, then == 1 ? " thread" : " threads", ", and a run has ", threads);
      return text("a step of ", arm.label, " was measured with ", then == threads ? "other settings" : number);
    }, "go on with the --threads, --jobs and settings of then, or give another folder with --out");
    unknown = true;
  }
  if (unknown)
    note(text(file.string(), ": an earlier version measured these times, and did not say with how many threads; they stand, as "
                             "runs that are matched in time have begun"));
  std::vector<std::string> labels;
  std::vector<Experiment*> missing;
  for (const MatchedArm& arm : arms)
    if (!times.contains(arm.label)) labels.push_back(arm.label), missing.push_back(arm.runs.front());
  const std::vector<double> seconds = seconds_of_steps(missing, threads);
  for (size_t k = 0; k < missing.size(); ++k) times[labels[k]] = {seconds[k], threads, digest_of_cost(*missing[k])};
  return times;
}

void keep(const StepTimes& times, const std::filesystem::path& folder) {
  nlohmann::json all;
  for (const auto& [label, time] : times)
    if (time.threads == 0) all[label] = time.seconds;
    else all[label] = {{"seconds", time.seconds}, {"threads", time.threads}, {"experiment", time.experiment}};
  write_atomically(folder / match_file, nlohmann::json{{"seconds_of_step", all}}.dump(2) + '\n');
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
      const int64_t steps = steps_in_time(to.train.steps, times.at(first).seconds, times.at(label).seconds);
      for (Experiment* run : arms[k].runs) run->train.steps = steps;
      done.push_back(fmt::format("{} takes {} steps of {:.3g} ms, as long as {} of {:.3g} ms of {}", label, steps,
                                 1e3 * times.at(label).seconds, to.train.steps, 1e3 * times.at(first).seconds, first));
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

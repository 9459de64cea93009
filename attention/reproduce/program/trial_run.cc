// tapir trial
#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/dossier.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/trial_results.h"
#include "nn/files/atomic_file.h"
#include "nn/files/folder_lock.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

// Of the steps that are not done: at most so long where runs end when they are solved.
void tell_time(Trial& trial, const StepTimes& times, const fs::path& out, int64_t jobs) {
  const std::set<fs::path> planned = planned_folders(trial, out);
  int64_t ended = 0;
  double seconds = 0;
  const bool until_solved = trial.options.metric == steps_until_solved;
  for (TrialCell& cell : trial.cells)
    for (TrialArm& arm : cell.arms) {
      const double of_step = times.at(path_of(cell, arm)).seconds;
      const auto add = [&](int64_t steps, int64_t count) { seconds += of_step * static_cast<double>(steps * count); };
      add(arm.experiment.train.steps, cell.seeds);
      if (trial.rates.size() > 1)
        add(std::max<int64_t>(1, arm.experiment.train.steps / 3), static_cast<int64_t>(trial.rates.size()));
      for (const RunRecord& run : runs_below(out / path_of(cell, arm))) {
        if (!planned.contains(run.folder)) continue;
        ended += run.ended();
        seconds -= of_step * static_cast<double>(run.ended() ? run.steps : run.done);
      }
    }
  const auto minutes = [&](double of) { return std::ceil(std::max(0.0, of) / 60); };
  note(fmt::format(
      "{}: {} of {} runs have ended; the others train for {} {:.0f} min, {:.0f} min with {} at a time, {:.1f} core-hours; "
      "evaluations come on top",
      trial.name, ended, planned.size(), until_solved ? "at most" : "about", minutes(seconds),
      minutes(seconds / static_cast<double>(jobs)), jobs, std::max(0.0, seconds) * threads_of_a_run(jobs) / 3600));
}

}  // namespace

int run_trial(const TrialCommand& command) {
  Trial trial = read_trial(command.experiment, command.assignments);
  const fs::path out = command.out.empty() ? fs::path("runs") / ("trial-" + trial.name) : command.out;
  require_place_for_comparison(out);
  require_criterion(trial, runs_below(out));
  prepare(trial);
  const StepTimes times = times_in(trial, out, threads_of_a_run(command.jobs));
  FolderLock lock(out);
  write_atomically(out / trial_file, nlohmann::ordered_json{{"digest", trial.digest}}.dump() + '\n');
  keep(times, out);
  match_times(trial, times);
  tell_time(trial, times, out, command.jobs);
  for (const auto& planned : {grid_runs, counted_runs}) {
    std::vector<PlannedRun> runs = planned(trial, out);
    if (const int signal = train_all(runs, command.jobs, lock, out / "jobs.log", trial.digest)) {
      fmt::print("stopped; the same command goes on\n");
      return 128 + signal;
    }
  }
  write_page(trial, out / "trial.md", out);
  return 0;
}

}  // namespace tapir

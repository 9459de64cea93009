// tapir trial
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/match.h"
#include "attention/reproduce/program/planned.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/trial_page.h"
#include "nn/files/atomic_file.h"
#include "nn/files/folder_lock.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

// Every run below the trial's folder, in the order of their names.
std::vector<RunRecord> runs_below(const fs::path& out) {
  std::vector<fs::path> folders;
  if (fs::is_directory(out))
    for (const auto& arm : fs::directory_iterator(out))
      if (arm.is_directory())
        for (const auto& run : fs::directory_iterator(arm.path()))
          if (run.is_directory() && kind_of(run.path()) == FolderKind::run) folders.push_back(run.path());
  std::sort(folders.begin(), folders.end());
  std::vector<RunRecord> records;
  for (const fs::path& folder : folders) records.push_back(read_record(folder));
  return records;
}

void require_same_criterion(const Trial& trial, const std::vector<RunRecord>& runs) {
  for (const RunRecord& run : runs)
    require(run.trial == trial.digest, run.folder.string(),
            [&] {
              return text("was made under ", run.trial.empty() ? "no criterion" : "another criterion, " + run.trial.substr(0, 12),
                          ", not under ", trial.digest.substr(0, 12));
            },
            "a criterion that changes after the runs makes another trial, in another folder: give --out");
}

std::string rate_name(double rate) { return fmt::format("rate-{}", rate); }

// Keys of an arm that are not as in the baseline.
std::string changed(const std::map<std::string, std::string>& own, const std::map<std::string, std::string>& baseline) {
  std::string all;
  for (const auto& [key, value] : own) {
    const auto found = baseline.find(key);
    if (key != "run.seed" && key != "run.name" && (found == baseline.end() || found->second != value))
      all += fmt::format("{}{} = {}", all.empty() ? "" : ", ", key, value);
  }
  return all;
}

// The best of the grid, the first of equal ones; where all have diverged, the smallest.
double best_rate(const std::vector<GridResult>& grid, bool higher_is_better) {
  double best = std::min_element(grid.begin(), grid.end(), [](auto& a, auto& b) { return a.rate < b.rate; })->rate;
  double result = std::numeric_limits<double>::quiet_NaN();
  for (const GridResult& one : grid)
    if (!std::isnan(one.result) && (std::isnan(result) || (one.result > result) == higher_is_better) && one.result != result)
      best = one.rate, result = one.result;
  return best;
}

void tell_time(Trial& trial, const fs::path& out, int64_t jobs) {
  std::vector<MatchedArm> arms;
  for (TrialArm& arm : trial.arms) arms.push_back({arm.name, {&arm.experiment}});
  const StepTimes times = step_times(arms, out);
  keep(times, out);
  double seconds = 0;
  const double of_grid = trial.rates.size() > 1 ? static_cast<double>(trial.rates.size()) / 3 : 0;
  for (TrialArm& arm : trial.arms)
    seconds += times.at(arm.name) * static_cast<double>(arm.experiment.train.steps) *
               (static_cast<double>(trial.options.seeds) + of_grid);
  const double minutes = std::ceil(seconds / 60 / static_cast<double>(jobs));
  note(fmt::format("{}: {} arms with {} seeds{}: training takes about {:.0f} min with {} at a time, evaluations come on top",
                   trial.name, trial.arms.size(), trial.options.seeds,
                   of_grid > 0 ? fmt::format(" and {} rates", trial.rates.size()) : "", minutes, jobs));
}

}  // namespace

int run_trial(const TrialCommand& command) {
  Trial trial = read_trial(command.experiment, command.assignments);
  const fs::path out = command.out.empty() ? fs::path("runs") / ("trial-" + trial.name) : command.out;
  require_place_for_comparison(out);
  require_same_criterion(trial, runs_below(out));
  const FolderLock lock(out);
  write_atomically(out / trial_file, nlohmann::ordered_json{{"digest", trial.digest}}.dump() + '\n');
  tell_time(trial, out, command.jobs);

  const auto train = [&](std::vector<PlannedRun>& runs) {
    const int signal = train_all(runs, command.jobs, out / "jobs.log", trial.digest);
    if (signal) fmt::print("stopped; the same command goes on\n");
    return signal;
  };
  std::vector<TrialResult> results(trial.arms.size());
  std::vector<PlannedRun> grid, counted;
  if (trial.rates.size() > 1)
    for (TrialArm& arm : trial.arms)
      for (const double rate : trial.rates) grid.push_back({grid_run(trial, arm, rate), out / arm.name / rate_name(rate)});
  if (const int signal = train(grid)) return 128 + signal;

  for (size_t k = 0; k < trial.arms.size(); ++k) {
    TrialArm& arm = trial.arms[k];
    TrialResult& result = results[k];
    result.name = arm.name;
    result.rate = trial.rates.front();
    if (!grid.empty()) {
      for (const double rate : trial.rates) {
        const RunRecord run = read_record(out / arm.name / rate_name(rate));
        constexpr double none = std::numeric_limits<double>::quiet_NaN();
        result.grid.push_back({rate, run.finished() ? run.judged.result : none, run.folder});
      }
      result.rate = best_rate(result.grid, trial.objective.higher_is_better);
    }
    for (int64_t seed = 0; seed < trial.options.seeds; ++seed) {
      PlannedRun& run = counted.emplace_back(PlannedRun{counted_run(arm, seed, result.rate), {}});
      run.folder = out / arm.name / text("seed-", run.experiment.run.seed);
    }
  }
  if (const int signal = train(counted)) return 128 + signal;

  std::vector<std::vector<RunRecord>> arms(trial.arms.size());
  std::vector<std::string> names;
  for (size_t k = 0; k < counted.size(); ++k)
    arms[k / static_cast<size_t>(trial.options.seeds)].push_back(read_record(counted[k].folder));
  for (size_t k = 0; k < arms.size(); ++k) {
    results[k].counted = arms[k];
    results[k].changed = changed(arms[k].front().settings, arms.front().front().settings);
    names.push_back(results[k].name);
  }
  const std::vector<Ruling> ruled = rulings(trial.options, trial.objective, arms, names);
  write_atomically(out / "trial.md", trial_page(trial, results, ruled, runs_below(out), out));
  fmt::print("{}: {}\n", trial.name, name_of(verdict_of(ruled)));
  fmt::print("{}\n", (out / "trial.md").string());
  return 0;
}

}  // namespace tapir

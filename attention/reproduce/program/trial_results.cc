#include "attention/reproduce/program/trial_results.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

constexpr double none = std::numeric_limits<double>::quiet_NaN();

std::string rate_name(double rate) { return fmt::format("rate-{}", rate); }

// Whether a run of the grid is better than another, which may have diverged: by the trial's metric, then by the task's.
bool is_better(const Trial& trial, const RunRecord& own, const RunRecord& other) {
  const auto better = [](double a, double b, bool higher) { return std::isnan(b) ? !std::isnan(a) : higher ? a > b : a < b; };
  const double a = value_of(trial, own), b = value_of(trial, other);
  if (a != b && !(std::isnan(a) && std::isnan(b))) return better(a, b, objective_of(trial, own).higher_is_better);
  return own.finished() && better(own.judged.result, other.judged.result, own.judged.objective.higher_is_better);
}

std::vector<std::pair<double, RunRecord>> read_grid(const Trial& trial, const fs::path& arm) {
  std::vector<std::pair<double, RunRecord>> grid;
  if (trial.rates.size() > 1)
    for (const double rate : trial.rates) grid.emplace_back(rate, read_record(arm / rate_name(rate)));
  return grid;
}

// The best of the grid, the first of equal ones; where all have diverged, the smallest.
double rate_of(const Trial& trial, const TrialArm& arm, const std::vector<std::pair<double, RunRecord>>& grid) {
  if (grid.empty()) return trial.rates.empty() ? arm.experiment.schedule.rate : trial.rates.front();
  const auto* best = &*std::min_element(grid.begin(), grid.end(), [](auto& a, auto& b) { return a.first < b.first; });
  for (const auto& one : grid)
    if (is_better(trial, one.second, best->second) || (!best->second.finished() && one.second.finished())) best = &one;
  return best->first;
}

void for_each_arm(Trial& trial, const fs::path& folder, const auto& visit) {
  for (TrialCell& cell : trial.cells)
    for (TrialArm& arm : cell.arms) visit(cell, arm, folder / path_of(cell, arm));
}

fs::path seed_folder(const fs::path& arm, const TrialArm& own, int64_t number) {
  return arm / text("seed-", own.experiment.run.seed + number);
}

RunRecord ended_run(const fs::path& folder) {
  RunRecord run = read_record(folder);
  require(run.ended(), folder.string(), [&] { return text("has not ended: step ", run.done); },
          "`tapir trial` goes on with it");
  return run;
}

}  // namespace

std::vector<PlannedRun> grid_runs(Trial& trial, const fs::path& folder) {
  std::vector<PlannedRun> runs;
  if (trial.rates.size() > 1)
    for_each_arm(trial, folder, [&](const TrialCell& cell, TrialArm& arm, const fs::path& below) {
      for (const double rate : trial.rates) runs.push_back({grid_run(cell, arm, rate), below / rate_name(rate)});
    });
  return runs;
}

std::vector<PlannedRun> counted_runs(Trial& trial, const fs::path& folder) {
  std::vector<PlannedRun> runs;
  for_each_arm(trial, folder, [&](const TrialCell& cell, TrialArm& arm, const fs::path& below) {
    const double rate = rate_of(trial, arm, read_grid(trial, below));
    for (int64_t k = 0; k < cell.seeds; ++k) runs.push_back({counted_run(arm, k, rate), seed_folder(below, arm, k)});
  });
  return runs;
}

Objective objective_of(const Trial& trial, const RunRecord& run) {
  return trial.options.metric == steps_until_solved ? Objective{steps_until_solved, false} : run.judged.objective;
}

double value_of(const Trial& trial, const RunRecord& run) {
  if (!run.finished()) return none;
  if (trial.options.metric != steps_until_solved) return run.judged.result;
  return static_cast<double>(run.solved ? run.solved : run.steps);
}

std::vector<CellResult> results_in(Trial& trial, const fs::path& folder) {
  std::vector<CellResult> cells;
  for (const TrialCell& cell : trial.cells) cells.push_back({&cell, {}});
  for_each_arm(trial, folder, [&](const TrialCell& cell, TrialArm& arm, const fs::path& below) {
    ArmResult result{.arm = &arm, .grid = read_grid(trial, below), .counted = {}};
    for (const auto& one : result.grid) ended_run(one.second.folder);
    result.rate = rate_of(trial, arm, result.grid);
    for (int64_t k = 0; k < cell.seeds; ++k) {
      RunRecord run = ended_run(seed_folder(below, arm, k));
      const std::string expected = value_text(toml::value<double>(result.rate)), found = run.settings["schedule.rate"];
      require(found == expected, run.folder.string(),
              [&] { return text("has schedule.rate = ", found, ", but the grid has found ", expected); });
      result.counted.push_back(std::move(run));
    }
    cells[&cell - trial.cells.data()].arms.push_back(std::move(result));
  });
  return cells;
}

std::vector<RunRecord> runs_below(const fs::path& folder) {
  std::vector<fs::path> folders;
  if (fs::is_directory(folder))
    for (fs::recursive_directory_iterator entry(folder), end; entry != end; ++entry)
      if (entry->is_directory() && fs::is_regular_file(entry->path() / facts_file)) {
        folders.push_back(entry->path());
        entry.disable_recursion_pending();
      }
  std::sort(folders.begin(), folders.end());
  std::vector<RunRecord> records;
  for (const fs::path& run : folders) records.push_back(read_record(run));
  return records;
}

void require_criterion(const Trial& trial, const std::vector<RunRecord>& runs) {
  for (const RunRecord& run : runs)
    require(
        run.trial == trial.digest, run.folder.string(),
        [&] {
          return text("was made under ", run.trial.empty() ? "no criterion" : "another criterion, " + run.trial.substr(0, 12),
                      ", not under ", trial.digest.substr(0, 12));
        },
        "a criterion that changes after the runs makes another trial, in another folder: give --out");
}

std::vector<Pairing> pairings(const Trial& trial, const std::vector<CellResult>& cells) {
  std::vector<Pairing> all;
  for (const CellResult& cell : cells) {
    const double sign = objective_of(trial, cell.arms.front().counted.front()).higher_is_better ? 1 : -1;
    double worst = std::numeric_limits<double>::infinity();   // times the sign
    for (const ArmResult& arm : cell.arms)
      for (const RunRecord& run : arm.counted)
        if (run.finished()) worst = std::min(worst, sign * value_of(trial, run));
    const auto worth = [&](const RunRecord& run) { return run.finished() ? sign * value_of(trial, run) : worst; };
    for (const ArmResult& subject : cell.arms)
      for (const ArmResult& other : cell.arms) {
        const TrialArm& against = *other.arm;
        if (subject.arm->role != Role::subject || against.role == Role::subject) continue;
        const bool of_another = std::any_of(cell.arms.begin(), cell.arms.end(), [&](const ArmResult& one) {
          return one.arm != subject.arm && one.arm->role == Role::subject && one.arm->name == against.match;
        });
        if (of_another) continue;
        Pairing pairing{cell.cell->name, subject.arm->name, against.name, {}};
        for (size_t k = 0; k < subject.counted.size(); ++k)
          pairing.gains.push_back(worth(subject.counted[k]) - worth(other.counted[k]));
        all.push_back(std::move(pairing));
      }
  }
  return all;
}

}  // namespace tapir

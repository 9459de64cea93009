#include "attention/reproduce/program/trial_results.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/match.h"
#include "attention/reproduce/program/run_folder.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

constexpr const char* planned_alone = "only what the trial plans counts: make it with `tapir trial`";
constexpr double none = std::numeric_limits<double>::quiet_NaN();

std::string rate_name(double rate) { return fmt::format("rate-{}", rate); }

// Whether a run of the grid is better than another, which may have diverged: by the trial's metric, then by the task's.
bool is_better(const Trial& trial, const RunRecord& own, const RunRecord& other) {
  const auto better = [](double a, double b, bool higher) { return std::isnan(b) ? !std::isnan(a) : higher ? a > b : a < b; };
  const double a = value_of(trial, own), b = value_of(trial, other);
  if (a != b && !(std::isnan(a) && std::isnan(b))) return better(a, b, objective_of(trial, own).higher_is_better);
  return own.finished() && better(own.judged.result, other.judged.result, own.judged.objective.higher_is_better);
}

std::vector<PlannedRun> grid_of(const Trial& trial, const TrialCell& cell, TrialArm& arm, const fs::path& below) {
  std::vector<PlannedRun> grid;
  if (trial.rates.size() > 1)
    for (const double rate : trial.rates) grid.push_back({grid_run(cell, arm, rate), below / rate_name(rate)});
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

// Of the planned experiment, but for what the digest of a trial leaves free.
RunRecord ended_run(PlannedRun planned) {
  RunRecord run = read_record(planned.folder);
  require(run.ended(), planned.folder.string(), [&] { return text("has not ended: step ", run.done); },
          "`tapir trial` goes on with it");
  require_same_experiment(planned, {"run.initial", "data.path"}, planned_alone);
  return run;
}

// The width that was found before the runs is known from them alone, where there are no data to find it with.
void take_width(TrialArm& arm, const fs::path& run) {
  if (arm.match.empty() || arm.match_in == "time") return;
  Experiment own = read_run(run);
  if (const auto hidden = section_of(own.model)["hidden"].value<int64_t>()) set_hidden(arm.experiment, *hidden);
}

void require_matched(const CellResult& cell, const ArmResult& own) {
  const std::string& in = own.arm->match_in;
  if (own.arm->match.empty() || in == "time") return;
  const auto to = std::find_if(cell.arms.begin(), cell.arms.end(),
                               [&](const ArmResult& one) { return one.arm->name == own.arm->match; });
  const RunRecord &run = own.counted.front(), &other = to->counted.front();
  const auto cost = [&](const RunRecord& of) { return in == "parameters" ? of.parameters : of.operations; };
  const double ratio = static_cast<double>(cost(run)) / static_cast<double>(cost(other));
  require(std::abs(ratio - 1) <= matched_within, run.folder.string(),
          [&] { return text("is to have the ", in, " of ", to->arm->name, ", ", cost(other), ", found ", cost(run)); },
          planned_alone);
}

Pairing pairing_of(const Trial& trial, const CellResult& cell, const ArmResult& subject, const ArmResult& other) {
  Pairing pairing{cell.cell->name, subject.arm->name, other.arm->name, {}, {}, {}};
  for (const ArmResult* arm : {&subject, &other})
    for (const RunRecord& run : arm->counted)
      if (std::isnan(value_of(trial, run))) {   // those that are left would not stand for all
        pairing.diverged = text(arm->arm->name, " with seed ", run.seed);
        return pairing;
      }
  for (size_t k = 0; k < subject.counted.size(); ++k) {
    const RunRecord &own = subject.counted[k], &than = other.counted[k];
    const double a = value_of(trial, own), b = value_of(trial, than);
    pairing.gains.push_back(objective_of(trial, own).higher_is_better ? a - b : b - a);
    const bool known = trial.options.metric != steps_until_solved || own.solved || than.solved;
    if (known) pairing.known.push_back(pairing.gains.back());
  }
  return pairing;
}

}  // namespace

std::vector<PlannedRun> grid_runs(Trial& trial, const fs::path& folder) {
  std::vector<PlannedRun> runs;
  for_each_arm(trial, folder, [&](const TrialCell& cell, TrialArm& arm, const fs::path& below) {
    for (PlannedRun& run : grid_of(trial, cell, arm, below)) runs.push_back(std::move(run));
  });
  return runs;
}

std::vector<PlannedRun> counted_runs(Trial& trial, const fs::path& folder) {
  std::vector<PlannedRun> runs;
  for_each_arm(trial, folder, [&](const TrialCell& cell, TrialArm& arm, const fs::path& below) {
    std::vector<std::pair<double, RunRecord>> grid;
    for (const PlannedRun& run : grid_of(trial, cell, arm, below))
      grid.emplace_back(run.experiment.schedule.rate, read_record(run.folder));
    const double rate = rate_of(trial, arm, grid);
    for (int64_t k = 0; k < cell.seeds; ++k) runs.push_back({counted_run(arm, k, rate), seed_folder(below, arm, k)});
  });
  return runs;
}

Objective objective_of(const Trial& trial, const RunRecord& run) {
  return trial.options.metric == steps_until_solved ? Objective{steps_until_solved, false} : run.judged.objective;
}

double value_of(const Trial& trial, const RunRecord& run) {
  if (!run.ended()) return none;
  if (trial.options.metric == steps_until_solved) return static_cast<double>(run.solved ? run.solved : run.steps);
  return run.finished() ? run.judged.result : none;
}

std::vector<CellResult> results_in(Trial& trial, const fs::path& folder) {
  std::vector<CellResult> cells;
  for (const TrialCell& cell : trial.cells) cells.push_back({&cell, {}});
  match_times(trial, kept_times(folder));
  for_each_arm(trial, folder, [&](const TrialCell& cell, TrialArm& arm, const fs::path& below) {
    ArmResult result{.arm = &arm, .grid = {}, .counted = {}};
    take_width(arm, seed_folder(below, arm, 0));
    for (PlannedRun& run : grid_of(trial, cell, arm, below))
      result.grid.emplace_back(run.experiment.schedule.rate, ended_run(std::move(run)));
    result.rate = rate_of(trial, arm, result.grid);
    for (int64_t k = 0; k < cell.seeds; ++k)
      result.counted.push_back(ended_run({counted_run(arm, k, result.rate), seed_folder(below, arm, k)}));
    cells[&cell - trial.cells.data()].arms.push_back(std::move(result));
  });
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      const RunRecord& first = cell.arms.front().counted.front();
      for (const RunRecord& run : arm.counted)   // of experiments that compare, but data may have changed between them
        require_comparable(run.folder.string(), run.judged, first.folder.string(), first.judged);
      require_matched(cell, arm);
    }
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
  for (const CellResult& cell : cells)
    for (const ArmResult& subject : cell.arms)
      for (const ArmResult& other : cell.arms) {
        const TrialArm& against = *other.arm;
        if (subject.arm->role != Role::subject || against.role == Role::subject) continue;
        const bool of_another = std::any_of(cell.arms.begin(), cell.arms.end(), [&](const ArmResult& one) {
          return one.arm != subject.arm && one.arm->role == Role::subject && one.arm->name == against.match;
        });
        if (!of_another) all.push_back(pairing_of(trial, cell, subject, other));
      }
  return all;
}

}  // namespace tapir

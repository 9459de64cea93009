// What the runs of a trial came to, read from their folders: the rate of each arm, its counted runs, and gains over one
// another.
//
// Folders, below that of the trial: [CELL/]ARM/rate-… of the grid, [CELL/]ARM/seed-… of counted runs.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "attention/reproduce/program/planned.h"
#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/trial.h"

namespace tapir {

std::vector<PlannedRun> grid_runs(Trial& trial, const std::filesystem::path& folder);   // none where there is one rate
// Of all arms, at the rates that the grid has found. Throws what read_record throws.
std::vector<PlannedRun> counted_runs(Trial& trial, const std::filesystem::path& folder);

struct ArmResult {
  const TrialArm* arm;
  std::vector<std::pair<double, RunRecord>> grid;   // by rate; none where there was one
  double rate = 0;
  std::vector<RunRecord> counted;                   // seed by seed
};

struct CellResult {
  const TrialCell* cell;
  std::vector<ArmResult> arms;
};

// By what a run is judged, and what it came to. Of steps until solved, all that a run has where it is not solved, or diverged.
// NaN for a run that has not ended, and otherwise for one that diverged.
Objective objective_of(const Trial& trial, const RunRecord& run);
double value_of(const Trial& trial, const RunRecord& run);

// Throws Error unless every run is there, has ended, and is of the experiment that the trial plans, counted ones at the best
// rate; unless arms have the cost of those that they are matched with; and where results of a cell do not compare (record.h).
// Gives matched arms the steps that take the times which were kept, or the width of their runs.
std::vector<CellResult> results_in(Trial& trial, const std::filesystem::path& folder);

// Every run below the trial's folder, whatever it counts for, in the order of their names.
std::vector<RunRecord> runs_below(const std::filesystem::path& folder);

// Throws Error for a run that was made under another criterion, or under none.
void require_criterion(const Trial& trial, const std::vector<RunRecord>& runs);

// A subject against the baseline or a control, in a cell.
struct Pairing {
  std::string cell, subject, against;
  std::vector<double> gains;   // paired by seed, positive where the subject is better; none where a run has no value
  std::vector<double> known;   // but for pairs of which neither run is solved, where that is asked: who would be first is open
  std::string diverged;        // a run that has no value: "b with seed 2"; "": all have
};
std::vector<Pairing> pairings(const Trial& trial, const std::vector<CellResult>& cells);

}  // namespace tapir

// Runs that are to be trained, one after the other or side by side.
#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "attention/reproduce/program/experiment.h"
#include "nn/files/folder_lock.h"

namespace tapir {

struct PlannedRun {
  Experiment experiment;
  std::filesystem::path folder;
};

// Throws Error where the run that is in the folder has other settings than are planned, but for run.name, run.device and those
// that are `free`; and what read_run throws.
void require_same_experiment(PlannedRun& run, std::set<std::string> free, const std::string& hint);

// Whether there is a run to go on with. Throws Error where something else stands in its place, or a run of another experiment or its logs.
bool has_begun(PlannedRun& run);

int threads_of_a_run(int64_t jobs);   // of so many at a time

// Trains those that have not ended, each up to where it diverges; where a run left its logs alone and they say that it has
// ended, they stand for it. With several `jobs`, so many at a time, each in a process of its own with one thread, whose
// progress goes to `log`. Those processes save and end when this one is told to stop, throws or dies; `lock`, of the folder
// that the runs are in, goes with this one. `trial`: digest of a criterion that new runs keep; "": none. Returns the signal
// that stopped them, 0 if none did. Throws what train_run throws, and Error for a run that has ended and whose data have
// changed since, and for several jobs on a GPU.
int train_all(std::vector<PlannedRun>& runs, int64_t jobs, FolderLock& lock, const std::filesystem::path& log,
              const std::string& trial = "");

}  // namespace tapir

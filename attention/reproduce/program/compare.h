// The runs of a comparison: every mechanism with every seed.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/planned.h"

namespace tapir {

// All runs of the comparison, in OUT/mechanism/seed-N, mechanism by mechanism, with the seeds run.seed, run.seed + 1, …. A
// mechanism is given those keys of [attention] that it has. Throws Error for what read_experiment refuses, for a mechanism that is named twice, for
// an experiment without [attention], and for a key in it that none of the mechanisms has.
std::vector<PlannedRun> planned_runs(const CompareCommand& command);

}  // namespace tapir

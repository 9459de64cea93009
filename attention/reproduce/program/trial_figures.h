// Pictures of a trial's runs.
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/trial_results.h"

namespace tapir {

std::vector<Lifetime> lifetimes_of(const std::vector<RunRecord>& runs);   // steps until solved; what diverged never is

// SVG: the share of an arm's runs that are not solved yet where that is what the trial asks; else the task's metric on the
// validation part, a mean over seeds with its 95 % interval. "" where no arm has more than one point.
std::string figure_of(const Trial& trial, const CellResult& cell);

}  // namespace tapir

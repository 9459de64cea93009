// The parts of a trial's page that are tables of runs, as Markdown.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/trial_results.h"

namespace tapir {

std::string shown(double value);               // "–": NaN
std::string shown(const Interval& interval);   // "0.125 ± 0.01"
std::string table_head(const std::vector<std::string>& names);

std::string rates_section(const Trial& trial, const std::vector<CellResult>& cells);   // "" where there is no grid

// Of the counted runs, of whose gains there are so many rulings. `pictures`: those that there are; `below`: where the text has
// them.
std::string results_section(const Trial& trial, const std::vector<CellResult>& cells, size_t rulings,
                            const std::map<std::string, std::string>& pictures, const std::string& below);
std::string picture_name(const CellResult& cell);

std::string solved_section(const Trial& trial,
                           const std::vector<CellResult>& cells);   // "" unless it asks for steps until solved
std::string gates_section(const Trial& trial, const std::vector<CellResult>& cells);    // "" where no run has logged a gate

// Every run below `folder`, and what it counts for.
std::string runs_section(const Trial& trial, const std::vector<CellResult>& cells, const std::filesystem::path& folder);

}  // namespace tapir

// From what a command is given to runs.
#pragma once
#include <filesystem>
#include <vector>

namespace tapir {

// The run folders for which paths stand: a comparison stands for its runs, everything else for itself. Throws Error for a
// comparison that has not ended, and for a malformed one.
std::vector<std::filesystem::path> named_runs(const std::vector<std::filesystem::path>& paths);

}  // namespace tapir

// From what a command is given to runs.
#pragma once
#include <filesystem>
#include <vector>

namespace tapir {

// The run folders for which paths stand: a comparison stands for its runs, everything else for itself. Throws Error for a
// comparison that has not ended, and for a malformed one.
std::vector<std::filesystem::path> named_runs(const std::vector<std::filesystem::path>& paths);

// Says on standard error how many runs there are in the folder of a comparison beside those that it was last asked for.
void tell_left_out(const std::filesystem::path& comparison, const std::vector<std::filesystem::path>& asked_for);

}  // namespace tapir

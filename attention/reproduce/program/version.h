// What this program is: for `tapir --version`, and for the runs that it makes.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace tapir {

// "tapir" (the version), "commit" of the sources (with ", with changes" where they had some; "unknown" outside of a
// checkout), "compiler", "flags", "threads", "blas" (with its kernels), "devices", "precisions".
std::vector<std::pair<std::string, std::string>> program_facts();

std::string version_text();   // a line for each

}  // namespace tapir

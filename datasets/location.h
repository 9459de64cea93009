// Where data sets lie on this machine.
#pragma once
#include <filesystem>
#include <string_view>

namespace tapir {

// The environment variable TAPIR_DATA, else ~/.cache/tapir. Error when neither TAPIR_DATA nor HOME is set.
std::filesystem::path data_root();

// folder/file, which exists. Otherwise an Error that names `data_set` and the missing path; `hint` says what to put where.
std::filesystem::path require_file(std::string_view data_set, const std::filesystem::path& folder, std::string_view file,
                                   std::string_view hint);

}  // namespace tapir

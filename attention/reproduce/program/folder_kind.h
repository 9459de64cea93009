// What stands at a path, so that no command writes into, or reads from, a folder of another kind.
#pragma once
#include <filesystem>
#include <string>

namespace tapir {

enum class FolderKind {
  absent,
  empty,        // or with nothing but a lock and empty folders
  begun,        // a run that ended before its first checkpoint: a new one may take its place
  run,
  comparison,   // with compare.json, or with a folder of a mechanism that has a folder of a seed
  other,        // files of strangers
  file          // or a device: no folder
};

FolderKind kind_of(const std::filesystem::path& path);   // throws Error when a folder cannot be read

// Throw Error "<path>: …", which says what stands there instead, unless the path is …
void require_place_for_run(const std::filesystem::path& path);          // absent, empty or begun
void require_place_for_comparison(const std::filesystem::path& path);   // absent, empty or a comparison
void require_run(const std::filesystem::path& path);                    // a run, perhaps without a checkpoint
void require_checkpoint(const std::filesystem::path& path);             // a run with one

inline constexpr const char* experiment_file = "experiment.toml";
inline constexpr const char* facts_file = "run.json";   // {"parameters": …, "metric": …, "higher_is_better": …, "digests": {…}}
inline constexpr const char* comparison_file = "compare.json";

}  // namespace tapir

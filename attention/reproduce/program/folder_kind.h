// What stands at a path, so that no command writes into, or reads from, a folder of another kind.
#pragma once
#include <filesystem>
#include <string>

namespace tapir {

enum class FolderKind {
  absent,
  empty,        // or with nothing but a lock and empty folders
  begun,        // a run that broke off before its first checkpoint, which comes before its first step: a new one may take its place
  logs,         // of a run that has computed steps, without its checkpoints and weights
  run,
  comparison,   // with compare.json, match.json or trial.json, or with a folder of a mechanism that has a folder of a seed
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
inline constexpr const char* facts_file = "run.json";   // what a comparison must know (record.h), and digests (digests.h)
inline constexpr const char* comparison_file = "compare.json";
inline constexpr const char* trial_file = "trial.json";   // of a trial: its criterion (trial.h)
inline constexpr const char* match_file = "match.json";   // of a comparison: measured times of a step (match.h)

}  // namespace tapir

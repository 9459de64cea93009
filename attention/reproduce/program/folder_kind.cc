#include "attention/reproduce/program/folder_kind.h"

#include <cerrno>
#include <vector>

#include "nn/files/file_calls.h"
#include "nn/files/folder_lock.h"
#include "nn/train/checkpoint.h"
#include "tensor/error.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& folder, fs::directory_options options = {}) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator item(folder, options, error), end; !error && item != end; item.increment(error))
    names.push_back(item->path().filename().string());
  errno = error.value();
  if (error) throw_file_error(folder, "reading the folder");
  return names;
}

// What a process that was killed may leave before the experiment has its name.
bool says_nothing(const std::string& name) {
  return name == lock_file || name.starts_with(std::string(experiment_file) + ".tmp");
}

// Path of a run inside, "" where there is none: MECHANISM/seed-N.
std::string run_inside(const fs::path& folder) {
  for (const std::string& mechanism : names_in(folder)) {
    if (!fs::is_directory(folder / mechanism)) continue;
    for (const std::string& seed : names_in(folder / mechanism, fs::directory_options::skip_permission_denied))
      if (seed.starts_with("seed-") && fs::is_directory(folder / mechanism / seed)) return mechanism + '/' + seed;
  }
  return "";
}

std::string stranger_in(const fs::path& folder) {
  std::error_code error;
  for (const std::string& name : names_in(folder))   // a folder without files says nothing either
    if (!says_nothing(name) && !(fs::is_directory(folder / name, error) && fs::is_empty(folder / name, error))) return name;
  return "";
}

// As a predicate of the path.
std::string description(const fs::path& path, FolderKind kind) {
  switch (kind) {
    case FolderKind::absent: return "is not there";
    case FolderKind::empty: return "is an empty folder";
    case FolderKind::begun: return "has a run without a checkpoint";
    case FolderKind::logs: return "has the logs of a run without its checkpoints";
    case FolderKind::run: return "has a run already";
    case FolderKind::comparison: return "is the folder of a comparison";
    case FolderKind::other: return text("has other files, such as '", stranger_in(path), "'");
    case FolderKind::file: return "is a file, not a folder";
  }
  return "";
}

}  // namespace

FolderKind kind_of(const fs::path& path) {
  std::error_code error, no_log;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return FolderKind::absent;
  errno = error.value();
  if (status.type() == fs::file_type::none) throw_file_error(path, "opening");
  if (status.type() != fs::file_type::directory) return FolderKind::file;
  if (stranger_in(path).empty()) return FolderKind::empty;
  if (fs::is_regular_file(path / experiment_file)) {
    if (!CheckpointFolder(path / "checkpoints").empty() || fs::exists(path / "model.safetensors")) return FolderKind::run;
    if (const auto bytes = fs::file_size(path / "metrics.jsonl", no_log); !no_log && bytes > 0) return FolderKind::logs;
    if (fs::exists(path / lock_file) || fs::exists(path / facts_file)) return FolderKind::begun;
    return FolderKind::other;
  }
  for (const char* own : {comparison_file, match_file, trial_file})
    if (fs::is_regular_file(path / own)) return FolderKind::comparison;
  return run_inside(path).empty() ? FolderKind::other : FolderKind::comparison;
}

void require_place_for_run(const fs::path& path) {
  const FolderKind kind = kind_of(path);
  require(kind != FolderKind::run, path.string(), [&] { return description(path, kind); },
          "go on with --resume, or give another folder with --out");
  require(kind != FolderKind::logs, path.string(), [&] { return description(path, kind); },
          "they would be lost: give another folder with --out");
  require(kind == FolderKind::absent || kind == FolderKind::empty || kind == FolderKind::begun, path.string(),
          [&] { return description(path, kind); }, "give a folder of its own to a run, with --out");
}

void require_place_for_comparison(const fs::path& path) {
  const FolderKind kind = kind_of(path);
  require(kind == FolderKind::absent || kind == FolderKind::empty || kind == FolderKind::comparison, path.string(),
          [&] { return description(path, kind); }, "give a folder of its own to a comparison, with --out");
}

void require_run(const fs::path& path) {
  const FolderKind kind = kind_of(path);
  require(kind != FolderKind::comparison, path.string(), [] { return "is no run: it is the folder of a comparison"; },
          "give a run in it, MECHANISM/seed-N");
  require(kind != FolderKind::absent && kind != FolderKind::file, path.string(),
          [&] { return text("is no run: it ", description(path, kind)); }, "give the folder that `tapir train` wrote");
  require(fs::is_regular_file(path / experiment_file), path.string(),
          [] { return text("is no run: it has no ", experiment_file); }, "give the folder that `tapir train` wrote");
}

void require_checkpoint(const fs::path& path) {
  require_run(path);
  require(!CheckpointFolder(path / "checkpoints").empty(), path.string(), [] { return "has no checkpoint"; },
          kind_of(path) == FolderKind::logs ? "there are its logs alone, for reports and comparisons"
                                            : "the `tapir train` that began the run begins it again");
}

}  // namespace tapir

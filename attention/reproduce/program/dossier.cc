// tapir dossier
#include "attention/reproduce/program/dossier.h"

#include <fmt/core.h>

#include <map>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/trial_page.h"
#include "datasets/text/text_file.h"
#include "nn/files/atomic_file.h"
#include "nn/files/file_calls.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

// Facts come last: a folder without them is no run (runs_below), so what a kill leaves is taken anew, not for a run.
constexpr const char* files_of_run[] = {experiment_file, "metrics.jsonl", "costs.jsonl", environment_file, facts_file};

void require_runs_of(const fs::path& runs, const fs::path& folder) {
  for (const RunRecord& kept : runs_below(folder)) {
    const fs::path own = runs / kept.folder.lexically_relative(folder);
    for (const char* name : files_of_run) {
      const bool there = fs::is_regular_file(own / name);
      require(there && read_file(own / name) == read_file(kept.folder / name), kept.folder.string(), [&] {
        return there ? text("is kept with another ", name, " than that of ", own.string())
                     : text("is kept, but there is no ", (own / name).string());
      }, "a dossier keeps the runs of one folder: give another place with --out, or remove what is kept");
    }
  }
}

// A difference between runs whose experiments name the same data is none of the arms where these were other ones. Nobody can
// tell of runs that keep no digests.
void require_same_data(const std::vector<RunRecord>& runs) {
  std::map<std::string, const RunRecord*> first;   // by what names the data
  for (const RunRecord& run : runs) {
    Task::Digests own = kept_digests(run.folder);
    std::erase_if(own, [](const auto& digest) { return digest.first == "initial"; });   // weights may differ on purpose
    if (own.empty()) continue;
    std::string named;
    for (const auto& [key, value] : run.settings)
      if ((key.starts_with("task.") || key.starts_with("data.")) && key != "data.path") named += text(key, " = ", value, '\n');
    const RunRecord& other = *first.try_emplace(named, &run).first->second;
    const std::string differ = differences(kept_digests(other.folder), own);
    require(differ.empty(), run.folder.string(),
            [&] { return text("was trained with other data than ", other.folder.string(), ", by SHA-256: ", differ); },
            "runs of one trial have the same data: remove those that have not, and `tapir trial` trains them again");
  }
}

}  // namespace

std::set<fs::path> planned_folders(Trial& trial, const fs::path& folder) {
  std::set<fs::path> folders;
  for (const PlannedRun& run : grid_runs(trial, folder)) folders.insert(run.folder);
  for (TrialCell& cell : trial.cells)
    for (TrialArm& arm : cell.arms)   // as counted_runs names them, which asks the grid for rates
      for (int64_t k = 0; k < cell.seeds; ++k)
        folders.insert(folder / path_of(cell, arm) / text("seed-", arm.experiment.run.seed + k));
  return folders;
}

void write_page(Trial& trial, const fs::path& page, const fs::path& folder) {
  std::vector<RunRecord> runs = runs_below(folder);
  const std::set<fs::path> planned = planned_folders(trial, folder);
  std::erase_if(runs, [&](const RunRecord& run) { return !planned.contains(run.folder); });
  require_same_data(runs);
  const std::string below = folder.lexically_relative(page.parent_path()).generic_string();
  const TrialPage made = trial_page(trial, folder, below == "." ? "" : below + '/');
  for (const auto& [name, picture] : made.pictures) write_atomically(folder / name, picture);
  write_atomically(page, made.text);
  fmt::print("{}: {}\n{}\n", trial.name, name_of(made.verdict), page.string());
}

int64_t copy_logs(Trial& trial, const fs::path& runs, const fs::path& folder) {
  require_runs_of(runs, folder);
  std::vector<RunRecord> ended = runs_below(runs);
  std::erase_if(ended, [](const RunRecord& run) { return !run.ended(); });
  for (const RunRecord& run : ended)
    for (const char* name : files_of_run)
      require(fs::is_regular_file(run.folder / name), run.folder.string(), [&] { return text("has no ", name); });
  create_folders(folder);
  for (const char* name : {trial_file, match_file})
    if (fs::exists(runs / name)) write_atomically(folder / name, read_file(runs / name));
  const std::set<fs::path> planned = planned_folders(trial, runs);
  int64_t counted = 0;
  for (const RunRecord& run : ended) {
    counted += planned.contains(run.folder);
    const fs::path own = folder / run.folder.lexically_relative(runs);
    if (fs::is_regular_file(own / facts_file)) continue;   // the same one
    create_folders(own);
    for (const char* name : files_of_run) write_atomically(own / name, read_file(run.folder / name));
  }
  return counted;
}

int run_dossier(const DossierCommand& command) {
  Trial trial = read_trial(command.experiment, {});
  const fs::path folder = command.out / trial.name;
  require(kind_of(command.out) != FolderKind::file, command.out.string(), [] { return "is a file, not a folder"; },
          "give the folder that dossiers are in, with --out");
  if (!command.runs.empty()) {
    require(fs::is_directory(command.runs), command.runs.string(), [] { return "there is no such folder"; },
            "give the folder that `tapir trial` wrote");
    require_criterion(trial, runs_below(command.runs));
    const int64_t ended = copy_logs(trial, command.runs, folder);
    const auto all = static_cast<int64_t>(planned_folders(trial, folder).size());
    if (ended < all) {
      fmt::print("{}: {} of {} runs have ended; the page is written when all have\n", trial.name, ended, all);
      return 0;
    }
  }
  require_criterion(trial, runs_below(folder));
  write_page(trial, command.out / (trial.name + ".md"), folder);
  return 0;
}

}  // namespace tapir

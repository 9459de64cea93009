// tapir dossier
#include "attention/reproduce/program/dossier.h"

#include <fmt/core.h>

#include "attention/reproduce/program/commands.h"
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

void take_file(const fs::path& from, const fs::path& to) {
  const std::string contents = read_file(from);
  if (!fs::exists(to) || read_file(to) != contents) write_atomically(to, contents);
}

int64_t runs_of(const Trial& trial) {
  int64_t runs = 0;
  for (const TrialCell& cell : trial.cells)
    runs += static_cast<int64_t>(cell.arms.size()) *
            (cell.seeds + (trial.rates.size() > 1 ? static_cast<int64_t>(trial.rates.size()) : 0));
  return runs;
}

}  // namespace

void write_page(Trial& trial, const fs::path& page, const fs::path& folder) {
  const std::string below = folder.lexically_relative(page.parent_path()).generic_string();
  const TrialPage made = trial_page(trial, folder, below == "." ? "" : below + '/');
  for (const auto& [name, picture] : made.pictures) write_atomically(folder / name, picture);
  write_atomically(page, made.text);
  fmt::print("{}: {}\n{}\n", trial.name, name_of(made.verdict), page.string());
}

int64_t copy_logs(const fs::path& runs, const fs::path& folder) {
  int64_t ended = 0;
  create_folders(folder);
  for (const char* name : {trial_file, match_file})
    if (fs::exists(runs / name)) take_file(runs / name, folder / name);
  for (const RunRecord& run : runs_below(runs)) {
    if (!run.ended()) continue;
    const fs::path own = folder / run.folder.lexically_relative(runs);
    create_folders(own);
    for (const char* name : {experiment_file, facts_file, "metrics.jsonl", "costs.jsonl", environment_file})
      take_file(run.folder / name, own / name);
    ++ended;
  }
  return ended;
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
    const int64_t ended = copy_logs(command.runs, folder), all = runs_of(trial);
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

// tapir eval
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/named_runs.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/streams.h"

namespace tapir {
namespace {

using Json = nlohmann::ordered_json;

std::string name_of(const std::filesystem::path& folder) {   // of a comparison: MECHANISM/seed-N
  const std::filesystem::path path = std::filesystem::weakly_canonical(folder);
  const std::string last = path.filename().string();
  return last.starts_with("seed-") ? (path.parent_path().filename() / last).string() : last;
}

// What must be equal before results are compared, and what was read. Data that the user did not name must be those of the
// training.
Task::Results signature_of(const std::filesystem::path& folder, const Task& task, const std::string& part, bool named) {
  Task::Results all = task.conditions(part);
  const Task::Digests found = task.digests({part});
  if (found.empty()) return all;
  tell_unkept(folder, found);
  if (!named) require_kept(folder, found, "put back the data of the training, or evaluate others with --data PATH");
  all.emplace_back(part, "sha256 " + found.back().second.substr(0, 12));
  if (const std::string others = named ? differences(kept_digests(folder), found) : ""; !others.empty())
    all.emplace_back("NOT the run's own text:", others);
  return all;
}

}  // namespace

int run_eval(const std::vector<std::filesystem::path>& paths, const std::string& part, const std::string& device,
             const std::filesystem::path& data, bool json) {
  Json runs = Json::array();
  std::string heading, signatures;
  for (const std::filesystem::path& folder : named_runs(paths)) {
    const std::unique_ptr<OpenRun> run = open_run(folder, device, data);
    Task& task = *run->task;
    const Experiment& experiment = run->experiment;
    const std::string name = name_of(folder);
    const int64_t parameters = task.model().parameter_count();
    const Task::Results signature = signature_of(folder, task, part, !data.empty()), results = task.evaluate_part(part);
    if (json) {
      runs.push_back({{"folder", folder.string()}, {"name", name}, {experiment.subject_kind(), experiment.subject()},
                      {"parameters", parameters}, {"results", json_of(results)}, {"weights", run->weights},
                      {"signature", json_of(signature)}});
      continue;
    }
    std::string names = fmt::format("{:<24} {:<14} {:>11}", "run", experiment.subject_kind(), "parameters"), numbers, conditions;
    for (const auto& [what, shown] : results) {
      names += fmt::format(" {:>11}", what);
      numbers += fmt::format(" {:>11}", shown);
    }
    if (names != heading) fmt::print("{}  {}\n", heading = names, "weights");   // again where runs of another kind follow
    fmt::print("{:<24} {:<14} {:>11}{}  {}\n", name, experiment.subject(), parameters, numbers, run->weights);
    for (const auto& [what, value] : signature) conditions += fmt::format("{}{} {}", conditions.empty() ? "" : ", ", what, value);
    signatures += fmt::format("{}: {}\n", name, conditions);
  }
  if (json) print_json({{"part", part}, {"runs", std::move(runs)}});
  fmt::print("{}", signatures);
  return 0;
}

}  // namespace tapir

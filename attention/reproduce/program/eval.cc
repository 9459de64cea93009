// tapir eval
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/named_runs.h"
#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/statistics.h"
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
  if (const std::string whole = task.all(part); !whole.empty()) all.emplace_back("of", whole);
  if (const std::string others = named ? differences(kept_digests(folder), found) : ""; !others.empty())
    all.emplace_back("NOT the run's own data:", others);
  return all;
}

// "cat 12.0 %" where so many of the examples of class k are taken for cats; "" where all are found.
std::string commonest_mistake(const Confusion& confusion, size_t k) {
  const size_t other = confusion.mistaken_for(k);
  if (other == k) return "";
  const auto count = static_cast<double>(confusion.counts[k][other]), labelled = static_cast<double>(confusion.labelled(k));
  return fmt::format("{} {:.1f} %", confusion.classes[other], 100 * count / labelled);
}

void print_classes(const Confusion& confusion) {
  fmt::print("  {:<24} {:>8} {:>7} {:>13} {:>10}  {}\n", "class", "examples", "found", "95 %", "precision", "most often taken for");
  for (size_t k = 0; k < confusion.classes.size(); ++k) {
    const int64_t right = confusion.counts[k][k], labelled = confusion.labelled(k), guessed = confusion.guessed(k);
    const auto share = [&](int64_t of) {
      return of == 0 ? std::string("–") : fmt::format("{:.3f}", static_cast<double>(right) / static_cast<double>(of));
    };
    fmt::print("  {:<24} {:>8} {:>7} {:>13} {:>10}  {}\n", confusion.classes[k], labelled, share(labelled),
               ends_of(wilson(right, labelled)), share(guessed), commonest_mistake(confusion, k));
  }
}

// A run that has diverged is evaluated with the weights that it had before.
void tell_divergence(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / "metrics.jsonl", ignored)) return;
  if (const RunRecord record = read_record(folder); !record.diverged.empty())
    note(text(folder.string(), ": has diverged: ", record.diverged));
}

}  // namespace

int run_eval(const EvalCommand& command) {
  Json runs = Json::array();
  std::string heading, signatures;
  for (const std::filesystem::path& folder : named_runs(command.runs)) {
    const std::unique_ptr<OpenRun> run = open_run(folder, command.device, command.data);
    tell_divergence(folder);
    Task& task = *run->task;
    const Experiment& experiment = run->experiment;
    const std::string name = name_of(folder);
    const int64_t parameters = task.model().parameter_count();
    const Task::Results signature = signature_of(folder, task, command.part, !command.data.empty());
    const auto [results, confusion] = task.evaluate_part(command.part);
    require(!command.classes || !confusion.empty(), folder.string(),
            [&] { return text("the task '", experiment.task.name, "' has no classes"); });
    if (command.json) {
      Json own{{"folder", folder.string()}, {"name", name}, {experiment.subject_kind(), experiment.subject()},
               {"parameters", parameters}, {"results", json_of(results)}, {"weights", run->weights},
               {"signature", json_of(signature)}};
      if (!confusion.empty()) own.update({{"classes", confusion.classes}, {"confusion", confusion.counts}});
      runs.push_back(std::move(own));
      continue;
    }
    std::string names = fmt::format("{:<24} {:<14} {:>11}", "run", experiment.subject_kind(), "parameters"), numbers, conditions;
    for (const auto& [what, shown] : results) {
      names += fmt::format(" {:>11}", what);
      numbers += fmt::format(" {:>11}", shown);
    }
    if (names != heading) fmt::print("{}  {}\n", heading = names, "weights");   // again where runs of another kind follow
    fmt::print("{:<24} {:<14} {:>11}{}  {}\n", name, experiment.subject(), parameters, numbers, run->weights);
    if (command.classes) print_classes(confusion);
    for (const auto& [what, value] : signature) conditions += fmt::format("{}{} {}", conditions.empty() ? "" : ", ", what, value);
    signatures += fmt::format("{}: {}\n", name, conditions);
  }
  if (command.json) print_json({{"part", command.part}, {"runs", std::move(runs)}});
  fmt::print("{}", signatures);
  return 0;
}

}  // namespace tapir

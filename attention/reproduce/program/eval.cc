// tapir eval
#include <fmt/core.h>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/run_folder.h"

namespace tapir {
namespace {

// What was evaluated, for the signature. Data that the user did not name must be those of the training.
std::string told(const std::filesystem::path& folder, const Task& task, const std::string& part, bool named) {
  const Task::Digests found = task.digests({part});
  if (found.empty()) return "";
  tell_unkept(folder, found);
  if (!named) require_kept(folder, found, "put back the text of the training, or evaluate another one with --data PATH");
  const std::string others = named ? differences(kept_digests(folder), found) : "";
  return fmt::format(", {} sha256 {}{}", part, found.back().second.substr(0, 12),
                     others.empty() ? "" : "; NOT the run's own text: " + others);
}

}  // namespace

int run_eval(const std::vector<std::filesystem::path>& runs, const std::string& part, const std::string& device,
             const std::filesystem::path& data) {
  std::string heading, signatures;
  for (const std::filesystem::path& folder : runs) {
    const std::unique_ptr<OpenRun> run = open_run(folder, device, data);
    Task& task = *run->task;
    const std::string what = told(folder, task, part, !data.empty());
    std::string names, numbers;
    for (const auto& [name, number] : task.evaluate_part(part)) {
      names += fmt::format(" {:>11}", name);
      numbers += fmt::format(" {:>11}", number);
    }
    if (names != heading)   // again where runs of another task follow
      fmt::print("{:<24} {:<14} {:>11}{}  {}\n", "run", "attention", "parameters", heading = names, "weights");
    const std::string name = folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
    fmt::print("{:<24} {:<14} {:>11}{}  {}\n", name, run->experiment.subject(), task.model().parameter_count(),
               numbers, run->weights);
    std::string signature;
    for (const auto& [condition, value] : task.conditions(part))
      signature += fmt::format("{}{} {}", signature.empty() ? "" : ", ", condition, value);
    signatures += fmt::format("{}: {}{}\n", name, signature, what);
  }
  fmt::print("{}", signatures);
  return 0;
}

}  // namespace tapir

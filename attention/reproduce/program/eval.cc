// tapir eval
#include <fmt/core.h>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/run_folder.h"

namespace tapir {

int run_eval(const std::vector<std::filesystem::path>& runs, const std::string& part, const std::string& device) {
  std::string heading, signatures;
  for (const std::filesystem::path& folder : runs) {
    const std::unique_ptr<OpenRun> run = open_run(folder, device);
    Task& task = *run->task;
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
    signatures += name + ":";
    for (const auto& [what, value] : task.conditions(part)) signatures += fmt::format("{} {} {}", signatures.back() == ':' ? "" : ",", what, value);
    signatures += '\n';
  }
  fmt::print("{}", signatures);
  return 0;
}

}  // namespace tapir

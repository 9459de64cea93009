// Experiments, in files and on the command line, and what report reads of folders of runs.
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/program/run_folder.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

namespace tapir::fuzz {
namespace {

using std::filesystem::path;

void write_and_read(Experiment& experiment) {
  const std::string toml = experiment.toml();
  std::filesystem::create_directories(folder() / "written");
  write("written/experiment.toml", toml);
  Experiment again = read_run(folder() / "written");
  expect(again.toml() == toml && again.identity() == experiment.identity(), "a resolved experiment is read unchanged");
}

}  // namespace

// A TOML file.
void config(std::string_view bytes) {
  const path file = write("config.toml", bytes);
  auto experiment = value_of("", [&] { return read_experiment(file, {}); });
  if (experiment) write_and_read(*experiment);
}

// An argument of --set.
void assignment(std::string_view bytes) {
  toml::table config;
  if (!value_of("--set", [&] { return set_value(config, std::string(bytes)), true; })) return;
  auto experiment = value_of("", [&] { return resolve(config); });
  if (experiment) write_and_read(*experiment);
}

// experiment.toml, run.json, metrics.jsonl and costs.jsonl, with zero bytes between.
void run_folder(std::string_view bytes) {
  const auto files = pieces(bytes, 4);
  const path run = folder() / "run";
  std::filesystem::create_directories(run);
  const char* const names[] = {experiment_file, facts_file, "metrics.jsonl", "costs.jsonl"};
  for (size_t k = 0; k < 4; ++k) write(std::string("run/") + names[k], files[k]);
  const auto record = value_of(run.string(), [&] { return read_record(run); });
  if (record) comparison_json(groups_of({*record}), folder()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// compare.json of a folder that has no runs.
void comparison(std::string_view bytes) {
  std::filesystem::create_directories(folder() / "comparison");
  write(std::string("comparison/") + comparison_file, bytes);
  expect(!value_of("", [&] { return run_report({folder() / "comparison"}, folder() / "report.html", ""); }), "no runs");
}

}  // namespace tapir::fuzz

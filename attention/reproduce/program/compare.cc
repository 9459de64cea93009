// tapir compare
#include "attention/reproduce/program/compare.h"

#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/summary.h"
#include "attention/zoo.h"
#include "datasets/text/utf8.h"
#include "nn/files/atomic_file.h"
#include "nn/files/folder_lock.h"
#include "nn/train/finite.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// `config` with another mechanism, which keeps those keys of [attention] that it has. They are added to `taken`.
toml::table with_mechanism(toml::table config, const std::string& name, std::set<std::string>& taken) {
  const toml::table own = section_of(*mechanism(name).options());
  toml::table section{{"mechanism", name}};
  for (const auto& [key, value] : *config["attention"].as_table())
    if (own.contains(key.str())) section.insert(key, value), taken.insert(std::string(key.str()));
  config.insert_or_assign("attention", std::move(section));
  return config;
}

// Whether there is a run to go on with. Throws Error where something else stands in its place.
bool has_begun(PlannedRun& run) {
  const bool begun = kind_of(run.folder) == FolderKind::run;
  if (!begun) require_place_for_run(run.folder);
  if (!begun) return false;
  Experiment there = read_run(run.folder);
  require(there.identity() == run.experiment.identity() && there.train.steps == run.experiment.train.steps, run.folder.string(),
          [] { return "belongs to another experiment"; }, "give another folder with --out");
  return true;
}

// Trains one run, unless it is finished, up to where it diverges. Returns the signal that stopped it, 0 if none did.
int go_on(PlannedRun& run) {
  const bool begun = has_begun(run);
  if (begun && fs::exists(run.folder / "model.safetensors")) {
    note(run.folder.string() + ": finished before");
    return 0;
  }
  try {
    return train_run(run.experiment, run.folder, begun).report.signal;
  } catch (const NotFinite&) {
    if (kind_of(run.folder) != FolderKind::run) throw;
    return 0;   // its log says so
  }
}

std::string shown(double value, const char* format) {   // NaN: there is none
  return std::isnan(value) ? "–" : fmt::format(fmt::runtime(format), value);
}

std::string with_interval(const Interval& interval, const char* format) {
  const std::string mean = shown(interval.mean, format);
  return std::isnan(interval.half_width) ? mean : fmt::format("{} ± {:.4f}", mean, interval.half_width);
}

void print_table(const std::vector<Arm>& arms) {
  const RunRecord& first = arms.front().runs.front();
  fmt::print("{} after {} steps, {} is better\n{:<16} {:>5}  {:<20} {:<20} {:>11} {:>10} {:>10}\n", first.objective.metric,
             first.steps, first.objective.higher_is_better ? "higher" : "lower", "attention", "seeds", "mean",
             "difference", "parameters", "step", "memory");
  for (const Arm& arm : arms)
    fmt::print("{:<16} {:>5}  {:<20} {:<20} {:>11} {:>7} ms {:>6.0f} MiB\n", arm.label, arm.runs.size(),
               with_interval(arm.result(), "{:.4f}"),
               &arm == &arms.front() ? "" : with_interval(arm.difference(arms.front()), "{:+.4f}"), arm.runs.front().parameters,
               shown(1e3 * arm.step_seconds(), "{:.1f}"), static_cast<double>(arm.peak_bytes()) / (1 << 20));
  if (arms.front().runs.size() > 1)
    fmt::print("±: 95 % interval over seeds, Student's t; difference to {}, paired by seed\n", arms.front().label);
  for (const Arm& arm : arms)
    if (&arm != &arms.front()) fmt::print("{}\n", arm.verdict(arms.front()));
}

}  // namespace

std::vector<PlannedRun> planned_runs(const CompareCommand& command) {
  toml::table config = read_config(command.experiment);
  set_values(config, command.assignments);
  require(config["attention"].is_table(), command.experiment.string(), [] { return "has no section [attention]"; },
          "a comparison changes its mechanism");
  const std::string name = config["run"]["name"].value_or(replace_invalid_utf8(command.experiment.stem().string()));
  const fs::path out = command.out.empty() ? fs::path("runs") / ("compare-" + name) : command.out;
  std::vector<PlannedRun> runs;
  std::set<std::string> taken{"mechanism"}, mechanisms;
  for (const std::string& mechanism : command.mechanisms) {
    require(mechanisms.insert(mechanism).second, "--attention", [&] { return text("'", mechanism, "' is named twice"); });
    toml::table own = with_mechanism(config, mechanism, taken);
    const int64_t first_seed = resolve(own).run.seed;
    require(std::numeric_limits<int64_t>::max() - first_seed >= command.seeds - 1, "--seeds",
            [&] { return text("there are no ", command.seeds, " seeds from ", first_seed, " on"); });
    for (int64_t k = 0; k < command.seeds; ++k) {
      const int64_t seed = first_seed + k;
      set_value(own, text("run.seed=", seed));
      PlannedRun& run = runs.emplace_back(PlannedRun{resolve(own), out / mechanism / text("seed-", seed)});
      run.experiment.run.name = name;
    }
  }
  for (const auto& entry : *config["attention"].as_table())
    require(taken.contains(std::string(entry.first.str())), "config",
            [&] { return text("none of the mechanisms has the key '", entry.first.str(), "' of [attention]"); });
  return runs;
}

int run_compare(const CompareCommand& command) {
  std::vector<PlannedRun> runs = planned_runs(command);
  const fs::path out = runs.front().folder.parent_path().parent_path();
  require_place_for_comparison(out);
  std::set<std::string> made;   // what no mechanism can be trained with is refused before the folder is made
  for (PlannedRun& run : runs)
    if (!has_begun(run) && made.insert(run.experiment.attention.mechanism).second) {
      const ComputeAs place(run.experiment);
      make_task(run.experiment, {}, [&](Task& task) { rehearse(task, run.experiment); });
    }
  const FolderLock lock(out);
  std::vector<RunRecord> records;
  for (PlannedRun& run : runs) {
    if (const int signal = go_on(run)) {
      const char* const stopped = "stopped; the same command goes on";
      command.json ? note(stopped) : fmt::print("{}\n", stopped);
      return 128 + signal;
    }
    records.push_back(read_record(run.folder));
  }
  const std::vector<Arm> arms = arms_of(std::move(records));
  command.json ? print_json(comparison_json(arms, out)) : print_table(arms);
  write_atomically(out / comparison_file,
                   comparison_json(arms, out).dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
  return tell_diverged(arms) ? 1 : 0;
}

}  // namespace tapir

// tapir compare
#include "attention/reproduce/program/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/match.h"
#include "attention/reproduce/program/named_runs.h"
#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/summary.h"
#include "attention/zoo.h"
#include "datasets/text/utf8.h"
#include "nn/files/atomic_file.h"
#include "nn/files/folder_lock.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

toml::table attention_of(const toml::table& config) {   // what it says of it, which may be nothing
  const toml::table* const section = config["attention"].as_table();
  return section ? *section : toml::table();
}

// `config` with another mechanism, which keeps those keys of [attention] that it has. They are added to `taken`.
toml::table with_mechanism(toml::table config, const std::string& name, std::set<std::string>& taken) {
  const toml::table own = section_of(*mechanism(name).options());
  toml::table section{{"mechanism", name}};
  for (const auto& [key, value] : attention_of(config))
    if (own.contains(key.str())) section.insert(key, value), taken.insert(std::string(key.str()));
  config.insert_or_assign("attention", std::move(section));
  return config;
}

std::string shown(double value, const char* format) {   // NaN: there is none
  return std::isnan(value) ? "–" : fmt::format(fmt::runtime(format), value);
}

std::string with_interval(const Interval& interval, const char* format) {
  const std::string mean = shown(interval.mean, format);
  return std::isnan(interval.half_width) ? mean : fmt::format("{} ± {:.4f}", mean, interval.half_width);
}

bool any_solved(const Group& group) {
  return std::any_of(group.arms.begin(), group.arms.end(), [](const Arm& arm) {
    return std::any_of(arm.runs.begin(), arm.runs.end(), [](const RunRecord& run) { return run.solved > 0; });
  });
}

void print_group(const Group& group) {
  const RunRecord& first = group.arms.front().runs.front();
  if (!group.title.empty()) fmt::print("{}\n", group.title);
  fmt::print("{} after {} steps{}, {} is better\n{:<16} {:>5}  {:<20} {:<20} {:>11} {:>12} {:>10} {:>10}\n",
             group.objective.metric, first.steps, any_solved(group) ? " or when solved" : "",
             group.objective.higher_is_better ? "higher" : "lower", "arm", "seeds", "mean", "difference", "parameters",
             "operations", "step", "memory");
  for (const Arm& arm : group.arms)
    fmt::print("{:<16} {:>5}  {:<20} {:<20} {:>11} {:>12.4g} {:>7} ms {:>6.0f} MiB\n", arm.label, arm.runs.size(),
               with_interval(arm.result(), "{:.4f}"), arm.difference ? with_interval(arm.difference->interval, "{:+.4f}") : "",
               arm.runs.front().parameters, static_cast<double>(arm.runs.front().operations),
               shown(1e3 * arm.step_seconds(), "{:.1f}"), static_cast<double>(arm.peak_bytes()) / (1 << 20));
  if (group.arms.front().runs.size() > 1)
    fmt::print("±: 95 % interval over seeds ({}), Student's t; differences to {}, paired by seed, corrected for their number "
               "(Holm)\n", first.seed_decides, group.arms.front().label);
  for (const Arm& arm : group.arms) {
    if (arm.difference) fmt::print("{}\n", arm.difference->verdict);
    if (!arm.remark.empty()) fmt::print("{}\n", arm.remark);
  }
}

std::vector<MatchedArm> arms_in(std::vector<PlannedRun>& runs) {
  std::vector<MatchedArm> arms;
  for (PlannedRun& run : runs) {
    const std::string& label = run.experiment.attention.mechanism;
    if (arms.empty() || arms.back().label != label) arms.push_back({label, {}});
    arms.back().runs.push_back(&run.experiment);
  }
  return arms;
}

}  // namespace

std::vector<PlannedRun> planned_runs(const CompareCommand& command) {
  toml::table config = read_config(command.experiment);
  set_values(config, command.assignments);
  for (const std::string& assignment : command.assignments)
    require(!assignment.starts_with("attention.mechanism="), "--set", [] { return "attention.mechanism is what --attention says"; },
            "leave it out");
  const ModelRow& model = model_row(config["model"]["name"].value_or(ModelOptions().name));
  require(model.mixes, command.experiment.string(), [&] { return text("the model '", model.name, "' has no attention to compare"); },
          "choose another model, or compare runs of `tapir train` in a report");
  const std::string name = config["run"]["name"].value_or(replace_invalid_utf8(command.experiment.stem().string()));
  const fs::path out = command.out.empty() ? fs::path("runs") / ("compare-" + name) : command.out;
  std::vector<PlannedRun> runs;
  std::set<std::string> taken{"mechanism"}, mechanisms;
  for (const std::string& mechanism : command.mechanisms) {
    require(mechanisms.insert(mechanism).second, "--attention", [&] { return text("'", mechanism, "' is named twice"); });
    toml::table own = with_mechanism(config, mechanism, taken);
    const int64_t first_seed = resolve(own).run.seed;
    require_seeds("--seeds", first_seed, command.seeds);
    for (int64_t k = 0; k < command.seeds; ++k) {
      const int64_t seed = first_seed + k;
      set_value(own, text("run.seed=", seed));
      PlannedRun& run = runs.emplace_back(PlannedRun{resolve(own), out / mechanism / text("seed-", seed)});
      run.experiment.run.name = name;
    }
  }
  for (const auto& entry : attention_of(config))
    require(taken.contains(std::string(entry.first.str())), "config",
            [&] { return text("none of the mechanisms has the key '", entry.first.str(), "' of [attention]"); });
  return runs;
}

int run_compare(const CompareCommand& command) {
  std::vector<PlannedRun> runs = planned_runs(command);
  const fs::path out = runs.front().folder.parent_path().parent_path();
  require_place_for_comparison(out);
  const std::vector<MatchedArm> arms = arms_in(runs);
  StepTimes times;
  if (command.match == "time") {
    const auto has_begun = [&](const MatchedArm& arm) { return fs::exists(out / arm.label); };
    const bool decided = std::any_of(arms.begin() + 1, arms.end(), has_begun);
    times = step_times(arms, out, threads_of_a_run(command.jobs), decided);
  }
  std::vector<std::string> matched;
  if (!command.match.empty()) matched = match_arms(arms, command.match, times);
  // What cannot be trained, or belongs to another experiment, is refused before the folder is made or locked.
  for (const MatchedArm& arm : arms) {
    Experiment& experiment = *arm.runs.front();
    const ComputeAs place(experiment);
    make_task(experiment, {}, [&](Task& task) { rehearse(task, experiment); });
  }
  for (PlannedRun& run : runs) has_begun(run);
  FolderLock lock(out);
  if (!times.empty()) keep(times, out);
  for (const std::string& line : matched) note(line);
  if (const int signal = train_all(runs, command.jobs, lock, out / "jobs.log")) {
    const char* const stopped = "stopped; the same command goes on";
    command.json ? note(stopped) : fmt::print("{}\n", stopped);
    return 128 + signal;
  }
  std::vector<RunRecord> records;
  for (const PlannedRun& run : runs) records.push_back(read_record(run.folder));
  std::vector<fs::path> folders;
  for (const PlannedRun& run : runs) folders.push_back(run.folder);
  tell_left_out(out, folders);
  const std::vector<Group> groups = groups_of(std::move(records));
  const Json comparison = comparison_json(groups, out);
  if (command.json) print_json(comparison);
  for (const Group& group : groups)
    if (!command.json) print_group(group);
  for (const std::string& line : matched) command.json ? note(line) : fmt::print("matched: {}\n", line);
  write_atomically(out / comparison_file, comparison.dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
  return tell_diverged(groups) ? 1 : 0;
}

}  // namespace tapir

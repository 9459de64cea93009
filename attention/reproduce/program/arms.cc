#include "attention/reproduce/program/arms.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/streams.h"
#include "nn/files/mapped_file.h"
#include "nn/files/small_file.h"

namespace tapir {
namespace {

std::map<std::string, std::string> settings_in(const std::filesystem::path& file) {
  std::map<std::string, std::string> settings;
  for (const auto& [section, keys] : read_config(file)) {
    if (!keys.is_table()) continue;
    for (const auto& [key, value] : *keys.as_table())
      settings[text(section.str(), '.', key.str())] = value_text(value);
  }
  return settings;
}

int64_t whole_number(const RunRecord& run, const std::string& key) {
  const auto found = run.settings.find(key);
  require(found != run.settings.end(), (run.folder / experiment_file).string(), [&] { return text("has no ", key); });
  const std::string& digits = found->second;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  require(error == std::errc{} && end == digits.data() + digits.size(), (run.folder / experiment_file).string(),
          [&] { return text(key, " must be a whole number, found ", digits); });
  return number;
}

void read_facts(RunRecord& run) {
  const std::filesystem::path file = run.folder / facts_file;
  require(std::filesystem::is_regular_file(file), file.string(), [] { return "there is no such file"; },
          "tapir train --resume writes it");
  const MappedFile bytes(file);
  require_small(file.string(), bytes.bytes().size());
  try {
    const auto facts = nlohmann::json::parse(bytes.bytes().begin(), bytes.bytes().end());
    run.parameters = integer_of(facts.at("parameters"), file.string(), "parameters");
    facts.at("metric").get_to(run.objective.metric);
    facts.at("higher_is_better").get_to(run.objective.higher_is_better);
  } catch (const nlohmann::json::exception& error) {
    throw Error(file.string(), text("is malformed: ", error.what()));
  }
}

double number_in(const std::filesystem::path& log, const MetricsLine& line, const std::string& name) {
  try {
    return line.number(name);
  } catch (const Error& error) {
    throw Error(log.string(), error.what());
  }
}

void read_costs(RunRecord& run) {
  const std::filesystem::path log = run.folder / "costs.jsonl";
  std::vector<double> seconds;
  for (const MetricsLine& line : read_metrics(log)) {
    for (const char* name : {"seconds", "peak_bytes"})
      require(std::abs(number_in(log, line, name)) < 0x1p63, log.string(),   // nor NaN
              [&] { return text("\"", name, "\" of step ", line.step, " is ", line.number(name)); });
    seconds.push_back(line.number("seconds"));
    run.peak_bytes = std::max(run.peak_bytes, static_cast<int64_t>(line.number("peak_bytes")));
  }
  run.step_seconds = median(std::move(seconds));
}

// Takes what is not finite out of a line.
void note_divergence(RunRecord& run, MetricsLine& line) {
  std::erase_if(line.values, [&](const auto& named) {
    const auto& [name, value] = named;
    if (const auto* words = std::get_if<std::string>(&value); words && name == diverged_note) run.diverged = *words;
    const auto* number = std::get_if<double>(&value);
    if (!number || std::isfinite(*number)) return false;
    if (run.diverged.empty()) run.diverged = text(name, " of step ", line.step, " is ", *number);
    return true;
  });
}

std::string experiment_of(const RunRecord& run) {   // equal for the seeds of one experiment
  std::string all;
  for (const auto& [key, value] : run.settings)
    if (key != "run.seed" && key != "run.name") all += text(key, " = ", value, '\n');
  return all;
}

std::string label_of(const Arm& arm) {
  const std::string name = arm.runs.front().name();
  const bool one = std::all_of(arm.runs.begin(), arm.runs.end(), [&](const RunRecord& run) { return run.name() == name; });
  return one ? name : text(name, " and ", arm.runs.size() - 1, " more");
}

// Null when none has. Where one has, those that are left do not stand for all.
const RunRecord* first_diverged(const Arm& arm) {
  for (const RunRecord& run : arm.runs)
    if (!run.diverged.empty()) return &run;
  return nullptr;
}

// Differences of finished runs with equal seeds.
std::vector<double> paired(const Arm& arm, const Arm& reference) {
  std::vector<double> differences;
  if (first_diverged(arm) || first_diverged(reference)) return differences;
  for (const RunRecord& run : arm.runs)
    for (const RunRecord& other : reference.runs)
      if (run.seed == other.seed && run.finished() && other.finished()) differences.push_back(run.result - other.result);
  return differences;
}

}  // namespace

std::string RunRecord::name() const {
  const std::filesystem::path path = std::filesystem::weakly_canonical(folder);
  const std::string last = path.filename().string();
  return last.starts_with("seed-") ? path.parent_path().filename().string() : last;
}

RunRecord read_record(const std::filesystem::path& folder) {
  require_run(folder);
  RunRecord run;
  run.folder = folder;
  run.settings = settings_in(folder / experiment_file);
  run.seed = whole_number(run, "run.seed");
  run.steps = whole_number(run, "train.steps");
  read_facts(run);
  const std::filesystem::path log = folder / "metrics.jsonl";
  run.metrics = read_metrics(log);
  if (!run.metrics.empty()) run.done = run.metrics.back().step;
  run.result = std::numeric_limits<double>::quiet_NaN();
  for (MetricsLine& line : run.metrics) {
    note_divergence(run, line);
    for (const auto& value : line.values)
      if (value.first == run.objective.metric) run.evaluated = line.step, run.result = number_in(log, line, value.first);
  }
  read_costs(run);
  return run;
}

Interval Arm::result() const {
  std::vector<double> results;
  if (first_diverged(*this)) return mean_interval(results);
  for (const RunRecord& run : runs)
    if (run.finished()) results.push_back(run.result);
  return mean_interval(results);
}

Interval Arm::difference(const Arm& reference) const { return mean_interval(paired(*this, reference)); }

std::string Arm::verdict(const Arm& reference) const {
  const size_t pairs = paired(*this, reference).size();
  const Interval interval = difference(reference);
  const std::string& metric = runs.front().objective.metric;
  for (const Arm* arm : {this, &reference})
    if (const RunRecord* run = first_diverged(*arm))
      return fmt::format("{} against {}: no verdict, {} with seed {} has diverged", label, reference.label, arm->label,
                         run->seed);
  if (pairs < 2)
    return fmt::format("{} against {}: no verdict, a paired interval needs two seeds that both have finished", label,
                       reference.label);
  if (!interval.excludes_zero())
    return fmt::format("{} against {}: no difference shown, {} differs by {:.3g} ± {:.2g}, paired over {} seeds", label,
                       reference.label, metric, interval.mean, interval.half_width, pairs);
  const bool higher = interval.mean > 0;
  return fmt::format("{} is {} than {}: {} is {} by {:.3g} ± {:.2g}, paired over {} seeds", label,
                     higher == runs.front().objective.higher_is_better ? "better" : "worse", reference.label, metric,
                     higher ? "higher" : "lower", std::abs(interval.mean), interval.half_width, pairs);
}

double Arm::step_seconds() const {
  std::vector<double> seconds;
  for (const RunRecord& run : runs) seconds.push_back(run.step_seconds);
  return median(std::move(seconds));
}

int64_t Arm::peak_bytes() const {
  int64_t peak = 0;
  for (const RunRecord& run : runs) peak = std::max(peak, run.peak_bytes);
  return peak;
}

bool tell_diverged(const std::vector<Arm>& arms) {
  bool any = false;
  for (const Arm& arm : arms)
    for (const RunRecord& run : arm.runs)
      if (!run.diverged.empty()) any = true, note(text(run.folder.string(), ": has diverged: ", run.diverged));
  return any;
}

std::vector<Arm> arms_of(std::vector<RunRecord> runs) {
  require(!runs.empty(), "runs", [] { return "there are none"; });
  const std::string first = runs.front().folder.string(), metric = runs.front().objective.metric;
  std::vector<Arm> arms;
  std::map<std::string, size_t> positions;   // in `arms`, by experiment
  for (RunRecord& run : runs) {
    require(run.objective.metric == metric, run.folder.string(),
            [&] { return text("is judged by ", run.objective.metric, ", but ", first, " by ", metric); });
    const size_t position = positions.try_emplace(experiment_of(run), arms.size()).first->second;
    if (position == arms.size()) arms.emplace_back();
    for (const RunRecord& other : arms[position].runs)
      require(other.seed != run.seed, run.folder.string(),
              [&] { return text("is the same experiment with the same seed as ", other.folder.string()); },
              "give one of them");
    arms[position].runs.push_back(std::move(run));
  }
  std::set<std::string> labels;
  for (Arm& arm : arms) {
    arm.label = label_of(arm);
    if (!labels.insert(arm.label).second) arm.label = arm.runs.front().folder.string();
  }
  return arms;
}

nlohmann::ordered_json comparison_json(const std::vector<Arm>& arms, const std::filesystem::path& base) {
  using Json = nlohmann::ordered_json;
  const auto number = [](double value) { return std::isnan(value) ? Json() : Json(value); };   // null: there is none
  const Objective& objective = arms.front().runs.front().objective;
  Json rows = Json::array();
  for (const Arm& arm : arms) {
    Json runs = Json::array();
    for (const RunRecord& run : arm.runs)
      runs.push_back({{"folder", base.empty() ? run.folder.string() : run.folder.lexically_relative(base).string()},
                      {"seed", run.seed},
                      {"steps", run.steps},
                      {"done", run.done},
                      {"evaluated", run.evaluated},
                      {"result", number(run.result)},
                      {"step_seconds", number(run.step_seconds)},
                      {"peak_bytes", run.peak_bytes},
                      {"diverged", run.diverged.empty() ? Json() : Json(run.diverged)}});
    const Interval result = arm.result();
    Json row = {{"label", arm.label},
                {"mean", number(result.mean)},
                {"half_width", number(result.half_width)},
                {"parameters", arm.runs.front().parameters},
                {"step_seconds", number(arm.step_seconds())},
                {"peak_bytes", arm.peak_bytes()}};
    if (&arm != &arms.front()) {
      const Interval difference = arm.difference(arms.front());
      row["difference"] = {{"mean", number(difference.mean)},
                           {"half_width", number(difference.half_width)},
                           {"values", paired(arm, arms.front())},
                           {"verdict", arm.verdict(arms.front())}};
    }
    row["runs"] = std::move(runs);
    rows.push_back(std::move(row));
  }
  return {{"metric", objective.metric}, {"higher_is_better", objective.higher_is_better}, {"arms", std::move(rows)}};
}

}  // namespace tapir

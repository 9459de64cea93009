#include "attention/reproduce/program/record.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/statistics.h"
#include "nn/files/mapped_file.h"
#include "nn/files/small_file.h"

namespace tapir {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* about = "≈ ";
constexpr double near = 0.05;

bool same(const std::string& a, const std::string& b) {
  if (!a.starts_with(about) || !b.starts_with(about)) return a == b;
  const auto number = [](const std::string& value) { return std::strtod(value.c_str() + std::string(about).size(), nullptr); };
  return std::abs(number(a) - number(b)) <= near * std::min(number(a), number(b));
}

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

Judged judged_of(const Json& facts) {
  Judged judged{.objective = {facts.at("metric"), facts.at("higher_is_better")}, .conditions = {}, .result = 0};
  judged.result = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [name, value] : facts.at("comparable").items()) judged.conditions.emplace_back(name, value);
  return judged;
}

void read_facts(RunRecord& run) {
  const std::filesystem::path file = run.folder / facts_file;
  require(std::filesystem::is_regular_file(file), file.string(), [] { return "there is no such file"; },
          "tapir train --resume writes it");
  const MappedFile bytes(file);
  require_small(file.string(), bytes.bytes().size());
  try {
    const Json facts = Json::parse(bytes.bytes().begin(), bytes.bytes().end());
    run.parameters = integer_of(facts.at("parameters"), file.string(), "parameters");
    run.operations = integer_of(facts.at("operations"), file.string(), "operations");
    facts.at("seed").get_to(run.seed_decides);
    if (facts.contains("trial")) facts.at("trial").get_to(run.trial);
    run.judged = judged_of(facts);
    if (facts.contains("wider")) run.wider = judged_of(facts.at("wider"));
    if (facts.contains("digests") && facts["digests"].contains("train"))   // the name in digests.h
      run.judged.conditions.emplace_back("trained on", "sha256 " + facts["digests"]["train"].get<std::string>().substr(0, 12));
  } catch (const Json::exception& error) {
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

}  // namespace

std::string incomparable(const Judged& own, const Judged& other) {
  std::string all;
  const auto add = [&](const std::string& name, const std::string* value, const std::string* expected) {
    if (value && expected && same(*value, *expected)) return;
    const std::string absent = "absent";
    all += text(all.empty() ? "" : ", ", name, " is ", value ? *value : absent, ", not ", expected ? *expected : absent);
  };
  const auto value_in = [](const Judged& judged, const std::string& name) -> const std::string* {   // null: it has none
    for (const auto& [own_name, value] : judged.conditions)
      if (own_name == name) return &value;
    return nullptr;
  };
  add("metric", &own.objective.metric, &other.objective.metric);
  for (const auto& [name, value] : own.conditions) add(name, &value, value_in(other, name));
  for (const auto& [name, value] : other.conditions)
    if (!value_in(own, name)) add(name, nullptr, &value);
  return all;
}

void require_comparable(const std::string& name, const Judged& own, const std::string& other_name, const Judged& other) {
  const std::string differs = incomparable(own, other);
  require(differs.empty(), name, [&] { return text("its results do not compare with those of ", other_name, ": ", differs); },
          "arms of a cell are judged alike: by the same metric, of the same data");
}

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
  for (MetricsLine& line : run.metrics) {
    note_divergence(run, line);
    for (const auto& value : line.values) {
      if (value.first == run.judged.objective.metric) {
        run.evaluated = line.step;
        run.judged.result = number_in(log, line, value.first);
      }
      if (run.wider && value.first == run.wider->objective.metric) run.wider->result = number_in(log, line, value.first);
    }
  }
  if (run.diverged.empty()) run.solved = solved_step(run.metrics);
  read_costs(run);
  return run;
}

}  // namespace tapir

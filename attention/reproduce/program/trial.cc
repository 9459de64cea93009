#include "attention/reproduce/program/trial.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/match.h"
#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/tasks/task.h"
#include "datasets/text/utf8.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

std::vector<double> rates_of(const std::string& list) {
  std::vector<double> rates;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    word.erase(std::remove(word.begin(), word.end(), ' '), word.end());
    double rate = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), rate);
    require(error == std::errc{} && end == word.data() + word.size() && rate > 0 && std::isfinite(rate), "config: trial.rates",
            [&] { return text("must be numbers above 0 with commas between, found '", list, "'"); });
    require(std::find(rates.begin(), rates.end(), rate) == rates.end(), "config: trial.rates",
            [&] { return text(rate, " is given twice"); });
    rates.push_back(rate);
  }
  return rates;
}

void require_whole(const TrialOptions& options) {
  const std::pair<const char*, const std::string*> parts[] = {{"claim", &options.claim},           {"source", &options.source},
                                                              {"metric", &options.metric},         {"reason", &options.reason},
                                                              {"refuted_by", &options.refuted_by}, {"limits", &options.limits}};
  for (const auto& part : parts)
    require(!part.second->empty(), text("config: trial.", part.first), [] { return "must be said before the first run"; });
  require(options.difference > 0, "config: trial.difference", [] { return "must be above 0: the difference that would count"; });
}

// What an arm says of itself, and the experiment that its other keys make of `config`.
TrialArm arm_of(const toml::table& config, toml::table own, size_t number) {
  const auto word = [&](const char* key) {
    const toml::node* node = own.get(key);
    require(!node || node->is_string(), text("config: trial.arm ", number, ": ", key), [] { return "must be a string"; });
    const std::string value = node ? node->value_or(std::string()) : "";
    own.erase(key);
    return value;
  };
  TrialArm arm{.name = word("name"), .match = word("match"), .experiment = {}};
  require(!arm.name.empty() &&
              arm.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos,
          text("config: trial.arm ", number, ": name"),
          [&] { return text("must be made of a … z, 0 … 9 and _, found '", arm.name, "'"); });
  toml::table whole = config;
  overlay(whole, std::move(own));
  try {
    arm.experiment = resolve(whole);
  } catch (const Error& error) {
    throw Error(text("trial.arm ", arm.name), error.what());
  }
  return arm;
}

}  // namespace

Experiment counted_run(TrialArm& arm, int64_t number, double rate) {
  Experiment run = resolve(toml::parse(arm.experiment.toml()));
  run.run.seed += number;
  run.schedule.rate = rate;
  return run;
}

Experiment grid_run(Trial& trial, TrialArm& arm, double rate) {
  Experiment run = counted_run(arm, trial.options.seeds, rate);
  run.train.steps = std::max<int64_t>(1, run.train.steps / 3);
  run.schedule.warmup /= 3;
  return run;
}

Trial read_trial(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  toml::table config = read_config(file);
  set_values(config, assignments);
  toml::table* const section = config["trial"].as_table();
  require(section != nullptr, file.string(), [] { return "has no section [trial]"; }, "docs/trials.md says what it needs");
  toml::table criterion = *section;
  toml::array arms;
  if (const toml::array* listed = criterion["arm"].as_array()) arms = *listed;
  criterion.erase("arm");
  config.erase("trial");

  Trial trial;
  trial.name = config["run"]["name"].value_or(replace_invalid_utf8(file.stem().string()));
  read_section(toml::table{{"trial", criterion}}, "trial", trial.options);
  require_whole(trial.options);
  require(arms.size() >= 2, "config: trial.arm",
          [&] { return text("there must be a baseline and a subject, [[trial.arm]] twice, found ", arms.size()); });
  std::set<std::string> names;
  for (size_t k = 0; k < arms.size(); ++k) {
    require(arms[k].is_table(), "config: trial.arm", [] { return "must be tables, [[trial.arm]]"; });
    trial.arms.push_back(arm_of(config, *arms[k].as_table(), k + 1));
    require(names.insert(trial.arms.back().name).second, "config: trial.arm",
            [&] { return text("'", trial.arms.back().name, "' is named twice"); });
    trial.arms.back().experiment.run.name = trial.name;
  }
  for (TrialArm& arm : trial.arms) {
    if (arm.match.empty()) continue;
    const auto to = std::find_if(trial.arms.begin(), trial.arms.end(), [&](const TrialArm& one) { return one.name == arm.match; });
    require(to != trial.arms.end() && to->match.empty(), text("config: trial.arm ", arm.name, ": match"),
            [&] { return text("must be the name of an arm that is matched with none, found '", arm.match, "'"); });
    match_width(arm.experiment, to->experiment, "parameters");
  }
  Experiment& first = trial.arms.front().experiment;
  trial.objective = task_row(first.task.name).make(first, {})->train_task().objective;
  require(trial.options.metric == trial.objective.metric, "config: trial.metric",
          [&] { return text("must be that of the task, ", trial.objective.metric, ", found '", trial.options.metric, "'"); });
  trial.rates = rates_of(trial.options.rates);
  if (trial.rates.empty()) trial.rates = {first.schedule.rate};

  std::ostringstream all;
  all << section_of(trial.options);
  for (TrialArm& arm : trial.arms)
    all << '\n' << arm.name << ' ' << arm.match << ' ' << arm.experiment.identity() << ' ' << arm.experiment.train.steps;
  trial.digest = sha256_hex(all.str());
  return trial;
}

}  // namespace tapir

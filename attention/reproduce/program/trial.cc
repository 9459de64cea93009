#include "attention/reproduce/program/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "attention/reproduce/program/chart.h"
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/tasks/task.h"
#include "datasets/text/utf8.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

std::vector<std::string> words_of(const std::string& list) {   // with commas between
  std::vector<std::string> words;
  std::istringstream stream(list);
  for (std::string word; std::getline(stream, word, ',');) {
    word.erase(std::remove(word.begin(), word.end(), ' '), word.end());
    words.push_back(word);
  }
  return words;
}

std::vector<double> rates_of(const std::string& list) {
  std::vector<double> rates;
  for (const std::string& word : words_of(list)) {
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
  require(options.difference > 0, "config: trial.difference",
          [] { return "must be above 0: the difference that would count"; });
}

// [[trial.KEY]], taken out of the section.
std::vector<toml::table> tables_of(toml::table& section, const char* key) {
  std::vector<toml::table> tables;
  if (toml::node* const node = section.get(key)) {
    require(node->is_array(), text("config: trial.", key), [&] { return text("must be tables, [[trial.", key, "]]"); });
    for (toml::node& one : *node->as_array()) {
      require(one.is_table(), text("config: trial.", key), [&] { return text("must be tables, [[trial.", key, "]]"); });
      tables.push_back(std::move(*one.as_table()));
    }
  }
  section.erase(key);
  return tables;
}

// What a cell or an arm says of itself, and the keys of an experiment that it changes.
class Own {
 public:
  Own(const char* kind, size_t number, toml::table table)
      : where_(text("config: trial.", kind, ' ', number, ": ")), changes(std::move(table)) {}

  // A key taken out of the changes; "" where there is none.
  std::string word(const char* key, const std::vector<std::string>& choices = {}) {
    const toml::node* node = changes.get(key);
    require(!node || node->is_string(), where_ + key, [] { return "must be a string"; });
    const std::string value = node ? node->value_or(std::string()) : "";
    require(!node || choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end(), where_ + key,
            [&] { return fmt::format("must be one of {}, found '{}'", fmt::join(choices, ", "), value); });
    changes.erase(key);
    return value;
  }

  std::string name(std::set<std::string>& taken) {
    const std::string name = word("name");
    require(!name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos,
            where_ + "name", [&] { return text("must be made of a … z, 0 … 9 and _, found '", name, "'"); });
    require(taken.insert(name).second, where_ + "name", [&] { return text("'", name, "' is taken"); });
    return name;
  }

  int64_t number(const char* key, int64_t otherwise, const nn::Range& range) {
    const toml::node* node = changes.get(key);
    const int64_t value = node ? node->value_or(int64_t{-1}) : otherwise;
    require(!node || (node->is_integer() && range.contains(value)), where_ + key,
            [&] { return text("must be ", whole_number_text(range), ", found ", value_text(*node)); });
    changes.erase(key);
    return value;
  }

  const std::string where_;
  toml::table changes;
};

struct ArmEntry {
  std::string name, match, match_in;
  Role role;
  toml::table changes;
};

std::vector<ArmEntry> arm_entries(std::vector<toml::table> tables) {
  require(tables.size() >= 2, "config: trial.arm",
          [&] { return text("there must be a baseline and a subject, [[trial.arm]] twice, found ", tables.size()); });
  std::vector<ArmEntry> arms;
  std::set<std::string> names;
  for (size_t k = 0; k < tables.size(); ++k) {
    Own own("arm", k + 1, std::move(tables[k]));
    ArmEntry arm{
        own.name(names), own.word("match"), own.word("match_in", {"parameters", "operations", "time"}), Role::baseline, {}};
    const std::string role = own.word("role", {"subject", "control"});
    require(k > 0 || role.empty(), own.where_ + "role", [] { return "the first arm is the baseline"; });
    require(arm.match_in.empty() || !arm.match.empty(), own.where_ + "match_in", [] { return "there is no match"; });
    if (!arm.match.empty() && arm.match_in.empty()) arm.match_in = "parameters";
    if (k > 0) arm.role = role == "subject" || (role.empty() && k == 1) ? Role::subject : Role::control;
    arm.changes = std::move(own.changes);
    arms.push_back(std::move(arm));
  }
  require(std::any_of(arms.begin(), arms.end(), [](const ArmEntry& arm) { return arm.role == Role::subject; }),
          "config: trial.arm", [] { return "none is a subject"; });
  return arms;
}

TrialArm* arm_named(TrialCell& cell, const std::string& name) {
  const auto found = std::find_if(cell.arms.begin(), cell.arms.end(), [&](const TrialArm& one) { return one.name == name; });
  return found == cell.arms.end() ? nullptr : &*found;
}

void require_matches(TrialCell& cell) {
  for (const TrialArm& arm : cell.arms) {
    if (arm.match.empty()) continue;
    const TrialArm* const to = arm_named(cell, arm.match);
    require(to && to->match.empty(), text("config: trial.arm ", arm.name, ": match"),
            [&] { return text("must be the name of an arm that is matched with none, found '", arm.match, "'"); });
  }
}

TrialCell cell_of(const std::string& trial, const toml::table& config, Own own, std::string name, const TrialOptions& options,
                  const std::vector<ArmEntry>& arms) {
  TrialCell cell{.name = std::move(name), .seeds = own.number("seeds", options.seeds, nn::between(2, 1000)), .arms = {}};
  const std::vector<std::string> chosen = words_of(own.word("arms"));
  for (const std::string& one : chosen)
    require(std::any_of(arms.begin(), arms.end(), [&](const ArmEntry& arm) { return arm.name == one; }), own.where_ + "arms",
            [&] { return text("there is no arm '", one, "'"); });
  for (const ArmEntry& arm : arms) {
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), arm.name) == chosen.end()) continue;
    for (const toml::table& changes : {own.changes, arm.changes})
      require(options.rates.empty() || !changes.at_path("schedule.rate"), text("config: trial.arm ", arm.name, ": schedule.rate"),
              [] { return "is chosen by trial.rates, for each arm"; }, "leave it out");
    toml::table whole = config;
    overlay(whole, toml::table(own.changes));
    overlay(whole, toml::table(arm.changes));
    TrialArm made{arm.name, arm.role, arm.match, arm.match_in, {}};
    try {
      made.experiment = resolve(whole);
    } catch (const Error& error) {
      throw Error(text("trial.arm ", path_of(cell, made)), error.what());
    }
    made.experiment.run.name = trial;
    require_seeds("config: trial.seeds", made.experiment.run.seed, cell.seeds + 1);   // the last is that of the grid
    cell.arms.push_back(std::move(made));
    const int64_t own_seed = cell.arms.back().experiment.run.seed, seed = cell.arms.front().experiment.run.seed;
    require(own_seed == seed, text("config: trial.arm ", arm.name, ": run.seed"),
            [&] { return text("must be ", seed, ", as in the baseline, found ", own_seed); }, "gains are paired by seed");
  }
  require(cell.arms.size() <= most_series, own.where_ + "arms",
          [&] { return text("must be at most ", most_series, ", which a picture can show, found ", cell.arms.size()); });
  require(cell.arms.size() >= 2 && cell.arms.front().role == Role::baseline &&
              std::any_of(cell.arms.begin(), cell.arms.end(), [](const TrialArm& arm) { return arm.role == Role::subject; }),
          own.where_ + "arms", [] { return "must have the baseline and a subject"; });
  require_matches(cell);
  return cell;
}

// Every value of the table on a line of its own, by its path: whatever keys the program gains, the text stays.
void write_values(std::ostream& out, const std::string& path, const toml::node& node) {
  if (const toml::table* table = node.as_table())
    for (const auto& [key, value] : *table) write_values(out, text(path, '.', key.str()), value);
  else if (const toml::array* array = node.as_array())
    for (size_t k = 0; k < array->size(); ++k) write_values(out, text(path, '.', k), (*array)[k]);
  else
    out << path << " = " << value_text(node) << '\n';
}

// But for what says no more than names and places: of the run, of the device, and of files, whose contents runs keep digests
// of.
std::string digest_of(toml::table config) {
  const std::pair<const char*, const char*> free[] = {{"run", "name"}, {"run", "device"}, {"run", "initial"}, {"data", "path"}};
  for (const auto& [section, key] : free)
    if (toml::table* own = config[section].as_table()) {
      own->erase(key);
      if (own->empty()) config.erase(section);
    }
  std::ostringstream all;
  write_values(all, "", config);
  return sha256_hex(all.str());
}

// Runs whose steps are compared are asked the same, as often, and no longer than one another.
void require_solvable(TrialCell& cell) {
  const std::map<std::string, std::string> first = cell.arms.front().experiment.settings();
  for (TrialArm& arm : cell.arms) {
    const auto refuse = [&](bool fine, const std::string& what) {
      require(fine, "config: trial.metric", [&] { return text(steps_until_solved, " needs ", what); });
    };
    const std::string path = path_of(cell, arm);
    const TrainOptions& train = arm.experiment.train;
    refuse(train.solved != 0, "train.solved, which " + path + " has not");
    refuse(train.evaluate_every > 0 && train.evaluate_every < train.steps,
           text("evaluations before the last step, train.evaluate_every in 1 … ", train.steps - 1, ", but ", path, " has ",
                train.evaluate_every));
    refuse(arm.match_in != "time", "arms with equal steps, but " + path + " is matched in time");
    for (const char* key : {"train.solved", "train.evaluate_every", "train.steps"}) {
      const std::string own = arm.experiment.settings().at(key);
      refuse(own == first.at(key),
             text("the same ", key, " in all arms, but ", path, " has ", own, ", the baseline ", first.at(key)));
    }
  }
}

// The arms of a cell are judged alike, by the trial's metric, before any is trained.
void require_metric(const Trial& trial, TrialCell& cell) {
  const bool until_solved = trial.options.metric == steps_until_solved;
  if (until_solved) require_solvable(cell);
  std::vector<Judged> arms;
  for (TrialArm& arm : cell.arms) {
    const ComputeAs place(arm.experiment);
    const std::unique_ptr<Task> task = task_row(arm.experiment.task.name).make(arm.experiment, {});
    arms.push_back({task->train_task().objective, task->conditions("valid"), 0});
    require_comparable("trial.arm " + path_of(cell, arm), arms.back(), path_of(cell, cell.arms.front()), arms.front());
  }
  const std::string& metric = arms.front().objective.metric;
  require(until_solved || trial.options.metric == metric, "config: trial.metric",
          [&] { return text("must be that of the task, ", metric, ", found '", trial.options.metric, "'"); });
}

// What an evaluation gives is known from one alone: that of the baseline, untrained.
void require_also(const Trial& trial, TrialCell& cell) {
  if (trial.also.empty()) return;
  Experiment& first = cell.arms.front().experiment;
  const ComputeAs place(first);
  const std::unique_ptr<Task> task = make_task(first);
  std::vector<std::string> names;
  for (const auto& result : task->train_task().evaluate({})) names.push_back(result.first);
  for (const std::string& name : trial.also)
    require(std::find(names.begin(), names.end(), name) != names.end(), "config: trial.also",
            [&] { return fmt::format("must be of {}, found '{}'", fmt::join(names, ", "), name); });
}

}  // namespace

const char* name_of(Role role) {
  return role == Role::baseline ? "baseline" : role == Role::subject ? "subject" : "control";
}

Experiment counted_run(TrialArm& arm, int64_t number, double rate) {
  Experiment run = resolve(toml::parse(arm.experiment.toml()));
  run.run.seed += number;
  run.schedule.rate = rate;
  return run;
}

Experiment grid_run(const TrialCell& cell, TrialArm& arm, double rate) {
  Experiment run = counted_run(arm, cell.seeds, rate);
  run.train.steps = std::max<int64_t>(1, run.train.steps / 3);
  run.schedule.warmup /= 3;
  return run;
}

std::string path_of(const TrialCell& cell, const TrialArm& arm) {
  return cell.name.empty() ? arm.name : text(cell.name, '/', arm.name);
}

Trial read_trial(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  toml::table config = read_config(file);
  set_values(config, assignments);
  require(
      config["trial"].is_table(), file.string(), [] { return "has no section [trial]"; }, "docs/trials.md says what it needs");
  Trial trial;
  trial.digest = digest_of(config);
  trial.name = config["run"]["name"].value_or(replace_invalid_utf8(file.stem().string()));
  toml::table criterion = std::move(*config["trial"].as_table());
  config.erase("trial");
  const std::vector<ArmEntry> arms = arm_entries(tables_of(criterion, "arm"));
  std::vector<toml::table> cells = tables_of(criterion, "cell");
  for (const toml::table& row : tables_of(criterion, "set_up")) {
    SetUp& own = trial.set_up.emplace_back();
    read_section(toml::table{{"trial.set_up", row}}, "trial.set_up", own);
    require(!own.what.empty() && !own.paper.empty() && !own.ours.empty(), text("config: trial.set_up ", trial.set_up.size()),
            [] { return "must say what, paper and ours"; });
  }
  read_section(toml::table{{"trial", criterion}}, "trial", trial.options);
  require_whole(trial.options);
  trial.also = words_of(trial.options.also);

  std::set<std::string> names;
  if (cells.empty()) trial.cells.push_back(cell_of(trial.name, config, Own("cell", 1, {}), "", trial.options, arms));
  for (size_t k = 0; k < cells.size(); ++k) {
    Own own("cell", k + 1, std::move(cells[k]));
    std::string name = own.name(names);
    trial.cells.push_back(cell_of(trial.name, config, std::move(own), std::move(name), trial.options, arms));
  }
  trial.rates = rates_of(trial.options.rates);
  return trial;
}

void prepare(Trial& trial) {
  for (TrialCell& cell : trial.cells) {
    require_metric(trial, cell);
    require_also(trial, cell);
    for (TrialArm& arm : cell.arms)
      if (!arm.match.empty() && arm.match_in != "time")
        match_width(arm.experiment, arm_named(cell, arm.match)->experiment, arm.match_in);
  }
}

StepTimes times_in(Trial& trial, const std::filesystem::path& folder, int threads) {
  std::vector<MatchedArm> arms;
  bool decided = false;
  for (TrialCell& cell : trial.cells)
    for (TrialArm& arm : cell.arms) {
      arms.push_back({path_of(cell, arm), {&arm.experiment}});
      decided = decided || (arm.match_in == "time" && std::filesystem::exists(folder / path_of(cell, arm)));
    }
  return step_times(arms, folder, threads, decided);
}

void match_times(Trial& trial, const StepTimes& times) {
  for (TrialCell& cell : trial.cells)
    for (TrialArm& arm : cell.arms) {
      if (arm.match_in != "time") continue;
      TrialArm& to = *arm_named(cell, arm.match);
      const auto time = [&](const TrialArm& of) {
        const auto found = times.find(path_of(cell, of));
        require(found != times.end(), match_file, [&] { return text("has no time of a step of ", path_of(cell, of)); },
                "`tapir trial` writes it beside the runs");
        return found->second.seconds;
      };
      arm.experiment.train.steps = steps_in_time(to.experiment.train.steps, time(to), time(arm));
    }
}

}  // namespace tapir

#include "attention/reproduce/program/resolve.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "attention/reproduce/program/trial.h"
#include "attention/zoo.h"
#include "datasets/text/utf8.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

std::string written(Experiment& experiment) {
  std::string all;
  each_section(experiment, [&](const std::string& section, nn::Options& options) {
    all += text('[', section, "]\n");
    for (const auto& [key, value] : section_of(options)) all += text(key.str(), " = ", value_text(value), '\n');
    all += '\n';
  });
  return all;
}

// The place in `keys` of the same key, with the same default and meaning; its end: there is none.
std::vector<Key>::iterator find_same(std::vector<Key>& keys, const Key& key) {
  return std::find_if(keys.begin(), keys.end(), [&](const Key& one) {
    return one.name == key.name && one.value == key.value && one.allowed == key.allowed && one.meaning == key.meaning;
  });
}

// The keys that other rows of this section have, and those of other sections.
std::vector<KnownWord> keys_beyond(const std::string& own) {
  std::vector<KnownWord> all, others;
  for (const Section& section : all_sections())
    for (const Key& key : section.keys)
      if (section.name == own) all.push_back({key.name, fmt::format("of {}", fmt::join(key.rows, ", "))});
      else others.push_back({key.name, fmt::format("of [{}]", section.name)});
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

// Throws an Error that says when a section that this experiment has not would be read.
void require_read(const toml::table& config, const std::vector<std::string>& own) {
  for (const auto& entry : config) {
    const std::string name(entry.first.str());
    if (std::find(own.begin(), own.end(), name) != own.end()) continue;
    for (const Section& section : all_sections())
      require(
          section.name != name, "config",
          [&] { return text("there is no section [", name, "] here: it is read where ", section.condition); },
          "leave it out, or choose one of these");
  }
}

}  // namespace

void TaskOptions::fields(nn::FieldVisitor& visit) {
  visit("name", name, "what is learned", task_names());
  if (!own) {
    const TaskRow& row = task_row(name);
    own = row.options();
    if (row.data) data = row.data();
  }
  own->fields(visit);
}

void ModelOptions::fields(nn::FieldVisitor& visit) {
  visit("name", name, "the model", model_names());
  if (!own) own = model_row(name).options();
  own->fields(visit);
}

void AttentionOptions::fields(nn::FieldVisitor& visit) {
  visit("mechanism", mechanism, "how tokens are mixed; `tapir zoo` tells of each", mechanism_names());
  if (!own) own = tapir::mechanism(mechanism).options();
  own->fields(visit);
}

Precision Experiment::precision() const {
  return run.precision == "tf32" ? Precision::tf32 : run.precision == "bf16" ? Precision::bf16 : Precision::f32;
}

const std::string& Experiment::subject() const {
  return model_row(model.name).mixes ? attention.mechanism : model.name;
}

const char* Experiment::subject_kind() const { return model_row(model.name).mixes ? "attention" : "model"; }

std::string Experiment::toml() { return written(*this); }

std::map<std::string, std::string> Experiment::settings() {
  std::map<std::string, std::string> settings;
  each_section(*this, [&](const std::string& section, nn::Options& options) {
    for (const auto& [key, value] : section_of(options)) settings[text(section, '.', key.str())] = value_text(value);
  });
  return settings;
}

std::string Experiment::identity() {
  const RunOptions own = run;
  const int64_t steps = train.steps;
  run.name = "";
  run.device = RunOptions().device;
  train.steps = TrainOptions().steps;
  const std::string digest = sha256_hex(written(*this));
  run = own;
  train.steps = steps;
  return digest;
}

std::string changed_settings(Experiment& was, Experiment& is, const std::set<std::string>& free) {
  const std::map<std::string, std::string> before = was.settings();
  std::string named;
  for (const auto& [key, value] : is.settings()) {
    const auto other = before.find(key);
    if (other != before.end() && other->second != value && !free.contains(key))
      named += text(named.empty() ? "" : ", ", key, " is ", value, ", was ", other->second);
  }
  return named;
}

void each_section(Experiment& experiment, const std::function<void(const std::string&, nn::Options&)>& visit) {
  visit("run", experiment.run);
  visit("task", experiment.task);
  if (experiment.task.data) visit("data", *experiment.task.data);
  visit("model", experiment.model);
  if (model_row(experiment.model.name).mixes) visit("attention", experiment.attention);
  visit("train", experiment.train);
  visit("schedule", experiment.schedule);
  visit("optimiser", experiment.optimiser);
}

std::vector<Section> all_sections() {
  std::vector<Section> all;
  const auto section_named = [&](const std::string& name) -> Section& {
    const auto found = std::find_if(all.begin(), all.end(), [&](const Section& one) { return one.name == name; });
    return found == all.end() ? all.emplace_back(Section{name, {}, {}}) : *found;
  };
  Experiment standard;
  each_section(standard, [&](const std::string& name, nn::Options& options) { section_named(name).keys = keys_of(options); });
  for (const Section& chooser : std::vector<Section>(all)) {   // the first key may choose a row, which has keys of its own
    const Key choice = chooser.keys.front();
    std::map<std::string, std::vector<std::string>> present;   // rows, by sections that there are with them
    std::map<std::string, std::vector<Key>> found;             // keys of these, each with the rows that have it
    for (const std::string& row : choice.choices) {
      Experiment variant = resolve(toml::table{{chooser.name, toml::table{{choice.name, row}}}});
      each_section(variant, [&](const std::string& name, nn::Options& options) {
        present[name].push_back(row);
        for (Key& key : keys_of(options)) {
          if (name == chooser.name && key.name == choice.name) continue;
          const auto same = find_same(found[name], key);
          (same == found[name].end() ? found[name].emplace_back(std::move(key)) : *same).rows.push_back(row);
        }
      });
    }
    for (const auto& [name, rows] : present) {
      Section& section = section_named(name);
      if (rows.size() < choice.choices.size())
        section.condition = fmt::format("{}.{} = {}", chooser.name, choice.name, fmt::join(rows, " or "));
      for (Key& key : found[name]) {
        const auto same = find_same(section.keys, key);
        if (same == section.keys.end()) section.keys.push_back(std::move(key));
        else if (key.rows.size() < rows.size()) same->rows = std::move(key.rows);   // else this choice has no say in it
      }
    }
  }
  TrialOptions criterion;
  all.push_back(Section{"trial", "`tapir trial` reads it", keys_of(criterion)});
  return all;
}

Experiment resolve(const toml::table& config) {
  Experiment experiment;
  std::vector<std::string> sections;
  each_section(experiment, [&](const std::string& section, nn::Options& options) {
    sections.push_back(section);
    read_section(config, section, options, [&] { return keys_beyond(section); });
  });
  require_read(config, sections);
  require_sections(config, sections, [] { return keys_beyond(""); });
  require(experiment.train.batch % experiment.train.accumulate == 0, "config: train.accumulate",
          [&] { return text(experiment.train.accumulate, " does not divide train.batch, ", experiment.train.batch); });
  require(experiment.precision() == Precision::f32 || experiment.dtype() == DType::f32, "config: run.precision",
          [&] { return text("products in f64 are not rounded, found '", experiment.run.precision, "'"); },
          "set run.dtype to f32, or run.precision to f32");
  return experiment;
}

void require_seeds(const std::string& where, int64_t first, int64_t seeds) {
  require(std::numeric_limits<int64_t>::max() - first >= seeds - 1, where,
          [&] { return text("there are no ", seeds, " seeds from ", first, " on"); });
}

Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  toml::table config = read_config(file);
  require(!config.contains("trial"), file.string(), [] { return "has a section [trial]"; }, "`tapir trial` takes it");
  set_values(config, assignments);
  Experiment experiment = resolve(config);
  if (!config["run"]["name"]) experiment.run.name = replace_invalid_utf8(file.stem().string());
  return experiment;
}

}  // namespace tapir

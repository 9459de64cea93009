#include "attention/reproduce/program/resolve.h"

#include <sstream>

#include "attention/zoo.h"
#include "datasets/text/utf8.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

// The sections of an experiment in the order in which they are written.
template <class Visit>
void each_section(Experiment& experiment, const Visit& visit) {
  visit("run", experiment.run);
  visit("task", experiment.task);
  if (experiment.task.data) visit("data", *experiment.task.data);
  visit("model", experiment.model);
  if (model_row(experiment.model.name).mixes) visit("attention", experiment.attention);
  visit("train", experiment.train);
  visit("schedule", experiment.schedule);
  visit("optimiser", experiment.optimiser);
}

std::string written(Experiment& experiment) {
  std::ostringstream out;
  each_section(experiment, [&](const char* section, nn::Options& options) {
    out << '[' << section << "]\n" << section_of(options) << "\n\n";
  });
  return out.str();
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
  visit("mechanism", mechanism, "a name that `tapir zoo` lists", {});
  if (!own) own = tapir::mechanism(mechanism).options();
  own->fields(visit);
}

Precision Experiment::precision() const {
  return run.precision == "tf32" ? Precision::tf32 : run.precision == "bf16" ? Precision::bf16 : Precision::f32;
}

const std::string& Experiment::subject() const {
  return model_row(model.name).mixes ? attention.mechanism : model.name;
}

std::string Experiment::toml() { return written(*this); }

std::map<std::string, std::string> Experiment::settings() {
  std::map<std::string, std::string> settings;
  each_section(*this, [&](const char* section, nn::Options& options) {
    for (const auto& [key, value] : section_of(options)) settings[text(section, '.', key.str())] = node_text(value);
  });
  return settings;
}

std::string Experiment::identity() {
  const RunOptions own = run;
  run.name = "";
  run.device = RunOptions().device;
  const std::string digest = sha256_hex(written(*this));
  run = own;
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

Experiment resolve(const toml::table& config) {
  Experiment experiment;
  std::vector<std::string> sections;
  each_section(experiment, [&](const char* section, nn::Options& options) {
    sections.push_back(section);
    read_section(config, section, options);
  });
  require_sections(config, sections);
  require(experiment.train.batch % experiment.train.accumulate == 0, "config: train.accumulate",
          [&] { return text(experiment.train.accumulate, " does not divide train.batch, ", experiment.train.batch); });
  require(experiment.precision() == Precision::f32 || experiment.dtype() == DType::f32, "config: run.precision",
          [&] { return text("products in f64 are not rounded, found '", experiment.run.precision, "'"); },
          "set run.dtype to f32, or run.precision to f32");
  return experiment;
}

Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  toml::table config = read_config(file);
  set_values(config, assignments);
  Experiment experiment = resolve(config);
  if (!config["run"]["name"]) experiment.run.name = replace_invalid_utf8(file.stem().string());
  return experiment;
}

}  // namespace tapir

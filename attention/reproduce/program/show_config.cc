// tapir config
#include <fmt/core.h>

#include <algorithm>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/resolve.h"

namespace tapir {
namespace {

void print_keys(const Section& section) {
  fmt::print("[{}]{}{}\n", section.name, section.condition.empty() ? "" : "   where ", section.condition);
  for (const Key& key : section.keys) fmt::print("{}", text_of(key));
}

std::string origin(const toml::table& config, const std::string& section, const std::string& key) {
  const toml::node* value = config[section][key].node();
  if (!value) return section == "run" && key == "name" ? "the name of the file" : "default";
  const toml::source_region& source = value->source();
  return source.path ? text(*source.path, ':', source.begin.line) : "--set";
}

void print_resolved(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  Experiment experiment = read_experiment(file, assignments);
  toml::table config = read_config(file);
  set_values(config, assignments);
  each_section(experiment, [&](const std::string& section, nn::Options& options) {
    fmt::print("[{}]\n", section);
    for (const Key& key : keys_of(options))
      fmt::print("    {:<36} {}\n", fmt::format("{} = {}", key.name, key.value), origin(config, section, key.name));
  });
}

}  // namespace

int run_config(const std::string& topic, const std::vector<std::string>& assignments) {
  const std::vector<Section> sections = all_sections();
  std::vector<std::string> names;
  for (const Section& section : sections) names.push_back(section.name);
  const bool is_section = std::find(names.begin(), names.end(), topic) != names.end();
  require(is_section || topic.empty() || topic.ends_with(".toml") || std::filesystem::exists(topic), "config",
          [&] { return text("'", topic, "' is neither a section nor a file"); }, meant(topic, names));
  if (!is_section && !topic.empty()) {
    print_resolved(topic, assignments);
    return 0;
  }
  require(assignments.empty(), "--set", [] { return "belongs to an experiment, which is a file"; });
  for (const Section& section : sections)
    if (topic.empty() || topic == section.name) print_keys(section);
  return 0;
}

}  // namespace tapir

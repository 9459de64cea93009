#include "attention/reproduce/program/environment.h"

#include <fmt/chrono.h>
#include <sys/utsname.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>

#include "attention/reproduce/program/version.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr const char* unknown = "unknown";

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(": ") + 2));
  return unknown;
}

std::string system_name() {
  utsname names{};
  return ::uname(&names) == 0 ? text(names.sysname, ' ', names.release, ' ', names.machine) : unknown;
}

// As a shell takes it.
std::string command_line() {
  constexpr size_t most = 4096;   // bytes
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string line;
  for (std::string word; std::getline(in, word, '\0');) {
    const bool plain = !word.empty() && word.find_first_of(" \t\n\"'\\$`&|;<>()*?[]{}~#!") == word.npos;
    if (!plain) {
      for (size_t at = 0; (at = word.find('\'', at)) != word.npos; at += 4) word.replace(at, 1, "'\\''");
      word = '\'' + word + '\'';
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return line.empty() ? unknown : line.size() > most ? line.substr(0, most) + " …" : line;
}

std::string joined(const std::set<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : " and ") + word;
  return all;
}

}  // namespace

MetricsLine environment(const Experiment& experiment, int64_t step) {
  MetricsLine line{step, {{"time", fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)))}}};
  for (const auto& [name, fact] : program_facts()) line.values.emplace_back(name, fact);
  line.values.insert(line.values.end(), {{"processor", processor()},
                                         {"system", system_name()},
                                         {"device", experiment.run.device},
                                         {"precision", experiment.run.precision},
                                         {"command", command_line()}});
  return line;
}

void log_environment(const std::filesystem::path& run, const Experiment& experiment, int64_t step) {
  const std::filesystem::path file = run / environment_file;
  rewind_metrics(file, std::numeric_limits<int64_t>::max());   // of a process that was killed in a line
  MetricsLog(file).append(environment(experiment, step));
}

std::vector<MetricsLine> read_environment(const std::filesystem::path& run) {
  const std::filesystem::path file = run / environment_file;
  return std::filesystem::exists(file) ? read_metrics(file) : std::vector<MetricsLine>{};
}

std::string fact(const MetricsLine& line, const std::string& name) {
  for (const auto& [key, value] : line.values)
    if (const auto* words = std::get_if<std::string>(&value); words && key == name) return *words;
  return unknown;
}

bool is_of_clean_commit(const std::filesystem::path& run) {
  const std::vector<MetricsLine> lines = read_environment(run);
  return !lines.empty() && std::all_of(lines.begin(), lines.end(), [](const MetricsLine& line) {
    const std::string commit = fact(line, "commit");
    return commit != unknown && commit.find(',') == commit.npos;
  });
}

std::string makers_of(const std::vector<std::filesystem::path>& runs) {
  std::set<std::string> programs, processors, days;
  for (const std::filesystem::path& run : runs)
    for (const MetricsLine& line : read_environment(run)) {
      programs.insert(text("tapir ", fact(line, "tapir"), ", commit ", fact(line, "commit")));
      processors.insert(fact(line, "processor"));
      days.insert(fact(line, "time").substr(0, 10));
    }
  if (days.empty()) return "Nothing is known of what made these runs.";
  return text("Made by ", joined(programs), " on ", joined(processors), ", ",
              days.size() == 1 ? *days.begin() : *days.begin() + " to " + *days.rbegin(), '.');
}

}  // namespace tapir

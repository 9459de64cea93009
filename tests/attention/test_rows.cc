// What a row of the zoo has beside its code, each thing named where it is missing: a page, its place in every list of the
// pages, an experiment, golden values of PyTorch, and an oracle of the tests. What a task and a model have: a place in the
// table of page 7, and an experiment.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "attention/reproduce/program/experiment.h"
#include "attention/reproduce/tasks/model.h"
#include "attention/reproduce/tasks/task_row.h"
#include "attention/zoo.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

const std::filesystem::path root = TAPIR_SOURCE_DIR;

std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file);
  REQUIRE_MESSAGE(in.good(), file.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

const std::string experiment = "an experiment in attention/reproduce/experiments/", table = "a place in docs/7-reproduction.md";

struct Tried {
  std::set<std::string> mechanisms, tasks, models;
};

// What the experiments name.
const Tried& tried() {
  static const Tried all = [] {
    Tried found;
    for (const auto& entry : std::filesystem::directory_iterator(root / "attention/reproduce/experiments")) {
      const Experiment one = read_experiment(entry.path(), {});
      found.mechanisms.insert(one.attention.mechanism);
      found.tasks.insert(one.task.name);
      found.models.insert(one.model.name);
    }
    return found;
  }();
  return all;
}

// The names in code of the table of tasks, and of the models that they take.
const std::set<std::string>& in_table() {
  static const std::set<std::string> all = [] {
    std::set<std::string> names;
    std::istringstream page(contents(root / "docs/7-reproduction.md"));
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
      inside = line.starts_with("| `[task] name`") || (inside && line.starts_with('|'));
      for (size_t from = line.find('`'); inside && from != std::string::npos;) {
        const size_t to = line.find('`', from + 1);
        names.insert(line.substr(from + 1, to - from - 1));
        from = line.find('`', to + 1);
      }
    }
    return names;
  }();
  return all;
}

std::vector<std::string> missing_of(const std::string& name, const std::set<std::string>& experiments) {
  std::vector<std::string> missing;
  if (!in_table().contains(name)) missing.push_back(table);
  if (!experiments.contains(name)) missing.push_back(experiment);
  return missing;
}

// What the row lacks, by name.
std::vector<std::string> missing_of(const std::string& name) {
  std::vector<std::string> missing;
  const auto need = [&](bool there, const std::string& what) {
    if (!there) missing.push_back(what);
  };
  need(std::filesystem::exists(root / "docs" / "attention" / (name + ".md")), "docs/attention/" + name + ".md");
  for (const char* page : {"README.md", "docs/README.md", "docs/6-attention.md", "docs/papers.md"})
    need(contents(root / page).find("attention/" + name + ".md)") != std::string::npos, std::string("a link in ") + page);

  need(tried().mechanisms.contains(name), experiment);

  static const std::set<std::string> recorded = [] {
    std::set<std::string> mechanisms;
    const nlohmann::json golden = nlohmann::json::parse(contents(root / "tests/golden/mechanisms.json"));
    for (const auto& one : golden["cases"]) mechanisms.insert(one["mechanism"].get<std::string>());
    return mechanisms;
  }();
  need(recorded.contains(name), "cases in tests/golden/mechanisms.json");
  need(oracles().contains(name), "an oracle in tests/mechanisms/test_" + name + ".cc");
  return missing;
}

}  // namespace

TEST_CASE("rows: each has a page, a place in the lists, an experiment, golden values and an oracle") {
  for (const Mechanism& row : zoo())
    for (const std::string& what : missing_of(row.name)) FAIL_CHECK(row.name, " lacks ", what);
}

TEST_CASE("rows: each pair of files of attention/mechanisms/ gives the row of its name") {
  std::set<std::string> rows;
  for (const Mechanism& row : zoo()) rows.insert(row.name);
  for (const auto& entry : std::filesystem::directory_iterator(root / "attention/mechanisms"))
    if (entry.path().extension() == ".h" && !rows.contains(entry.path().stem()))
      FAIL_CHECK(entry.path().filename(), " has no line in attention/zoo.cc");
}

TEST_CASE("rows: each oracle is that of a row") {
  for (const auto& named : oracles()) CHECK(mechanism(named.first).name == named.first);
}

TEST_CASE("rows: each task and each model has a place in the table and an experiment") {
  for (const std::string& name : task_names())
    for (const std::string& what : missing_of(name, tried().tasks)) FAIL_CHECK("the task ", name, " lacks ", what);
  for (const std::string& name : model_names())
    for (const std::string& what : missing_of(name, tried().models)) FAIL_CHECK("the model ", name, " lacks ", what);
  CHECK(missing_of("nothing", tried().tasks) == std::vector<std::string>{table, experiment});
}

TEST_CASE("rows: a row that has nothing lacks all of it, by name") {
  CHECK(missing_of("nothing") ==
        std::vector<std::string>{"docs/attention/nothing.md", "a link in README.md", "a link in docs/README.md",
                                 "a link in docs/6-attention.md", "a link in docs/papers.md", experiment,
                                 "cases in tests/golden/mechanisms.json", "an oracle in tests/mechanisms/test_nothing.cc"});
}

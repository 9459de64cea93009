// What a row of the zoo has beside its code, each thing named where it is missing: a page, its place in every list of the
// pages, an experiment, golden values of PyTorch, and an oracle of the tests.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/experiment.h"
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

// What the row lacks, by name.
std::vector<std::string> missing_of(const std::string& name) {
  std::vector<std::string> missing;
  const auto need = [&](bool there, const std::string& what) {
    if (!there) missing.push_back(what);
  };
  need(std::filesystem::exists(root / "docs" / "attention" / (name + ".md")), "docs/attention/" + name + ".md");
  for (const char* page : {"README.md", "docs/README.md", "docs/6-attention.md", "docs/papers.md"})
    need(contents(root / page).find("attention/" + name + ".md)") != std::string::npos, std::string("a link in ") + page);

  static const std::set<std::string> tried = [] {
    std::set<std::string> mechanisms;
    for (const auto& entry : std::filesystem::directory_iterator(root / "attention/reproduce/experiments"))
      mechanisms.insert(read_experiment(entry.path(), {}).attention.mechanism);
    return mechanisms;
  }();
  need(tried.contains(name), "an experiment in attention/reproduce/experiments/");

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

TEST_CASE("rows: a row that has nothing lacks all of it, by name") {
  CHECK(missing_of("nothing") ==
        std::vector<std::string>{"docs/attention/nothing.md", "a link in README.md", "a link in docs/README.md",
                                 "a link in docs/6-attention.md", "a link in docs/papers.md",
                                 "an experiment in attention/reproduce/experiments/", "cases in tests/golden/mechanisms.json",
                                 "an oracle in tests/mechanisms/test_nothing.cc"});
}

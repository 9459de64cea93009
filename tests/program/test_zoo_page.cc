// The tables of docs/zoo.md are what `tapir compare` wrote into docs/results/zoo-*.json. `cmake --build build --target certificates`
// writes them.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "attention/zoo.h"
#include "datasets/catalog.h"
#include "datasets/text/corpus.h"
#include "tests/length.h"
#include "tests/skipped.h"

using namespace tapir;

namespace {

const std::filesystem::path page = TAPIR_SOURCE_DIR "/docs/zoo.md", results = TAPIR_SOURCE_DIR "/docs/results";

// A line of the page that says what a table is of: <!-- zoo-wikitext2.json, learned below 6.2 -->
struct Marked {
  std::string file;
  double bound;
};
const std::regex marker("<!-- (zoo-[^ ,]+\\.json), learned (?:below|above) ([0-9.]+) -->\n");

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

std::vector<Marked> tables_of(const std::string& text) {
  std::vector<Marked> all;
  for (std::sregex_iterator at(text.begin(), text.end(), marker), end; at != end; ++at) all.push_back({(*at)[1], std::stod((*at)[2])});
  return all;
}

nlohmann::json group_of(const std::string& file) { return nlohmann::json::parse(read(results / file)).at("groups").at(0); }

bool learned(const nlohmann::json& group, const nlohmann::json& arm, double bound) {
  return group.at("higher_is_better").get<bool>() ? arm.at("mean") > bound : arm.at("mean") < bound;
}

// Costs are told beside those of the first arm.
std::string table(const Marked& marked) {
  const nlohmann::json group = group_of(marked.file), &arms = group.at("arms"), &first = arms.at(0);
  std::string metric = group.at("metric");
  std::replace(metric.begin(), metric.end(), '_', ' ');
  std::string lines = "| row | " + metric + " | parameters | operations | time of a step | memory |\n|---|---|---|---|---|---|\n";
  for (const nlohmann::json& arm : arms) {
    const std::string name = arm.at("label");
    const auto share = [&](const char* key) { return arm.at(key).get<double>() / first.at(key).get<double>(); };
    const bool diverged = arm.at("mean").is_null();
    lines += fmt::format("| [{0}](attention/{0}.md) | {1} | {2} | {3:.2f} | {4:.2f} | {5:.2f} |\n", name,
                         diverged ? "diverged"
                                  : fmt::format("{:.3f}{}", arm.at("mean").get<double>(),
                                                learned(group, arm, marked.bound) ? "" : ", did not learn"),
                         arm.at("parameters").get<int64_t>(), share("operations"), share("step_seconds"), share("peak_bytes"));
  }
  return lines;
}

// The page with each table as it follows from its results.
std::string made(const std::string& text) {
  std::string whole;
  std::string::const_iterator at = text.begin();
  for (std::sregex_iterator found(text.begin(), text.end(), marker), end; found != end; ++found) {
    const auto after = (*found)[0].second;
    const size_t begin = static_cast<size_t>(after - text.begin()), past = text.find("\n\n", begin);
    whole.append(at, after);
    whole += table({(*found)[1], std::stod((*found)[2])});
    at = past == std::string::npos ? text.end() : text.begin() + static_cast<std::ptrdiff_t>(past) + 1;
  }
  return whole.append(at, text.end());
}

}  // namespace

TEST_CASE("zoo page: tables are what the comparisons say") {
  const std::string before = read(page);
  REQUIRE(!tables_of(before).empty());
  if (std::getenv("CERTIFICATES")) std::ofstream(page) << made(before);
  CHECK(read(page) == made(before));
}

TEST_CASE("zoo page: every run of a section has the same budget, which it used up, and rows that its tables lack are named") {
  const std::string text = read(page);
  for (size_t begin = text.find("\n## "); begin != std::string::npos;) {
    const size_t end = text.find("\n## ", begin + 1);
    const std::string section = text.substr(begin, end - begin);
    begin = end;
    std::set<std::string> shown;
    std::set<int64_t> steps;
    for (const Marked& marked : tables_of(section)) {
      CAPTURE(marked.file);
      const nlohmann::json group = group_of(marked.file);
      for (const nlohmann::json& arm : group.at("arms")) {
        shown.insert(arm.at("label").get<std::string>());
        for (const nlohmann::json& run : arm.at("runs")) {
          steps.insert(run.at("steps").get<int64_t>());
          if (run.at("diverged").is_null()) CHECK(run.at("finished") == true);
        }
      }
    }
    if (shown.empty()) continue;
    CAPTURE(section);
    CHECK(steps.size() == 1);
    std::string missing;
    for (const Mechanism& row : zoo())
      if (!shown.contains(row.name)) missing += (missing.empty() ? "" : ", ") + row.name;
    const size_t said = section.find("\nRows without a run: ");
    CHECK(missing.empty() == (said == std::string::npos));
    if (!missing.empty()) CHECK(section.find("\nRows without a run: " + missing + ".") == said);
  }
}

TEST_CASE("zoo page: a text is learned where the loss is below that of its frequencies, which are what the page says") {
  if (!long_form() || testing::lacks(data_sets().front().folder())) return;
  CorpusSpec spec;
  spec.tokens = "wordpiece";
  spec.max_types = 8000;
  const TextCorpus corpus = read_corpus(spec);
  std::vector<double> count(static_cast<size_t>(corpus.tokenizer->size()), 1);   // Laplace's rule: none is impossible
  for (const int32_t id : corpus.train) ++count[static_cast<size_t>(id)];
  const double all = static_cast<double>(corpus.train.size() + count.size());
  double loss = 0;
  for (const int32_t id : corpus.valid) loss -= std::log(count[static_cast<size_t>(id)] / all) / static_cast<double>(corpus.valid.size());
  for (const Marked& marked : tables_of(read(page)))
    if (marked.file.starts_with("zoo-wikitext2")) CHECK(fmt::format("{:.3f}", marked.bound) == fmt::format("{:.3f}", loss));
}

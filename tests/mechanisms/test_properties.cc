// The numbered properties and the golden values of the specification: each is in the name of a test, and
// docs/certificates/properties.md lists them with their papers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "attention/zoo.h"
#include "tensor/error.h"

using namespace tapir;

namespace {

struct Chapter {
  std::string at;        // 2.1: the first chapter of the second part
  std::string name;      // a row of the zoo, and the first word of names of tests
  int section = 0;       // of the numbered properties
  int properties = 0;
  std::string paper{};   // empty: that of the row
};

const Chapter chapters[] = {{"1.1", "score_mlp"},
                            {"1.2", "expressive"},
                            {"1.3", "mlp_qkv"},
                            {"2.1", "twicing", 8, 10},
                            {"2.2", "care", 8, 8},
                            {"2.3", "inter_token", 7, 10},
                            {"2.4", "dape", 8, 9},
                            {"2.5", "attention_bn", 5, 8},
                            {"2.5", "attention_sh", 5, 6},
                            {"2.6", "fast", 9, 10},
                            {"3.1", "associative", 9, 7},
                            {"3.2", "laplacian", 8, 6},
                            {"3.3", "flatten", 8, 5},
                            {"3.4", "galerkin", 8, 5},
                            {"3.5", "dnas", 8, 8},
                            {"3.6", "implicit", 4, 4, "Zheng et al. 2025, arXiv 2504.04728"},
                            {"4.3", "mlp_qkv"}};

struct Golden {
  std::string at;   // the section, and a letter where it has several
  std::string value;
};

const Golden all_golden[] = {
    {"1.1.2", "parameters of the score network, seven pairs of D and d′: 275 … 18,689"},
    {"1.1.4", "parameters of the language model: 46,527,812, 275 more with the score network, 524,288 with learned places"},
    {"1.1.5", "parameters of the vision transformer: 47,402,506, 47,471,716 for 100 classes, 609 more with the network"},
    {"1.1.7", "an eighth of initial gates is dead"},
    {"1.2.3", "the slope of z²/(1 + z²) is largest at 1/√3"},
    {"1.2.4", "lengths and numbers of the cycles of NT series, 20 pairs of N and τ"},
    {"1.3.2", "networks of 1,052,160 and 2,361,600 parameters, layers of 262,656 and 590,592; 42.63, 63.76 million more"},
    {"1.3.5", "18 C² operations more for a token, 75 % of the 24 C² of linear layers"},
    {"2.1.6", "elements of 2 A − A² reach −1"},
    {"2.2.2", "parameters of S0, S1 and S2, with two classifiers and with one: 7,340,000 … 17,941,216"},
    {"2.2.7", "0.7, 1.0 and 1.9 · 10⁹ multiplications of S0, S1 and S2"},
    {"2.4.2", "3,500 parameters of a layer"},
    {"2.4.5", "3,456 N² multiplications of the convolutions, 2.25 times those of the two products"},
    {"2.5.3", "47 % of the work with windows of 1, 2, 4 and 8"},
    {"3.1.4", "unevenness of four numbers, 0.7407407406"},
    {"3.1.9a", "three points of a retrieval, and four energies"},
    {"3.1.9b", "unevenness of loads, 1 and 63"},
    {"3.2.2", "four Gaussians"},
    {"3.2.3", "the matrix of a token's channels: 8, 16, 16 and 32 columns of 64, 128, 320 and 512"},
    {"3.3.3", "a scale of ln 2 at first, a window of weights within 0.2"},
    {"3.3.8", "f₃ and φ₃ of two vectors"},
    {"3.4.6a", "u(π/2), u(π/4) of Burgers' equation on a circle, u(0.25), u(0.125) on the unit interval"},
    {"3.4.6b", "of a sample: rms about 0.57 of u₀ and 0.46 of u, 0.57 of what lies between, relative"},
    {"3.4.6c", "of a sample: u is about 60 times smaller than u₀ where the circle has length 1"},
    {"3.4.6d", "100 steps are within 3 · 10⁻⁷ of 400"},
    {"3.4.6e", "530,305 parameters"},
    {"3.4.6f", "on the unit interval A = 0.159 and ν = 0.00253 stand for the circle and ν = 0.1"},
    {"3.5.6a", "two rows of softmax, and sums of columns"},
    {"3.5.6b", "a row normalised over the queries alone"},
    {"3.5.6c", "two rows doubly normalised, and sums of columns"},
    {"3.5.6d", "three rows under a causal mask"},
    {"3.5.6e", "the row that a whole column would give"},
    {"3.6.4", "s = 5 in front of a SIREN is ω = 150 in its first layer"},
    {"4.3a", "3 C² parameters of second networks, 41.8 million in 34 layers of width 640"},
    {"4.3b", "6 C² operations more for a token, 25 % of the 24 C² of linear layers"},
};

std::string paper_of(const Chapter& chapter) {
  return chapter.paper.empty() ? mechanism(chapter.name).paper : chapter.paper;
}

struct Named {
  std::string subject, what, holds, file;   // "dnas: a single query … (property 7; golden 3.5.6a)"
};

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

// All tests with something in brackets at the end of their names, by files.
std::vector<Named> all_named() {
  static const std::regex test_case("TEST_CASE\\(\"([^\"]*)\""), parts("([^:]*): (.*) \\(([^()]*)\\)");
  std::set<std::filesystem::path> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(TAPIR_SOURCE_DIR "/tests"))
    if (file.path().extension() == ".cc") files.insert(file.path());
  std::vector<Named> all;
  for (const auto& path : files) {
    const std::string contents = read(path);
    for (std::sregex_iterator at(contents.begin(), contents.end(), test_case), end; at != end; ++at) {
      const std::string name = (*at)[1];
      std::smatch found;
      if (std::regex_match(name, found, parts))
        all.push_back({found[1], found[2], found[3], std::filesystem::relative(path, TAPIR_SOURCE_DIR)});
    }
  }
  return all;
}

// What follows the word in the brackets: of "properties 5, 7 and 10", "equivalence 1", "property BN 2; golden 3.5.6a".
std::vector<std::string> held(const Named& test, const std::regex& part, const std::regex& item) {
  std::smatch found;
  std::vector<std::string> all;
  if (!std::regex_search(test.holds, found, part)) return all;
  const std::string items = found[1];
  for (std::sregex_iterator at(items.begin(), items.end(), item), end; at != end; ++at) all.push_back(at->str());
  return all;
}

std::vector<std::string> properties_of(const Named& test, const Chapter& chapter) {
  if (!(test.subject + ' ').starts_with(chapter.name + ' ')) return {};
  static const std::regex part("(?:^|; )(?:property|properties|equivalence) ([^;]*)"), number("[0-9]+");
  return held(test, part, number);
}

std::vector<std::string> golden_of(const Named& test) {
  static const std::regex part("(?:^|; )golden ([^;]*)"), section("[0-9.]+[a-z]?");
  return held(test, part, section);
}

bool contains(const std::vector<std::string>& items, const std::string& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

std::string link(const Named& test) {
  return text("[", test.file.substr(test.file.rfind('/') + 1), "](../../", test.file, ")");
}

// The page with these rows in the table of this head.
std::string with_rows(const std::string& page, const std::string& head, const std::string& rows) {
  size_t begin = page.find(head);
  REQUIRE(begin != std::string::npos);
  size_t end = begin += head.size();
  while (end < page.size() && page[end] == '|') end = page.find('\n', end) + 1;
  return page.substr(0, begin) + rows + page.substr(end);
}

void check_page(const std::string& head, const std::string& rows) {
  const std::filesystem::path page = TAPIR_SOURCE_DIR "/docs/certificates/properties.md";
  const std::string expected = with_rows(read(page), head, rows);
  if (std::getenv("CERTIFICATES")) std::ofstream(page) << expected;
  CHECK(read(page) == expected);
}

}  // namespace

TEST_CASE("properties: every number has a test, and the page lists them") {
  const std::vector<Named> all = all_named();
  std::string rows;
  for (const Chapter& chapter : chapters) {
    CAPTURE(chapter.name);
    for (int n = 1; n <= chapter.properties; ++n) {
      bool found = false;
      for (const Named& test : all) {
        if (!contains(properties_of(test, chapter), std::to_string(n))) continue;
        found = true;
        rows += text("| ", chapter.name, ' ', n, " | ", test.what, " | ", paper_of(chapter), "; ", chapter.at, '.',
                     chapter.section, " | ", link(test), " |\n");
      }
      if (!found) FAIL_CHECK("no test is named after property ", n, " of ", chapter.name);
    }
    for (const Named& test : all)
      for (const std::string& n : properties_of(test, chapter)) CHECK(std::stoi(n) <= chapter.properties);
  }
  check_page("| property | what is tested | paper; specification | where |\n|---|---|---|---|\n", rows);
}

TEST_CASE("properties: every golden value has a test, and the page lists them") {
  const std::vector<Named> all = all_named();
  std::set<std::string> known;
  std::string rows;
  for (const Golden& golden : all_golden) {
    CAPTURE(golden.at);
    known.insert(golden.at);
    const auto chapter = std::find_if(std::begin(chapters), std::end(chapters),
                                      [&](const Chapter& one) { return golden.at.starts_with(one.at); });
    REQUIRE(chapter != std::end(chapters));
    bool found = false;
    for (const Named& test : all) {
      if (!contains(golden_of(test), golden.at)) continue;
      found = true;
      rows += text("| ", golden.at, " | ", golden.value, " | ", paper_of(*chapter), " | ", test.subject, ": ", test.what,
                   " | ", link(test), " |\n");
    }
    if (!found) FAIL_CHECK("no test is named after golden ", golden.at, ", ", golden.value);
  }
  for (const Named& test : all)
    for (const std::string& at : golden_of(test)) {
      CAPTURE(at);
      CHECK(known.contains(at));
    }
  check_page("| specification | value | paper | test | where |\n|---|---|---|---|---|\n", rows);
}

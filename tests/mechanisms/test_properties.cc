// The numbered properties of the specifications: each is in the name of a test, and docs/certificates/properties.md lists them.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tensor/error.h"

using namespace tapir;

namespace {

struct Specified {
  std::string name;   // the first word of names of tests
  int properties;
};

const Specified all_specified[] = {{"twicing", 10},     {"inter_token", 10}, {"dape", 9},     {"attention_bn", 8},
                                       {"attention_sh", 6}, {"fast", 10},        {"galerkin", 5}, {"dnas", 8},
                                       {"associative", 7},  {"flatten", 5},      {"care", 8},     {"laplacian", 6},
                                       {"implicit", 4}};

struct Named {
  std::string name, file;
};

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

// The tests of each property of `prefix`: "(property 3)", "(properties 5, 7 and 10)", "(equivalence 1)", "(property BN 2)".
std::map<int, std::vector<Named>> tests_of(const std::string& prefix) {
  static const std::regex test_case("TEST_CASE\\(\"([^\"]*)\""), numbered("\\((?:propert|equivalence)[a-z]* ([^)]*)\\)$"), number("[0-9]+");
  std::map<int, std::vector<Named>> all;
  std::set<std::filesystem::path> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(TAPIR_SOURCE_DIR "/tests"))
    if (file.path().extension() == ".cc") files.insert(file.path());
  for (const auto& path : files) {
    const std::string text = read(path);
    for (std::sregex_iterator at(text.begin(), text.end(), test_case), end; at != end; ++at) {
      const std::string name = (*at)[1];
      std::smatch found;
      const size_t colon = name.find(": ");
      if (colon == std::string::npos || (name.substr(0, colon) + ' ').find(prefix + ' ') != 0) continue;
      if (!std::regex_search(name, found, numbered)) continue;
      const std::string numbers = found[1];
      for (std::sregex_iterator n(numbers.begin(), numbers.end(), number); n != end; ++n)
        all[std::stoi(n->str())].push_back({name.substr(colon + 2, static_cast<size_t>(found.position(0)) - colon - 3),
                                            std::filesystem::relative(path, TAPIR_SOURCE_DIR)});
    }
  }
  return all;
}

}  // namespace

TEST_CASE("properties: every number has a test, and the page lists them") {
  std::string table;
  for (const Specified& specified : all_specified) {
    CAPTURE(specified.name);
    const std::map<int, std::vector<Named>> tests = tests_of(specified.name);
    for (int n = 1; n <= specified.properties; ++n)
      if (!tests.contains(n)) FAIL_CHECK("no test is named after property ", n, " of ", specified.name);
    for (const auto& [n, named] : tests) {
      CHECK(n <= specified.properties);
      for (const Named& one : named)
        table += text("| ", specified.name, ' ', n, " | ", one.name, " | [", one.file.substr(one.file.rfind('/') + 1), "](../../", one.file,
                      ") |\n");
    }
  }
  const std::filesystem::path page = TAPIR_SOURCE_DIR "/docs/certificates/properties.md";
  const std::string head = "|---|---|---|\n", before = read(page);
  const size_t end = before.find(head);
  REQUIRE(end != std::string::npos);
  const std::string expected = before.substr(0, end) + head + table;
  if (std::getenv("CERTIFICATES")) std::ofstream(page) << expected;
  CHECK(read(page) == expected);
}

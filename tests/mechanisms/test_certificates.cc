// docs/certificates/ is what comes out now. `cmake --build build --target certificates` writes it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/mechanisms/certificate.h"

using namespace tapir;

namespace {

const std::filesystem::path committed = TAPIR_SOURCE_DIR "/docs/certificates";
constexpr const char* head_of_table = "|---|---|---|---|---|---|---|---|\n";   // README.md ends with the table

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

void write(const std::filesystem::path& path, const std::string& contents) {
  std::ofstream file(path);
  file << contents;
  require(file.flush().good(), "certificates", [&] { return path.string() + " cannot be written"; });
}

// Errors of rounding differ from processor to processor, and may be 0 on one of them.
std::string without_digits(const std::string& page) {
  static const std::regex number("[0-9.]+e[-+][0-9]+|[0-9]+\\.[0-9]+"), none("(difference|error|by) 0\\b");
  return std::regex_replace(std::regex_replace(page, number, "#"), none, "$1 #");
}

}  // namespace

TEST_CASE("certificates: of every mechanism, and what is committed is what comes out, but for the digits of errors") {
  const bool writes = std::getenv("CERTIFICATES") != nullptr;
  std::string table, names;
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const Certificate certificate = certificate_of(row, committed);
    table += certificate.line;
    const std::filesystem::path page = committed / (row.name + ".md"), tensors = committed / (row.name + ".safetensors");
    if (writes) {
      write(page, certificate.page);
      std::filesystem::remove(tensors);
      if (!certificate.counter_examples.empty()) save_safetensors(tensors, certificate.counter_examples);
    }
    CHECK(without_digits(read(page)) == without_digits(certificate.page));
    REQUIRE(std::filesystem::exists(tensors) == !certificate.counter_examples.empty());
    if (certificate.counter_examples.empty()) continue;
    const SafeTensors kept = load_safetensors(tensors);
    REQUIRE(kept.names().size() == certificate.counter_examples.size());
    for (const NamedTensor& example : certificate.counter_examples) {
      CAPTURE(example.name);
      const std::vector<double> found = example.tensor.values<double>(), expected = kept.tensor(example.name).values<double>();
      REQUIRE(found.size() == expected.size());
      for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-12));
    }
  }
  const std::string readme = read(committed / "README.md");
  const size_t end = readme.find(head_of_table);
  REQUIRE(end != std::string::npos);
  const std::string expected = readme.substr(0, end) + head_of_table + table;
  if (writes) write(committed / "README.md", expected);
  CHECK(without_digits(read(committed / "README.md")) == without_digits(expected));
}

TEST_CASE("certificates: rows that claim a linear cost double it with the tokens, from 1k to 16k") {
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const std::unique_ptr<nn::Options> options = row.options();
    if (!row.claims(*options).linear) continue;
    Cost before = cost_of(row, *options, 1024);
    for (int64_t tokens = 2048; tokens <= 16384; tokens *= 2) {
      const Cost cost = cost_of(row, *options, tokens);
      CAPTURE(tokens);
      CHECK(cost.operations <= 2.05 * static_cast<double>(before.operations));
      CHECK(cost.bytes <= 2.05 * static_cast<double>(before.bytes));
      before = cost;
    }
  }
}

// Mutants of the mechanisms, noticed by their oracles, their own tests, their claims.
//
//   mutation_zoo MUTANTS EQUIVALENT COUNTS     COUNTS: what came out for each source, docs/certificates/mutants.txt. It must come out
//                                              again; with CERTIFICATES in the environment it is written
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "attention/zoo.h"
#include "tests/mechanisms/oracle.h"
#include "tests/mutation/runner.h"

using namespace tapir;
using namespace tapir::mutation;

namespace {

struct Cases {
  const char* name;
  const char* filter;
  bool own_file;   // the cases of the mechanism's own file
};

constexpr Cases all_cases[] = {{"loops", "mechanisms: all equal scalar loops*", false},
                               {"PyTorch", "mechanisms: all equal independent*", false},
                               {"own", "*", true},
                               {"options", "options of mechanisms: every value*", false}};

// Tests that go over the zoo, each a row.
constexpr const char* of_all[] = {"*test_positions.cc", "*test_fused_attention.cc", "*test_streaming.cc"};

bool passes_of(const Cases& cases, const std::string& name) {
  takes_mechanism = [&](const std::string& other) { return other == name; };
  return passes(cases.filter, cases.own_file ? "*" + oracles().at(name).file : "");
}

std::vector<Judgement> judgements(std::vector<int>& reached) {
  static const std::vector<std::string> names = mechanism_names();
  std::vector<Judgement> all;
  for (const Cases& cases : all_cases) {
    Judgement& judgement = all.emplace_back();
    judgement.name = cases.name;
    judgement.passes = [&cases](int row) { return passes_of(cases, names[row]); };
    for (size_t i = 0; i < names.size(); ++i) {
      Watch watch(reached);
      if (!passes_of(cases, names[i])) throw std::runtime_error(text("without a mutant fails: ", cases.name, " of ", names[i]));
      judgement.rows.push_back(watch.row(static_cast<int>(i)));
    }
  }
  Judgement& house = all.emplace_back();
  house.name = "house";
  house.passes = [](int row) {
    takes_mechanism = [](const std::string&) { return true; };
    return passes("*", of_all[row]);
  };
  for (int row = 0; row < static_cast<int>(std::size(of_all)); ++row) {
    Watch watch(reached);
    if (!house.passes(row)) throw std::runtime_error(text("without a mutant fails: ", of_all[row]));
    house.rows.push_back(watch.row(row));
  }
  return all;
}

std::string table(const std::map<std::string, Counts>& counts) {
  std::string lines = "# source, mutants, noticed, equivalent\n";
  for (const auto& [file, own] : counts)
    if (file != "all")
      lines += text(std::filesystem::path(file).filename().string(), ' ', own.mutants, ' ', own.noticed, ' ', own.equivalent, '\n');
  return lines;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) throw std::runtime_error("usage: mutation_zoo MUTANTS EQUIVALENT COUNTS");
  std::map<std::string, Counts> counts;
  int faults = run(argv[1], argv[2], judgements, counts);
  if (std::getenv("CERTIFICATES")) std::ofstream(argv[3]) << table(counts);
  std::ostringstream committed;
  committed << std::ifstream(argv[3]).rdbuf();
  if (committed.str() != table(counts)) {
    std::cout << argv[3] << " has other counts; CERTIFICATES=write in the environment writes these\n";
    ++faults;
  }
  return faults > 0;
} catch (const std::exception& error) {
  std::cerr << "mutation_zoo: " << error.what() << '\n';
  return 1;
}

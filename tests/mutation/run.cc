// Mutants of the derivatives, noticed by the judgements of the sweep on the rows of the ops' examples.
//
//   mutation_run MUTANTS EQUIVALENT
#include <iostream>

#include "tests/autograd/sweep.h"
#include "tests/mutation/runner.h"

using namespace tapir;
using namespace tapir::mutation;

namespace {

struct Cases {
  const char* name;
  const char* filter;
};

constexpr Cases all_cases[] = {
    {"value", "sweep: values agree*"},
    {"gradient", "sweep: gradients agree*"},
    {"second", "sweep: double gradients agree*"},
    {"layout", "sweep: the layout*"},
    {"NaN", "sweep: NaN reaches*"},
    {"boundary", "boundary:*"},
    {"scalars", "autograd: at kinks*,df is the derivative*,df on dual*,sub-gradients at kinks*,dual numbers*"}};

// Every row of a judgement, watched. Cases that have no rows count as one.
std::vector<Row> rows_of(const Cases& cases, std::vector<int>& reached) {
  std::vector<Row> rows;
  Watch watch(reached);
  bool first = true;
  sweep_takes = [&](const OpExamples&, const Example&) {
    if (!first) rows.push_back(watch.row(static_cast<int>(rows.size())));
    first = false;
    return true;
  };
  if (!passes(cases.filter)) throw std::runtime_error(std::string("without a mutant fails: ") + cases.name);
  rows.push_back(watch.row(static_cast<int>(rows.size())));
  return rows;
}

std::vector<Judgement> judgements(std::vector<int>& reached) {
  std::vector<Judgement> all;
  for (const Cases& cases : all_cases)
    all.push_back({cases.name, rows_of(cases, reached), [&cases](int wanted) {
                     int number = 0;
                     sweep_takes = [&](const OpExamples&, const Example&) { return number++ == wanted; };
                     return passes(cases.filter);
                   }});
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: mutation_run MUTANTS EQUIVALENT");
  std::map<std::string, Counts> counts;
  return run(argv[1], argv[2], judgements, counts) > 0;
} catch (const std::exception& error) {
  std::cerr << "mutation_run: " << error.what() << '\n';
  return 1;
}

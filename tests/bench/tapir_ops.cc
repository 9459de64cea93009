// Ops in f32, one at a time, so that a driver (compare_ops.py) can interleave another program's.
//
//   tapir_ops THREADS
//
// Prints `ready`. Then each line `NAME` or `NAME backward` on standard input runs that op, without or with a graph and its
// gradients, and prints the milliseconds that it took: the least of a few times.
#include <cstdlib>
#include <functional>
#include <iostream>
#include <limits>
#include <map>

#include "nn/train/progress.h"
#include "tensor/threads.h"
#include "tests/bench/cases.h"

using namespace tapir;

namespace {

constexpr int least_of = 3;

}  // namespace

int main(int argc, char** argv) try {
  require(argc == 2, "tapir_ops", [] { return "usage: tapir_ops THREADS"; });
  set_threads(std::atoi(argv[1]));
  const std::map<std::string, Case> table = cases(1);
  std::cout << "ready" << std::endl;
  std::map<std::string, std::function<void()>> runners;   // the last op's alone: inputs are large
  for (std::string line; std::getline(std::cin, line);) {
    if (!runners.contains(line)) {
      runners.clear();
      const size_t space = line.find(' ');
      runners[line] = line == "adamw" ? adamw() : runner(table.at(line.substr(0, space)), space != line.npos);
      runners[line]();
    }
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < least_of; ++i) {
      const double begin = steady_seconds();
      runners[line]();
      least = std::min(least, 1e3 * (steady_seconds() - begin));
    }
    std::cout << least << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}

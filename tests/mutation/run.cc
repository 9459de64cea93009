// Mutation testing: every mutant of the derivatives lives once, and something must notice.
//
//   mutation_run MUTANTS EQUIVALENT      MUTANTS: the table of mutation_generate; EQUIVALENT: keys with proofs
//
// First every judgement is made without a mutant: it tells which rows of examples evaluate the place of which mutant, and
// how long a row takes. A row that never evaluates the place cannot notice. Then each mutant gets a process of its own, in
// which the judgements are made on the rows that reach it, the quickest first, until one fails. The process may also crash
// or not end. Prints a table for each source; fails where a mutant survives that is not listed, and where a listed one is
// noticed.
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <sstream>
#include <thread>

#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS   // a handler may wait for ever on what the mutant broke
#include <doctest/doctest.h>

#include "tensor/arena.h"
#include "tensor/parallel.h"
#include "tests/autograd/sweep.h"
#include "tests/mutation/mutant.h"
#include "tests/mutation/mutate.h"

using namespace tapir;
using mutation::Mutant;

// The arena's blocks, which are never given back, end at a page that nobody may touch: what reads behind them crashes.
extern "C" void* aligned_alloc(size_t, size_t size) {
  const size_t page = sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
  void* const memory = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  mprotect(static_cast<char*>(memory) + room, page, PROT_NONE);
  return static_cast<char*>(memory) + room - size;
}

namespace {

struct Judgement {
  const char* name;
  const char* cases;   // doctest's filter
};

constexpr std::array<Judgement, 7> judgements = {{
    {"value", "sweep: values agree*"},
    {"gradient", "sweep: gradients agree*"},
    {"second", "sweep: double gradients agree*"},
    {"layout", "sweep: the layout*"},
    {"NaN", "sweep: NaN reaches*"},
    {"boundary", "boundary:*"},
    {"scalars", "autograd: at kinks*,df is the derivative*,df on dual*,sub-gradients at kinks*,dual numbers*"},
}};
constexpr int crash = judgements.size(), no_end = crash + 1, survived = no_end + 1, outcomes = survived + 1;

struct Row {   // of a judgement: its number, the time it takes, the mutants whose place it evaluates
  int number;
  double seconds;   // of the processor
  std::vector<int> reached;
};

bool passes(const Judgement& judgement) {
  doctest::Context context;
  context.setOption("test-case", judgement.cases);
  context.setOption("abort-after", 1);
  context.setOption("no-breaks", true);
  context.setOption("out", "/dev/null");
  return context.run() == 0;
}

// Every row of a judgement, watched. Cases that have no rows count as one.
std::vector<Row> rows_of(const Judgement& judgement, std::vector<int>& reached) {
  std::vector<Row> rows;
  std::clock_t begin = std::clock();
  std::fill(reached.begin(), reached.end(), 0);
  const auto finish = [&] {
    reached.back() = 1;
    rows.push_back({static_cast<int>(rows.size()), static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, reached});
    std::fill(reached.begin(), reached.end(), 0);
    begin = std::clock();
  };
  bool first = true;
  sweep_takes = [&](const OpExamples&, const Example&) {
    if (!first) finish();
    first = false;
    return true;
  };
  if (!passes(judgement)) throw std::runtime_error(std::string("without a mutant fails: ") + judgement.name);
  finish();
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.seconds < b.seconds; });
  return rows;
}

// In the process of a mutant: no core file, 8 GiB, five times the time that its rows take without it, and five minutes.
void limit(int mutant, const std::vector<std::vector<Row>>& rows) {
  double needed = 0;
  for (const std::vector<Row>& all : rows)
    for (const Row& row : all) needed += row.reached[mutant] ? row.seconds : 0;
  const rlim_t seconds = 2 + static_cast<rlim_t>(5 * needed), bytes = rlim_t{8} << 30;
  const rlimit none{0, 0}, time{seconds, seconds + 1}, memory{bytes, bytes};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_CPU, &time);
  setrlimit(RLIMIT_AS, &memory);
  alarm(300);
}

// There too: the judgement that fails.
int outcome(int mutant, const std::vector<std::vector<Row>>& rows) {
  mutation::active = mutant;
  for (size_t j = 0; j < judgements.size(); ++j)
    for (const Row& row : rows[j]) {
      if (!row.reached[mutant]) continue;
      int number = 0;
      sweep_takes = [&](const OpExamples&, const Example&) { return number++ == row.number; };
      if (!passes(judgements[j])) return static_cast<int>(j);
    }
  return survived;
}

std::vector<int> outcomes_of(int mutants, const std::vector<std::vector<Row>>& rows) {
  std::vector<int> found(mutants);
  std::map<pid_t, int> living;
  const auto wait_for_one = [&] {
    int status = 0;
    const pid_t process = wait(&status);
    found[living.at(process)] = WIFEXITED(status) ? WEXITSTATUS(status)
                                : WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGALRM ? no_end : crash;
    living.erase(process);
  };
  for (int mutant = 0; mutant < mutants; ++mutant) {
    if (living.size() >= std::max(1u, std::thread::hardware_concurrency())) wait_for_one();
    const pid_t process = fork();
    if (process < 0) throw std::runtime_error("fork fails");
    if (process == 0) {
      limit(mutant, rows);
      std::freopen("/dev/null", "w", stderr);   // the C library mourns broken heaps
      _exit(outcome(mutant, rows));
    }
    living[process] = mutant;
  }
  while (!living.empty()) wait_for_one();
  return found;
}

std::vector<Mutant> read_mutants(const char* file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(std::string(file) + " cannot be read");
  std::vector<Mutant> mutants;
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    Mutant& m = mutants.emplace_back();
    for (std::string* field : {&m.file, &m.function, &m.original, &m.mutated}) std::getline(fields, *field, '\t');
  }
  return mutants;
}

// Keys begin a line; their proofs are indented, and # begins a comment.
std::map<std::string, bool> read_equivalent(const char* file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(std::string(file) + " cannot be read");
  std::map<std::string, bool> keys;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != ' ' && line[0] != '#') keys[line] = false;
  return keys;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: mutation_run MUTANTS EQUIVALENT");
  const std::vector<Mutant> mutants = read_mutants(argv[1]);
  std::map<std::string, bool> equivalent = read_equivalent(argv[2]);   // and whether the mutant exists
  std::vector<int> reached(mutants.size() + 1);   // the last number is that of no mutant, which every row reaches
  mutation::reached = reached.data();
  Arena::of(Device::cpu).set_poison(true);
  set_threads(1);

  std::vector<std::vector<Row>> rows;
  for (const Judgement& judgement : judgements) rows.push_back(rows_of(judgement, reached));
  const std::vector<int> found = outcomes_of(static_cast<int>(mutants.size()) + 1, rows);
  if (found.back() != survived) throw std::runtime_error("without a mutant, but in a process of its own, a row fails");

  std::map<std::string, std::array<int, outcomes + 1>> table;   // the last column: equivalent
  int faults = 0;
  const auto fault = [&](const char* what, const std::string& key) {
    std::cout << what << "  " << key << '\n';
    ++faults;
  };
  for (size_t i = 0; i < mutants.size(); ++i) {
    const std::string key = mutants[i].key();
    const auto listed = equivalent.find(key);
    int column = found[i];
    if (listed != equivalent.end()) {
      listed->second = true;
      if (found[i] == survived) column = outcomes;
      else fault("noticed, but listed as equivalent:", key);
    } else if (found[i] == survived) {
      const bool ever = std::any_of(rows.begin(), rows.end(), [&](const std::vector<Row>& all) {
        return std::any_of(all.begin(), all.end(), [&](const Row& row) { return row.reached[i] != 0; });
      });
      fault(ever ? "survives:" : "survives, never evaluated:", key);
    }
    ++table[mutants[i].file][column];
    ++table["all"][column];
  }
  for (const auto& [key, exists] : equivalent)
    if (!exists) fault("listed as equivalent, but there is no such mutant:", key);

  std::printf("\n%-32s %7s", "", "mutants");
  for (const Judgement& judgement : judgements) std::printf(" %8s", judgement.name);
  std::printf(" %8s %8s %10s %9s\n", "crash", "no end", "equivalent", "survivors");
  const auto print = [&](const std::string& file) {
    const auto& count = table[file];
    std::printf("%-32s %7d", file.c_str(), std::accumulate(count.begin(), count.end(), 0));
    for (int column = 0; column < survived; ++column) std::printf(" %8d", count[column]);
    std::printf(" %10d %9d\n", count[outcomes], count[survived]);
  };
  for (const auto& [file, count] : table)
    if (file != "all") print(file);
  print("all");
  return faults > 0;
} catch (const std::exception& error) {
  std::cerr << "mutation_run: " << error.what() << '\n';
  return 1;
}

#include "tests/mutation/runner.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <thread>

#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS   // a handler may wait for ever on what the mutant broke
#include <doctest/doctest.h>

#include "tensor/arena.h"
#include "tensor/parallel.h"
#include "tests/mutation/mutant.h"

// The arena's blocks, which are never given back, end at a page that nobody may touch: what reads behind them crashes.
extern "C" void* aligned_alloc(size_t, size_t size) {
  const size_t page = sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
  void* const memory = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  mprotect(static_cast<char*>(memory) + room, page, PROT_NONE);
  return static_cast<char*>(memory) + room - size;
}

namespace tapir::mutation {
namespace {

constexpr int survived = 100, crash = 101, no_end = 102;   // else the number of the judgement that fails

double processor_time() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// In the process of a mutant: no core file, 8 GiB, five times the time that its rows take without it, and five minutes.
void limit(int mutant, const std::vector<Judgement>& judgements) {
  double needed = 0;
  for (const Judgement& judgement : judgements)
    for (const Row& row : judgement.rows) needed += row.reached[mutant] ? row.seconds : 0;
  const rlim_t seconds = 2 + static_cast<rlim_t>(5 * needed), bytes = rlim_t{8} << 30;
  const rlimit none{0, 0}, time{seconds, seconds + 1}, memory{bytes, bytes};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_CPU, &time);
  setrlimit(RLIMIT_AS, &memory);
  alarm(300);
}

// There too.
int outcome(int mutant, const std::vector<Judgement>& judgements) {
  active = mutant;
  for (size_t j = 0; j < judgements.size(); ++j)
    for (const Row& row : judgements[j].rows)
      if (row.reached[mutant] && !judgements[j].passes(row.number)) return static_cast<int>(j);
  return survived;
}

std::vector<int> outcomes_of(int mutants, const std::vector<Judgement>& judgements) {
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
      limit(mutant, judgements);
      std::freopen("/dev/null", "w", stderr);   // the C library mourns broken heaps
      _exit(outcome(mutant, judgements));
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

void print(const std::string& file, const std::map<int, int>& found, const Counts& counts, size_t judgements) {
  const auto column = [&](int outcome, int width) {
    const auto count = found.find(outcome);
    std::printf(" %*d", width, count == found.end() ? 0 : count->second);
  };
  std::printf("%-40s %7d", file.c_str(), counts.mutants);
  for (size_t j = 0; j < judgements; ++j) column(static_cast<int>(j), 8);
  column(crash, 8);
  column(no_end, 8);
  std::printf(" %10d %9d\n", counts.equivalent, counts.mutants - counts.noticed - counts.equivalent);
}

}  // namespace

bool passes(const std::string& cases, const std::string& files) {
  doctest::Context context;
  context.setOption("test-case", cases.c_str());
  if (!files.empty()) context.setOption("source-file", files.c_str());
  context.setOption("abort-after", 1);
  context.setOption("no-breaks", true);
  context.setOption("out", "/dev/null");
  return context.run() == 0;
}

Watch::Watch(std::vector<int>& reached) : reached_(reached), begin_(processor_time()) {
  std::fill(reached.begin(), reached.end(), 0);
}

Row Watch::row(int number) {
  reached_.back() = 1;
  Row result{number, processor_time() - begin_, reached_};
  std::fill(reached_.begin(), reached_.end(), 0);
  begin_ = processor_time();
  return result;
}

int run(const char* mutants_file, const char* equivalent_file,
        const std::function<std::vector<Judgement>(std::vector<int>& reached)>& make, std::map<std::string, Counts>& counts) {
  const std::vector<Mutant> mutants = read_mutants(mutants_file);
  std::map<std::string, bool> equivalent = read_equivalent(equivalent_file);   // and whether the mutant exists
  std::vector<int> reached_by(mutants.size() + 1);   // the last number is that of no mutant, which every row reaches
  reached = reached_by.data();
  Arena::of(Device::cpu).set_poison(true);
  set_threads(1);

  std::vector<Judgement> judgements = make(reached_by);
  for (Judgement& judgement : judgements)
    std::stable_sort(judgement.rows.begin(), judgement.rows.end(), [](const Row& a, const Row& b) { return a.seconds < b.seconds; });
  const std::vector<int> found = outcomes_of(static_cast<int>(mutants.size()) + 1, judgements);
  if (found.back() != survived) throw std::runtime_error("without a mutant, but in a process of its own, a row fails");

  std::map<std::string, std::map<int, int>> outcomes;
  int faults = 0;
  const auto fault = [&](const char* what, const std::string& key) {
    std::cout << what << "  " << key << '\n';
    ++faults;
  };
  for (size_t i = 0; i < mutants.size(); ++i) {
    const std::string key = mutants[i].key();
    const auto listed = equivalent.find(key);
    const bool lives = found[i] == survived, is_listed = listed != equivalent.end();
    if (is_listed) listed->second = true;
    if (is_listed && !lives) fault("noticed, but listed as equivalent:", key);
    if (lives && !is_listed) {
      const bool ever = std::any_of(judgements.begin(), judgements.end(), [&](const Judgement& judgement) {
        return std::any_of(judgement.rows.begin(), judgement.rows.end(), [&](const Row& row) { return row.reached[i] != 0; });
      });
      fault(ever ? "survives:" : "survives, never evaluated:", key);
    }
    for (const std::string& file : {mutants[i].file, std::string("all")}) {
      Counts& own = counts[file];
      ++own.mutants;
      own.noticed += !lives;
      own.equivalent += lives && is_listed;
      ++outcomes[file][found[i]];
    }
  }
  for (const auto& [key, exists] : equivalent)
    if (!exists) fault("listed as equivalent, but there is no such mutant:", key);

  std::printf("\n%-40s %7s", "", "mutants");
  for (const Judgement& judgement : judgements) std::printf(" %8s", judgement.name);
  std::printf(" %8s %8s %10s %9s\n", "crash", "no end", "equivalent", "survivors");
  for (const auto& [file, own] : counts)
    if (file != "all") print(file, outcomes[file], own, judgements.size());
  print("all", outcomes["all"], counts["all"], judgements.size());
  std::fflush(stdout);
  return faults;
}

}  // namespace tapir::mutation

// Trainings side by side: what stops them, and what they leave when the process that started them stops, fails or is killed.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>

#include "nn/files/folder_lock.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

// Steps that take longer than a parent needs to pass a signal on, and no checkpoint but the first and the last.
constexpr const char* slow = R"(
[task]
name = "copy"
size = 40
evaluated = 16
[model]
context = 128
width = 96
layers = 3
heads = 2
[attention]
mechanism = "dot_product"
[train]
steps = 100000
batch = 16
log_every = 1
evaluate_every = 0
save_every = 0
)";

bool comes(const std::function<bool()>& condition) {
  for (int tries = 0; tries < 6000 && !condition(); ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return condition();
}

// A comparison whose command leads a process group, as those of an interactive shell do.
struct Comparison {
  explicit Comparison(int seeds) : pid(::fork()) {
    if (pid == 0) {
      ::setpgid(0, 0);
      ::dup2(::open((folder.path() / "said").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
      ::dup2(::open("/dev/null", O_RDWR), 1);
      const std::string number = text(seeds);
      ::execl(TAPIR_PROGRAM, TAPIR_PROGRAM, "--threads", "1", "compare", experiment.c_str(), "--attention", "dot_product",
              "--seeds", number.c_str(), "--jobs", "2", "--out", out.c_str(), nullptr);
      ::_exit(127);
    }
    REQUIRE(pid > 0);
    for (int seed : {1, 2}) REQUIRE(comes([&] { return last_logged(seed) > 0; }));
  }
  ~Comparison() {   // a training that outlives a test that fails
    for (int seed : {1, 2})
      if (!has_ended(seed)) ::kill(process_of(seed), SIGKILL);
  }

  fs::path run(int seed) const { return out / "dot_product" / text("seed-", seed); }
  int64_t last_logged(int seed) const {
    const fs::path log = run(seed) / "metrics.jsonl";
    const std::vector<MetricsLine> lines = fs::exists(log) ? read_metrics(log) : std::vector<MetricsLine>{};
    return lines.empty() ? 0 : lines.back().step;
  }
  int64_t newest_checkpoint(int seed) const {
    std::vector<std::string> notes;
    const auto checkpoint = CheckpointFolder(run(seed) / "checkpoints").load_latest(notes);
    return checkpoint ? checkpoint->step : -1;
  }
  pid_t process_of(int seed) const {   // as its lock says: "process 4711 on heron since …"
    return static_cast<pid_t>(std::strtol(contents(run(seed) / lock_file).substr(8).c_str(), nullptr, 10));
  }
  bool has_ended(int seed) const { return contents(run(seed) / lock_file).empty(); }
  void check_saved(int seed) const {
    CHECK(newest_checkpoint(seed) > 0);
    CHECK(newest_checkpoint(seed) == last_logged(seed));
  }
  std::string said() const { return contents(folder.path() / "said"); }
  int status() const {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  TemporaryFolder folder;
  fs::path experiment = folder.write("slow.toml", slow), out = folder.path() / "out";
  const pid_t pid;
};

}  // namespace

TEST_CASE("a signal to all of a terminal's processes: every training finishes its step and saves it") {
  const Comparison comparison(2);
  ::kill(-comparison.pid, SIGINT);
  CHECK(comparison.status() == 128 + SIGINT);
  for (int seed : {1, 2}) {
    CHECK(comparison.has_ended(seed));
    comparison.check_saved(seed);
  }
}

TEST_CASE("kill -9 of a command with --jobs: its folder is free at once, its trainings save and end") {
  const Comparison comparison(2);
  ::kill(comparison.pid, SIGKILL);
  CHECK(comparison.status() == -SIGKILL);
  CHECK(message_of([&] { FolderLock lock(comparison.out); }) == "no error");
  for (int seed : {1, 2}) {
    REQUIRE(comes([&] { return comparison.has_ended(seed); }));
    comparison.check_saved(seed);
  }
}

TEST_CASE("threads are those of one run at a time") {
  for (const char* command : {"compare x --attention dot_product,linear --jobs 2", "trial x --jobs 2"})
    CHECK(refusal(command, "", "--threads 2") ==
          "tapir: --threads: with --jobs above 1 each run has one thread; hint: leave out one of them");
}

TEST_CASE("a command with --jobs that fails ends after its trainings, which have saved") {
  const Comparison comparison(3);
  fs::rename(comparison.out / "jobs.log", comparison.out / "before.log");
  fs::create_directory(comparison.out / "jobs.log");   // the third training has no place for what it says
  ::kill(comparison.process_of(2), SIGTERM);
  CHECK(comparison.status() == 1);
  CHECK(contains_text(comparison.said(), "jobs.log: opening failed: Is a directory"));
  CHECK(!fs::exists(comparison.run(3)));
  for (int seed : {1, 2}) {
    CHECK(comparison.has_ended(seed));
    comparison.check_saved(seed);
  }
}

}  // namespace tapir

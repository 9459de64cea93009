// One process at a time writes into a folder: what the lock says, whom it outlives, and pairs of processes that start at
// random moments on the same run.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include "attention/reproduce/program/folder_kind.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/files/atomic_file.h"
#include "nn/files/folder_lock.h"
#include "nn/train/trainer.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/length.h"
#include "tests/messages.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

pid_t in_child(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  return child;
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string host() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

struct Point : nn::Module {
  Point() : value(parameter("value", {3}, nn::ParameterKind::bias, nn::Init::constant(1))) { initialise(1, DType::f64); }
  nn::Parameter& value;
};

// What `tapir train` does with a folder, of a point on a parabola.
void train_point(const fs::path& folder, bool resume, int64_t stop_after = 0) {
  Point point;
  TrainTask task{point, {}, {}, "point"};
  task.loss = [&](int64_t step, int64_t, int64_t, const nn::Call&) {
    return LossSum{affine(sum(square(point.value.value)), 1 + 0.1 * static_cast<double>(step % 3), 0), 1, 1};
  };
  task.evaluate = [&](const nn::Call&) { return Metrics{{"validation_loss", sum(square(point.value.value)).item()}}; };
  TrainOptions options;
  options.steps = 24;
  options.log_every = 1;
  options.evaluate_every = 8;
  options.save_every = 3;
  const auto place = [&] { resume ? require_checkpoint(folder) : require_place_for_run(folder); };
  const auto begin = [&](int64_t) {
    place();
    if (!resume) write_atomically(folder / experiment_file, std::string_view("point"));
  };
  place();
  std::ostringstream out;
  train(task, options, {}, {}, 1, {.folder = folder, .resume = resume, .stop_after = stop_after, .out = out, .begin = begin});
}

constexpr int refused = 10, failed = 1;

pid_t start(const fs::path& folder, bool resume, unsigned microseconds, int64_t stop_after = 0) {
  return in_child([=] {
    file_calls().fsync = [](int) { return 0; };   // a process ends here, not a machine
    ::usleep(microseconds);
    try {
      train_point(folder, resume, stop_after);
    } catch (const Error& error) {
      const std::string message = error.what();
      const bool told = message.find("is being written by process ") != message.npos ||
                        message.find("has a run already") != message.npos ||
                        message.find("has no checkpoint") != message.npos || message.find("is no run") != message.npos;
      if (!told) static_cast<void>(::write(2, (message + '\n').data(), message.size() + 1));
      ::_exit(told ? refused : failed);
    }
  });
}

}  // namespace

TEST_CASE("a folder that a process writes is refused to others, by name, until that process ends") {
  const TemporaryFolder place;
  const fs::path folder = place.path() / "a" / "b";
  {
    const FolderLock lock(folder);
    const std::string message = message_of([&] { FolderLock second(folder); });
    CHECK(message.starts_with(folder.string() + ": is being written by process " + std::to_string(::getpid()) + " on " +
                              host() + " since 20"));
    CHECK(message.ends_with(" UTC; hint: wait for its end, or end it; then this command can go on"));
    CHECK(status_of(in_child([&] { ::_exit(message_of([&] { FolderLock other(folder); }) == message ? 7 : 1); })) == 7);
  }
  CHECK(contents(folder / "lock").empty());
  CHECK(message_of([&] { FolderLock again(folder); }) == "no error");
}

TEST_CASE("a holder that died does not block, whatever its file says; one on another host does until its file is gone") {
  const TemporaryFolder place;
  const fs::path folder = place.path(), file = folder / "lock";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = in_child([&] {
    const FolderLock lock(folder);
    static_cast<void>(::write(ready[1], "x", 1));
    ::pause();
  });
  char byte;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(contains_text(message_of([&] { FolderLock lock(folder); }), text("is being written by process ", child, " on ")));
  ::kill(child, SIGKILL);
  CHECK(status_of(child) == -SIGKILL);
  CHECK(contains_text(contents(file), text("process ", child, " on ")));
  CHECK(message_of([&] { FolderLock lock(folder); }) == "no error");

  for (const std::string& line : {std::string("process 12 on "), std::string(3, '\0'), "since on " + std::string(600, 'x')}) {
    std::ofstream(file) << line;
    CHECK(message_of([&] { FolderLock lock(folder); }) == "no error");
    CHECK(contents(file).empty());
  }
  std::ofstream(file) << "process 12 on far.away since 2024-06-07 12:00:00 UTC\n";
  const std::string message = folder.string() +
                              ": is being written by process 12 on far.away since 2024-06-07 12:00:00 UTC; hint: locks may not "
                              "reach that far: make sure that the process has ended, and remove " + file.string();
  for (int twice = 0; twice < 2; ++twice) CHECK(message_of([&] { FolderLock lock(folder); }) == message);
  fs::remove(file);
  CHECK(message_of([&] { FolderLock lock(folder); }) == "no error");
}

TEST_CASE("a program that the holder executes does not hold the lock") {
  const TemporaryFolder folder;
  pid_t sleeper;
  {
    const FolderLock lock(folder.path());
    sleeper = in_child([] { ::execlp("sleep", "sleep", "60", nullptr); });
    ::usleep(50'000);
  }
  CHECK(message_of([&] { FolderLock lock(folder.path()); }) == "no error");
  ::kill(sleeper, SIGKILL);
  status_of(sleeper);
}

TEST_CASE("a lock that cannot be written or opened is an error that names it") {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "lock").string();
  file_calls().write = [](int, const void*, size_t) -> ssize_t { return errno = ENOSPC, -1; };
  CHECK(contains_text(message_of([&] { FolderLock lock(folder.path()); }), file + ": writing failed: No space left on device"));
  file_calls() = FileCalls{};
  file_calls().fsync = [](int) { return errno = EIO, -1; };
  CHECK(message_of([&] { FolderLock lock(folder.path()); }) == file + ": writing failed: Input/output error");
  file_calls() = FileCalls{};
  CHECK(message_of([&] { FolderLock lock(folder.path()); }) == "no error");
  fs::remove(file);
  fs::create_directory(file);
  CHECK(message_of([&] { FolderLock lock(folder.path()); }) == file + ": opening failed: Is a directory");
}

TEST_CASE("pairs of processes on one run: one at a time, and the run is that of one alone") {
  const OnDevice cpu(Device::cpu);   // a child of fork() has no device
  const TemporaryFolder place;
  const fs::path whole = place.path() / "whole";
  REQUIRE(status_of(start(whole, false, 0)) == 0);
  std::mt19937 random(20240607);
  const auto moment = [&](unsigned most) { return std::uniform_int_distribution<unsigned>(0, most)(random); };
  const fs::path run = place.path() / "run";
  int refusals = 0, kills = 0;
  for (int64_t k = 0; k < cases(40, 1000); ++k) {
    CAPTURE(k);
    const unsigned most = 12'000;   // microseconds: about as long as a run
    int first = 0, second = 0;
    switch (k % 4) {
      case 0: {   // both new: one wins
        const pid_t a = start(run, false, moment(most)), b = start(run, false, moment(most));
        first = status_of(a), second = status_of(b);
        CHECK(std::min(first, second) == 0);
        CHECK(std::max(first, second) == refused);
        break;
      }
      case 1: {
        const pid_t a = start(run, false, moment(most)), b = start(run, true, moment(most));
        first = status_of(a), second = status_of(b);
        CHECK(first == 0);
        CHECK((second == 0 || second == refused));
        break;
      }
      case 2: {   // one that was stopped
        REQUIRE(status_of(start(run, false, 0, 7)) == 0);
        const pid_t a = start(run, true, moment(most)), b = start(run, true, moment(most));
        first = status_of(a), second = status_of(b);
        CHECK(std::min(first, second) == 0);
        CHECK((std::max(first, second) == 0 || std::max(first, second) == refused));
        break;
      }
      case 3: {   // one is killed, and the next goes on, or begins where there is nothing to go on with
        const pid_t a = start(run, false, 0);
        ::usleep(moment(most));
        ::kill(a, SIGKILL);
        kills += status_of(a) == -SIGKILL;
        first = status_of(start(run, kind_of(run) == FolderKind::run, 0));
        CHECK(first == 0);
        break;
      }
    }
    refusals += (first == refused) + (second == refused);
    for (const char* file : {"metrics.jsonl", "model.safetensors"}) CHECK(contents(run / file) == contents(whole / file));
    fs::remove_all(run);
  }
  CHECK(refusals > 0);
  CHECK(kills > 0);
}

}  // namespace tapir

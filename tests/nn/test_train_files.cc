// Files of a training run, its progress lines, and the signals that stop it.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "nn/files/atomic_file.h"
#include "nn/train/metrics.h"
#include "nn/train/progress.h"
#include "nn/train/signals.h"
#include "tests/datasets/datasets_helpers.h"

namespace tapir {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

size_t files_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

// Runs `body` in a process of its own and returns what waitpid(2) says of it. `body` must not use several threads.
template <class Body>
int status_of_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("an atomic file replaces the old one as a whole") {
  const TemporaryFolder folder;
  const auto path = folder.write("data", "old");
  {
    AtomicFile file(path);
    file.write(std::string(100'000, 'n'));
    file.write("ew");
    CHECK(contents(path) == "old");
    file.commit();
    CHECK(contents(path) == std::string(100'000, 'n') + "ew");
  }
  {
    AtomicFile abandoned(path);
    abandoned.write("never");
    CHECK(files_in(folder.path()) == 2);
  }
  CHECK(contents(path).size() == 100'002);
  CHECK(files_in(folder.path()) == 1);
  folder.write("data.tmp0", "left by a killed process");
  write_atomically(path, std::string_view("next"));
  CHECK(contents(path) == "next");
  CHECK(contents(folder.path() / "data.tmp0") == "left by a killed process");
}

TEST_CASE("short and interrupted writes are continued") {
  static int call;
  call = 0;
  file_calls().write = [](int descriptor, const void* bytes, size_t size) -> ssize_t {
    errno = EINTR;
    return ++call % 2 ? -1 : ::write(descriptor, bytes, std::min<size_t>(size, 7));
  };
  file_calls().fsync = [](int descriptor) {
    errno = EINTR;
    return ++call % 2 ? -1 : ::fsync(descriptor);
  };
  const TemporaryFolder folder;
  write_atomically(folder.path() / "data", std::string_view("twenty-nine bytes, seven each"));
  file_calls() = FileCalls{};
  CHECK(contents(folder.path() / "data") == "twenty-nine bytes, seven each");
}

TEST_CASE("a failure names file, step, bytes and reason, and leaves the old file alone") {
  const TemporaryFolder folder;
  const auto path = folder.write("data", "old");
  const auto failure = [&] {
    const std::string error = error_of([&] { write_atomically(path, std::string_view("new contents")); });
    file_calls() = FileCalls{};
    CHECK(contents(path) == "old");
    CHECK(files_in(folder.path()) == 1);
    return error.substr(path.string().size());
  };
  file_calls().write = [](int descriptor, const void* bytes, size_t size) -> ssize_t {
    errno = ENOSPC;
    return size > 4 ? ::write(descriptor, bytes, size - 4) : -1;
  };
  CHECK(failure() == ": write after 8 bytes failed: No space left on device; hint: free disk space or choose another "
                     "folder; what was saved before is untouched");
  file_calls().fsync = [](int) { return errno = EIO, -1; };
  CHECK(failure() == ": fsync after 12 bytes failed: Input/output error");
  file_calls().rename = [](const char*, const char*) { return errno = EACCES, -1; };
  CHECK(failure() == ": rename after 12 bytes failed: Permission denied; hint: choose a folder that you may write to");

  const auto nowhere = folder.path() / "missing" / "data";
  CHECK(error_of([&] { write_atomically(nowhere, std::string_view("x")); }) ==
        nowhere.string() + ": creating a temporary file beside it failed: No such file or directory");
  CHECK(error_of([&] { create_folders(path / "below"); }) ==
        path.string() + ": creating the folder failed: File exists");
}

TEST_CASE("only fsync of the folder fails: the new file is there, and an Error says that it may not survive") {
  const TemporaryFolder folder;
  const auto path = folder.write("data", "old");
  static int calls;
  calls = 0;
  file_calls().fsync = [](int descriptor) { return ++calls == 2 ? (errno = EIO, -1) : ::fsync(descriptor); };
  CHECK(error_of([&] { write_atomically(path, std::string_view("new")); }) ==
        folder.path().string() + ": fsync of the folder failed: Input/output error");
  CHECK(contents(path) == "new");
  calls = 0;
  file_calls().fsync = [](int descriptor) { return ++calls == 2 ? (errno = EINVAL, -1) : ::fsync(descriptor); };
  CHECK(error_of([&] { write_atomically(path, std::string_view("newer")); }).empty());   // such file systems exist
  file_calls() = FileCalls{};
}

TEST_CASE("a real limit on the file's size, met in the middle of a write") {
  const TemporaryFolder folder;
  const auto path = folder.write("data", "old");
  const int status = status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10'000, 10'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string error = error_of([&] { write_atomically(path, std::string(50'000, 'x')); });
    const bool told = error == path.string() + ": write after 10000 bytes failed: File too large; hint: raise the file "
                                               "size limit (ulimit -f); what was saved before is untouched";
    ::_exit(told ? 7 : 1);
  });
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(contents(path) == "old");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("folders are created with those above them") {
  const TemporaryFolder folder;
  create_folders(folder.path() / "a" / "b" / "c");
  create_folders(folder.path() / "a" / "b" / "c");
  CHECK(std::filesystem::is_directory(folder.path() / "a" / "b" / "c"));
}

TEST_CASE("metrics are read back exactly") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<std::string, MetricValue>> values = {
      {"third", 1.0 / 3}, {"whole", 2.0},       {"tiny", 5e-324},       {"large", -1.7976931348623157e308},
      {"count", int64_t{9223372036854775807}},  {"note", "a \"b\"\n√"}, {"infinite", infinity},
      {"lowest", -infinity}};
  MetricsLog log(path);
  log.append({1, values});
  log.append({2, {{"loss", std::nan("")}}});
  log.save();
  const auto lines = read_metrics(path);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].step == 1);
  CHECK(lines[0].values == values);
  CHECK(lines[0].number("count") == 9223372036854775807.0);
  CHECK(std::isnan(lines[1].number("loss")));
  CHECK(contents(path).ends_with("\n{\"step\":2,\"loss\":\"nan\"}\n"));
  CHECK(error_of([&] { lines[0].number("note"); }) == "metrics: \"note\" of step 1 is text, not a number");
  CHECK(error_of([&] { lines[1].number("rate"); }) == "metrics: step 2 has no \"rate\"");
  CHECK(error_of([&] { log.append({3, {{"a", 1.0}, {"a", 2.0}}}); }) == path.string() + ": \"a\" is given twice in step 3");
  CHECK(error_of([&] { log.append({3, {{"step", 1.0}}}); }) == path.string() + ": \"step\" is given twice in step 3");
}

TEST_CASE("a resumed log equals that of an uninterrupted run") {
  const TemporaryFolder folder;
  const auto line = [](int64_t step) { return MetricsLine{step, {{"loss", std::sqrt(static_cast<double>(step))}}}; };
  const auto whole = folder.path() / "whole.jsonl", cut = folder.path() / "cut.jsonl";
  {
    MetricsLog log(whole);
    for (int64_t step = 1; step <= 20; ++step) log.append(line(step));
  }
  const std::string expected = contents(whole);
  for (size_t bytes = 0; bytes < expected.size(); bytes += 17) {   // whatever the killed run had written after step 5
    folder.write("cut.jsonl", expected.substr(0, bytes));
    const auto logged = std::count(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(bytes), '\n');
    const int64_t resumed = std::min<int64_t>(logged, 5);
    CHECK(rewind_metrics(cut, resumed) == resumed);
    MetricsLog log(cut);
    for (int64_t step = resumed + 1; step <= 20; ++step) log.append(line(step));
    CHECK(contents(cut) == expected);
  }
  CHECK(rewind_metrics(cut, std::numeric_limits<int64_t>::max()) == 20);
  CHECK(contents(cut) == expected);
  CHECK(rewind_metrics(folder.path() / "none.jsonl", 3) == 0);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "none.jsonl"));
}

TEST_CASE("a malformed log gets an error with its line number") {
  const TemporaryFolder folder;
  const std::string good = "{\"step\":1,\"loss\":2.5}\n";
  const struct {
    std::string bytes, message;
  } cases[] = {
      {good + "{\"step\":2,\n", ":2: is not a line of metrics: "},
      {good + "\n" + good, ":2: is not a line of metrics: "},
      {good + "[]\n", ":2: expected an object that starts with an integer \"step\""},
      {good + "{}\n", ":2: expected an object that starts with an integer \"step\""},
      {"{\"loss\":1,\"step\":1}\n", ":1: expected an object that starts with an integer \"step\""},
      {"{\"step\":1.5}\n", ":1: expected an object that starts with an integer \"step\""},
      {"{\"step\":18446744073709551615}\n", ":1: \"step\" must be a whole number below 2^63, found 18446744073709551615"},
      {good + std::string(70'000, ' ') + "\n", ":2: expected at most 65536 bytes, found 70000"},
      {"{\"step\":1,\"loss\":null}\n", ":1: is not a line of metrics: "},
      {"{\"step\":1,\"loss\":[1]}\n", ":1: is not a line of metrics: "},
  };
  for (const auto& [bytes, message] : cases) {
    const auto path = folder.write("metrics.jsonl", bytes);
    const std::string error = error_of([&] { read_metrics(path); });
    CAPTURE(error);
    CHECK(error.starts_with(path.string() + message));
    CHECK(error.find('\n') == error.npos);
  }
  CHECK(read_metrics(folder.write("metrics.jsonl", good + "{\"step\":2,")).size() == 1);   // a process is writing, or was killed
  const auto path = folder.write("metrics.jsonl", "{\n" + good);
  CHECK(error_of([&] { rewind_metrics(path, 1); }).starts_with(path.string() + ":1: is not a line of metrics: "));
}

TEST_CASE("a full disk under the log") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  MetricsLog log(path);
  file_calls().write = [](int, const void*, size_t) -> ssize_t { return errno = ENOSPC, -1; };
  CHECK(error_of([&] { log.append({4, {}}); })
            .starts_with(path.string() + ": write of step 4 failed: No space left on device; hint: "));
  file_calls().fsync = [](int) { return errno = EIO, -1; };
  CHECK(error_of([&] { log.save(); }) == path.string() + ": fsync failed: Input/output error");
  file_calls() = FileCalls{};
}

TEST_CASE("progress in a file: plain lines, one every ten seconds, and the last") {
  std::ostringstream out;
  double now = 100;
  {
    Progress progress(out, false, 1000, "token", [&] { return now; });
    for (int64_t step = 976; step <= 1000; ++step) {   // a resumed run: 25 steps of 2 seconds
      now += 2;
      progress.update(step, 6.12345, 64);
    }
    progress.message("validation: 5.5");
  }
  CHECK(out.str() ==
        "step 976/1000  loss 6.1235  32 tokens/s  48 s left\n"
        "step 981/1000  loss 6.1235  32 tokens/s  38 s left\n"
        "step 986/1000  loss 6.1235  32 tokens/s  28 s left\n"
        "step 991/1000  loss 6.1235  32 tokens/s  18 s left\n"
        "step 996/1000  loss 6.1235  32 tokens/s  8 s left\n"
        "step 1000/1000  loss 6.1235  32 tokens/s  took 50 s\n"
        "validation: 5.5\n");
}

TEST_CASE("progress on a terminal: one line, rewritten") {
  std::ostringstream out;
  double now = 0;
  {
    Progress progress(out, true, 100'000, "token", [&] { return now; });
    now = 4;
    progress.update(1, std::nan(""), 4000);
    progress.update(2, 7, 0);   // too soon to be shown
    progress.message("step 2: saved");
    now = 8;
    progress.update(99'900, 7, 0);
    now = 12;
    progress.update(99'999, 0.5, 0);
  }
  CHECK(out.str() ==
        "\rstep 1/100000  loss nan  1000 tokens/s  111 h 06 min left\n"
        "step 2: saved\n"
        "\rstep 99900/100000  loss 7.0000  500 tokens/s  4 min 27 s left"
        "\rstep 99999/100000  loss 0.5000  333 tokens/s  3 s left       \n");
  const double before = steady_seconds();
  CHECK(steady_seconds() >= before);
}

TEST_CASE("the first signal is noted, and the old handlers come back") {
  static int caught;
  caught = 0;
  const auto before = ::signal(SIGTERM, [](int number) { caught = number; });
  {
    const StopSignals stop;
    CHECK(stop.stop_requested() == 0);
    ::raise(SIGTERM);
    CHECK(stop.stop_requested() == SIGTERM);
  }
  CHECK(caught == 0);
  ::raise(SIGTERM);
  CHECK(caught == SIGTERM);
  {
    const StopSignals stop;
    CHECK(stop.stop_requested() == 0);
    ::raise(SIGINT);
    CHECK(stop.stop_requested() == SIGINT);
  }
  ::signal(SIGTERM, before);
}

TEST_CASE("a second signal exits at once with 128 + signal") {
  const auto twice = [](int first, int second) {
    return status_of_child([=] {
      const StopSignals stop;
      ::raise(first);
      if (stop.stop_requested() == first) ::raise(second);
      ::_exit(1);
    });
  };
  CHECK(WEXITSTATUS(twice(SIGINT, SIGINT)) == 130);
  CHECK(WEXITSTATUS(twice(SIGINT, SIGTERM)) == 143);
  CHECK(WEXITSTATUS(twice(SIGHUP, SIGTERM)) == 143);
}

TEST_CASE("a second SIGHUP, as a closed terminal sends it, changes nothing; one that is ignored stays so") {
  const auto exit_after = [](const auto& body) { return WEXITSTATUS(status_of_child(body)); };
  CHECK(exit_after([] {
          ::signal(SIGHUP, SIG_DFL);
          const StopSignals stop;
          ::raise(SIGHUP);
          ::raise(SIGHUP);
          ::_exit(stop.stop_requested() == SIGHUP ? 7 : 1);
        }) == 7);
  CHECK(exit_after([] {
          ::signal(SIGHUP, SIG_IGN);
          const StopSignals stop;
          ::raise(SIGHUP);
          ::_exit(stop.stop_requested() == 0 ? 7 : 1);
        }) == 7);
}

}  // namespace tapir

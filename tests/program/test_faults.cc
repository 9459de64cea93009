// Runs of the program that are killed, or whose disk fails, at any moment: every state that is left can be read, no committed
// checkpoint is lost, and whoever goes on comes to the bits of the run that nothing disturbed.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/run_folder.h"
#include "datasets/text/tokenizer.h"
#include "nn/train/checkpoint.h"
#include "nn/train/weights.h"
#include "tests/length.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using testing::contents;
using testing::in_quotes;
using testing::Outcome;
using testing::TemporaryFolder;

constexpr const char* tiny = R"(
[data]
kind = "generated"
train_tokens = 400
valid_tokens = 60
test_tokens = 60
[model]
context = 8
width = 8
layers = 1
heads = 2
[attention]
mechanism = "dot_product"
[train]
batch = 2
log_every = 1
save_every = 1
)";

// One experiment of so many steps, and what its runs come to where nothing disturbs them.
struct Place {
  explicit Place(int steps) : experiment(folder.write("tiny.toml", text(tiny, "steps = ", steps, "\n"))) {
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = testing::tapir(train(folder.path() / "undisturbed"));
    duration = std::chrono::steady_clock::now() - start;
    CHECK(outcome.status == 0);
    bits = bits_of(folder.path() / "undisturbed");
  }

  std::string train(const fs::path& run) const { return "train " + in_quotes(experiment) + " --out " + in_quotes(run); }

  // What a user does next.
  std::string go_on(const fs::path& run) const {
    std::vector<std::string> notes;
    return CheckpointFolder(run / "checkpoints").load_latest(notes) ? "train --resume " + in_quotes(run) : train(run);
  }

  static std::string bits_of(const fs::path& run) {
    return contents(run / "model.safetensors") + contents(run / "metrics.jsonl");
  }

  TemporaryFolder folder;
  fs::path experiment;
  std::chrono::duration<double> duration;
  std::string bits;
};

// Starts the program in a process of its own.
pid_t start(const std::string& arguments) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int nothing = ::open("/dev/null", O_RDWR);
    for (const int stream : {0, 1, 2}) ::dup2(nothing, stream);
    ::execl("/bin/sh", "sh", "-c", ("exec '" TAPIR_PROGRAM "' --threads 1 " + arguments).c_str(), nullptr);
    ::_exit(127);
  }
  REQUIRE(child > 0);
  return child;
}

int64_t last_logged_step(const fs::path& run) {
  if (!fs::exists(run / "metrics.jsonl")) return 0;
  const std::vector<MetricsLine> lines = read_metrics(run / "metrics.jsonl");
  return lines.empty() ? 0 : lines.back().step;
}

// The step of the newest checkpoint, −1 where there is none. Throws Error for what cannot be read.
int64_t read_everything(const fs::path& run) {
  std::vector<std::string> notes;
  const CheckpointFolder checkpoints(run / "checkpoints");
  const auto latest = checkpoints.load_latest(notes);
  checkpoints.load_best(notes);
  for (const std::string& note : notes)   // the very first manifest may not be there yet
    require(contains_text(note, "manifest.json: is missing"), run.string(), [&] { return note; });
  if (fs::exists(run / experiment_file)) read_run(run);
  if (fs::exists(run / "tokenizer.json")) load_tokenizer(run / "tokenizer.json");
  if (fs::exists(run / "model.safetensors")) load_safetensors(run / "model.safetensors");
  if (latest) read_record(run);
  return latest ? latest->step : -1;
}

}  // namespace

TEST_CASE("kill -9 at random moments of a run: every state is readable and no committed checkpoint is lost") {
  const Place place(12);
  const auto kills = cases(20, 1000);
  int64_t killed = 0, unreadable = 0, lost = 0, ends = 0, other_bits = 0;
  std::mt19937 random(std::random_device{}());
  while (killed < kills) {
    const fs::path run = place.folder.path() / text("run-", ends);
    for (int64_t committed = -1, killed_before = killed;;) {
      const pid_t child = start(place.go_on(run));
      std::this_thread::sleep_for(std::uniform_real_distribution(0.0, 1.0)(random) * place.duration);
      ::kill(child, SIGKILL);
      int status = 0;
      ::waitpid(child, &status, 0);
      if (!WIFSIGNALED(status)) {
        CHECK(WEXITSTATUS(status) == 0);
        other_bits += Place::bits_of(run) != place.bits;
        break;
      }
      ++killed;
      try {
        const int64_t latest = read_everything(run);
        committed = std::max(committed, last_logged_step(run) - 1);   // saved before the next step was logged
        lost += latest < committed;
        committed = latest;
      } catch (const Error& error) {
        ++unreadable;
        MESSAGE(error.what());
      }
      REQUIRE(killed - killed_before < 200);   // it gets on
    }
    fs::remove_all(run);
    ++ends;
  }
  std::printf("%lld kills: %lld states unreadable, %lld checkpoints lost; %lld runs came to their end, %lld with other bits\n",
              static_cast<long long>(killed), static_cast<long long>(unreadable), static_cast<long long>(lost),
              static_cast<long long>(ends), static_cast<long long>(other_bits));
  CHECK(unreadable == 0);
  CHECK(lost == 0);
  CHECK(other_bits == 0);
}

namespace {

constexpr int half_a_write = 0;

struct Call {
  std::string name, path;   // in capitals where it changes a file
  bool is_needed() const { return name[0] < 'a' && !path.ends_with("/lock"); }   // what is in a lock only informs
};

// What a command does to a folder, and how it is done again.
struct Job {
  fs::path folder;
  std::function<void()> prepare;
  std::string command;
  std::function<std::string()> later;   // command after a failure
  std::function<void()> check;          // of the end
};

class Faults {
 public:
  // Every call of the job fails once, or one of `few` where this test is short.
  void make_fail(const Job& job, int64_t few) {
    const std::vector<Call> calls = calls_of(job);
    CHECK(calls.size() > 5);
    std::map<std::string, int64_t> seen;   // of a call on a file: there are many writes of tensors
    for (size_t index = 0; index < calls.size(); ++index) {
      const Call& call = calls[index];
      const int64_t before = seen[call.name + call.path.substr(0, call.path.find(".tmp"))]++;
      if (before >= cases(1, 1 << 20) || static_cast<int64_t>(index) % cases(few, 1) != 0) continue;
      for (const int error : {ENOSPC, EIO, half_a_write})
        if (error != half_a_write || call.name == "WRITE") make_fail(job, call, index, error);
    }
  }

  ~Faults() {
    std::printf("%lld calls failed: %lld times the command was refused with file and reason, %lld times nothing was lost\n",
                static_cast<long long>(tried_), static_cast<long long>(refused_), static_cast<long long>(tried_ - refused_));
  }

 private:
  static std::string preload(const Job& job, const std::string& settings) {
    return text("FAULT_FOLDER=", in_quotes(job.folder), ' ', settings, " LD_PRELOAD='" FAULT_CALLS "'");
  }

  static std::vector<Call> calls_of(const Job& job) {
    const TemporaryFolder folder;
    const fs::path log = folder.path() / "calls";
    job.prepare();
    REQUIRE(testing::tapir(job.command, preload(job, "FAULT_LOG=" + in_quotes(log))).status == 0);
    std::vector<Call> calls;
    std::istringstream lines(contents(log));
    for (Call call; lines >> call.name >> call.path;) calls.push_back(call);
    return calls;
  }

  void make_fail(const Job& job, const Call& call, size_t index, int error) {
    INFO(text(call.name, ' ', call.path, ", call ", index, ", ", error ? std::strerror(error) : "half of the bytes"));
    job.prepare();
    const Outcome outcome = testing::tapir(job.command, preload(job, text("FAULT_CALL=", index, " FAULT_ERROR=", error)));
    INFO(outcome.err);
    ++tried_;
    if (outcome.status == 0) {   // half a write is completed, and not every file that is read is needed
      CHECK((error == half_a_write || !call.is_needed()));
    } else {
      CHECK(outcome.status == 1);
      CHECK(contains_text(outcome.err, job.folder.string()));
      CHECK(contains_text(outcome.err, std::strerror(error)));
      ++refused_;
      const Outcome later = testing::tapir(job.later());
      INFO(later.err);
      CHECK(later.status == 0);
    }
    job.check();
  }

  int64_t tried_ = 0, refused_ = 0;
};

}  // namespace

TEST_CASE("every call on a file of a run fails once: the message names file and reason, and the run goes on to the same bits") {
  const Place place(2);
  const fs::path run = place.folder.path() / "run", begun = place.folder.path() / "begun";
  REQUIRE(testing::tapir(place.train(begun) + " --stop-after 1").status == 0);
  Job job{.folder = run,
          .prepare = [&] { fs::remove_all(run); },
          .command = place.train(run),
          .later = [&] { return place.go_on(run); },
          .check = [&] { CHECK((Place::bits_of(run) == place.bits)); }};
  Faults faults;
  faults.make_fail(job, 4);
  job.prepare = [&] {
    fs::remove_all(run);
    fs::copy(begun, run, fs::copy_options::recursive);
  };
  job.command = "train --resume " + in_quotes(run);
  faults.make_fail(job, 4);
}

TEST_CASE("every call on a file of a comparison or a report fails once: the same command succeeds later") {
  const Place place(1);
  const fs::path out = place.folder.path() / "out", page = out / "report.html";
  Faults faults;
  const auto make_fail = [&](const std::string& command, const fs::path& file, int64_t few) {
    faults.make_fail({.folder = out,
                      .prepare = [&] { fs::remove_all(out), fs::create_directory(out); },
                      .command = command,
                      .later = [&] { return command; },
                      .check = [&] { CHECK(fs::file_size(file) > 0); }},
                     few);
  };
  make_fail("report " + in_quotes(place.folder.path() / "undisturbed") + " --out " + in_quotes(page), page, 2);
  make_fail("compare " + in_quotes(place.experiment) + " --attention dot_product,score_mlp --seeds 1 --out " + in_quotes(out),
            out / comparison_file, 16);
}

}  // namespace tapir

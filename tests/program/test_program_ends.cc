// Runs of the program that end too early: full disks, kills, signals.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

// The process of a training run that goes on beside the test.
class Training {
 public:
  explicit Training(const std::vector<std::string>& arguments) {
    std::vector<std::string> words{TAPIR_PROGRAM, "--threads", "1", "train"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> list;
    for (std::string& word : words) list.push_back(word.data());
    list.push_back(nullptr);
    process_ = ::fork();
    if (process_ == 0) {
      const int nowhere = ::open("/dev/null", O_RDWR);
      for (const int descriptor : {0, 1, 2}) ::dup2(nowhere, descriptor);
      ::signal(SIGHUP, SIG_DFL);   // which nohup, around the tests, would have it ignore
      ::execv(list[0], list.data());
      ::_exit(127);
    }
  }
  ~Training() { end_with(SIGKILL); }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  // Waits until the file exists or the process has ended.
  void wait_for(const fs::path& file) {
    while (!ended_ && !fs::exists(file)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ended_ = ::waitpid(process_, &status_, WNOHANG) == process_;
    }
  }

  // Sends the signal unless the process has ended. Returns its exit status, or −signal if it ended by one.
  int end_with(int signal) {
    if (!ended_) {
      ::kill(process_, signal);
      ::waitpid(process_, &status_, 0);
      ended_ = true;
    }
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  }

 private:
  pid_t process_ = 0;
  int status_ = 0;
  bool ended_ = false;
};

}  // namespace

TEST_CASE("a disk that is full while saving is one line; the last checkpoint stays, and the run goes on later") {
  const fs::path run = trained().folder.path() / "full";
  CHECK(tapir(train_line("--stop-after 12 --out " + in_quotes(run))).status == 0);
  const Outcome full = tapir("train --resume " + in_quotes(run), "ulimit -f 100;");
  CHECK(full.status == 1);
  CHECK(contains_text(full.err, ".safetensors: write after "));
  CHECK(contains_text(full.err, " bytes failed: File too large; hint: "));
  CHECK(tapir("eval " + in_quotes(run)).status == 0);
  const Outcome resumed = tapir("train --resume " + in_quotes(run));
  CHECK(contains_text(resumed.err, "resumed after step 12\n"));
  CHECK(digest_in(resumed.out) == digest_in(trained().outcome.out));
  CHECK(contents(run / "metrics.jsonl") == contents(trained().run / "metrics.jsonl"));
}

TEST_CASE("a run that is killed at any moment goes on to the weights of one that was not") {
  const fs::path folder = trained().folder.path(), run = folder / "killed", whole = folder / "whole";
  const std::string longer = "--set train.steps=400 --set train.save_every=10 --out ";
  const Outcome uncut = tapir(train_line(longer + in_quotes(whole)));
  std::mt19937 random(20240607);
  std::vector<std::string> arguments{trained().experiment.string(), "--set", "train.steps=400", "--set",
                                     "train.save_every=10",         "--out", run.string()};
  int kills = 0;
  for (int k = 0; k < 8; ++k) {
    Training training(arguments);
    training.wait_for(run / "checkpoints" / "manifest.json");
    if (k > 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 120));
    kills += training.end_with(SIGKILL) == -SIGKILL;
    arguments = {"--resume", run.string()};
  }
  CHECK(kills > 0);
  const Outcome resumed = tapir("train --resume " + in_quotes(run));
  CHECK(resumed.status == 0);
  CHECK(digest_in(resumed.out) == digest_in(uncut.out));
  CHECK(contents(run / "metrics.jsonl") == contents(whole / "metrics.jsonl"));
  CHECK(contents(run / "model.safetensors") == contents(whole / "model.safetensors"));
}

TEST_CASE("SIGINT, SIGTERM and SIGHUP save, exit with 128 and their number, and the run goes on as if nothing had been") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const fs::path run = trained().folder.path() / text("signal", signal);
    Training training({trained().experiment.string(), "--set", "train.steps=100000", "--out", run.string()});
    training.wait_for(run / "checkpoints" / "manifest.json");
    CHECK(training.end_with(signal) == 128 + signal);
    const Outcome next = tapir("train --resume " + in_quotes(run) + " --stop-after 1");  // that step is done already
    CHECK(next.status == 0);
    const int64_t stopped = std::stoll(next.out);
    CHECK(stopped >= 1);
    CHECK(contains_text(next.out, "stopped; go on with: tapir train --resume "));
    const std::string steps = " --stop-after " + std::to_string(stopped + 5);
    const Outcome resumed = tapir("train --resume " + in_quotes(run) + steps);
    const fs::path whole = run.string() + "-whole";
    const Outcome uncut = tapir(train_line("--set train.steps=100000 --out " + in_quotes(whole) + steps));
    CHECK(digest_in(resumed.out) == digest_in(uncut.out));
    CHECK(contents(run / "metrics.jsonl") == contents(whole / "metrics.jsonl"));
  }
}

TEST_CASE("nobody need read standard error: a training goes on to the same end") {
  for (const std::string place : {"2>&-", "2>/dev/full", "2>&3", "2>&- <&-"}) {
    CAPTURE(place);
    const TemporaryFolder folder;
    const fs::path run = folder.path() / "run", out = folder.path() / "out";
    const std::string pipe = "pipe='" + (folder.path() / "pipe").string() + "'; mkfifo \"$pipe\"; " +
                             "(exec <\"$pipe\"; sleep 0.05) & exec 3>\"$pipe\"; wait; ";   // whose reader has gone
    const int status = std::system((pipe + "'" TAPIR_PROGRAM "' " + train_line("--out " + in_quotes(run)) + " >" +
                                    in_quotes(out) + ' ' + place).c_str());
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(digest_in(contents(out)) == digest_in(trained().outcome.out));
    for (const char* file : {"metrics.jsonl", "experiment.toml", "tokenizer.json", "model.safetensors"})   // and not in them
      CHECK(contents(run / file) == contents(trained().run / file));
  }
}

TEST_CASE("a training under nohup outlives its terminal") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run", out = folder.path() / "out";
  const std::string line = train_line("--set train.steps=300 --out " + in_quotes(run));
  const int status = std::system(("trap '' HUP; '" TAPIR_PROGRAM "' --threads 1 " + line + " >" + in_quotes(out) +
                                  " 2>/dev/null & sleep 0.1; kill -HUP $!; wait $!").c_str());
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(contents(out).starts_with("300 steps of 300, "));
}

}  // namespace tapir

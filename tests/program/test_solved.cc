// Runs that end once they are solved: when, with which bits, and what every command makes of them.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/state_difference.h"
#include "nn/files/safetensors.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr const char* of_sequences =
    "[task]\nname = \"parity\"\nsize = 4\nevaluated = 64\n[model]\ncontext = 16\nwidth = 16\nlayers = 1\nheads = 2\n"
    "[train]\nsteps = 30\nbatch = 16\nevaluate_every = 5\nsave_every = 10\n[schedule]\nrate = 0.02\nwarmup = 2\n";
constexpr const char* of_function =
    "[task]\nname = \"function\"\ngrid = 8\n[model]\nname = \"mlp\"\nwidth = 16\n"
    "[train]\nsteps = 30\nbatch = 16\nevaluate_every = 5\nsave_every = 10\n[schedule]\nrate = 0.02\nwarmup = 2\n";

std::vector<std::pair<int64_t, double>> evaluations(const RunRecord& run) {
  std::vector<std::pair<int64_t, double>> all;
  for (const MetricsLine& line : run.metrics)
    for (const auto& value : line.values)
      if (value.first == run.judged.objective.metric) all.emplace_back(line.step, line.number(value.first));
  return all;
}

// `whole` was not stopped: a result of it that is better than all before it, and not of the last step.
std::pair<int64_t, double> reached_in(const RunRecord& whole) {
  const auto all = evaluations(whole);
  const bool higher = whole.judged.objective.higher_is_better;
  std::pair<int64_t, double> found = all.front();
  for (const auto& one : all)
    if (one.first < whole.steps && (higher ? one.second > found.second : one.second < found.second)) found = one;
  return found;
}

std::string exactly(double value) { return nlohmann::json(value).dump(); }

Checkpoint newest(const fs::path& run) {
  std::vector<std::string> notes;
  return CheckpointFolder(run / "checkpoints").load_latest(notes).value();
}

// A run of `tiny` that is not stopped, and one that is solved at step 20 of 30 by the same loss.
struct Solved {
  Solved() : run(folder.path() / "run") {
    const auto losses = evaluations(read_record(trained().run));
    REQUIRE(losses[1].first == 20);
    REQUIRE(losses[1].second < losses[0].second);
    setting = "--set train.solved=" + exactly(losses[1].second) + ' ';
    outcome = tapir(train_line(setting + "--out " + in_quotes(run)));
  }
  TemporaryFolder folder;
  fs::path run;
  std::string setting;
  Outcome outcome;
};

const Solved& solved() {
  static const Solved once;
  return once;
}

struct Copy {   // of the solved run
  Copy() : run(folder.path() / "run") { fs::copy(solved().run, run, fs::copy_options::recursive); }
  TemporaryFolder folder;
  fs::path run;
  std::string resume(const std::string& rest = "") const { return "train --resume " + in_quotes(run) + ' ' + rest; }
};

}  // namespace

TEST_CASE("a run ends at the first evaluation that is good enough, with the bits of one that was stopped there") {
  const TemporaryFolder folder;
  for (const char* toml : {tiny, of_sequences, of_function})
    for (const std::string averages : {"0", "0.6"}) {
      CAPTURE(toml);
      CAPTURE(averages);
      const fs::path whole = folder.path() / "whole", stopped = folder.path() / "stopped", run = folder.path() / "solved";
      const std::string start = "train " + in_quotes(folder.write("experiment.toml", toml)) + " --set train.ema=" + averages;
      REQUIRE(tapir(start + " --out " + in_quotes(whole)).status == 0);
      const RunRecord all = read_record(whole);
      const auto [step, result] = reached_in(all);
      const std::string goal = " --set train.solved=" + exactly(result);
      tapir(start + " --out " + in_quotes(stopped) + " --stop-after " + std::to_string(step));
      const Outcome outcome = tapir(start + goal + " --out " + in_quotes(run));
      CHECK(outcome.status == 0);
      CHECK(contains_text(outcome.out, text("\nsolved at step ", step, '\n')));
      CHECK_FALSE(contains_text(outcome.out, "go on"));
      const std::string words = text(all.judged.objective.metric, " is ", result,
                                     all.judged.objective.higher_is_better ? ", at least " : ", at most ", result);
      CHECK(contains_text(outcome.err, text("\nsolved at step ", step, ": ", words, '\n')));
      CHECK(contents(run / "metrics.jsonl") ==
            text(contents(stopped / "metrics.jsonl"), "{\"step\":", step, ",\"solved\":\"", words, "\"}\n"));
      const Checkpoint last = newest(run);
      CHECK(last.step == step);
      CHECK(state_differences(last.tensors, newest(stopped).tensors, 0).empty());
      CHECK(state_differences(load_safetensors(run / "model.safetensors").tensors(), evaluated_tensors(last), 0).empty());
      CHECK_FALSE(fs::exists(stopped / "model.safetensors"));

      const RunRecord record = read_record(run);
      CHECK(record.solved == step);
      CHECK(record.finished());
      CHECK(record.evaluated == step);
      CHECK(record.judged.result == result);
      CHECK(read_record(stopped).solved == 0);
      CHECK_FALSE(read_record(stopped).finished());
      CHECK(all.solved == 0);
      for (const fs::path& done : {whole, stopped, run}) fs::remove_all(done);
    }
}

TEST_CASE("a goal that is not reached changes nothing; one that the last step reaches is noted") {
  const TemporaryFolder folder;
  const auto losses = evaluations(read_record(trained().run));
  REQUIRE(losses.back().first == 30);
  REQUIRE(losses.back().second < losses[1].second);
  for (const bool last : {false, true}) {
    CAPTURE(last);
    const fs::path run = folder.path() / "run";
    const double goal = last ? losses.back().second : std::nextafter(losses.back().second, 0.0);
    tapir(train_line("--set train.solved=" + exactly(goal) + " --out " + in_quotes(run)));
    const std::string log = contents(run / "metrics.jsonl"), whole = contents(trained().run / "metrics.jsonl");
    CHECK(log.substr(0, whole.size()) == whole);
    CHECK((log.size() > whole.size()) == last);
    CHECK(contents(run / "model.safetensors") == contents(trained().run / "model.safetensors"));
    CHECK(read_record(run).solved == (last ? 30 : 0));
    CHECK(read_record(run).finished());
    fs::remove_all(run);
  }
}

TEST_CASE("a run that is stopped, killed or damaged before its goal or after it comes to the same end") {
  const Copy copy;
  const std::string log = contents(copy.run / "metrics.jsonl"), weights = contents(copy.run / "model.safetensors");
  const auto check_same_end = [&](const Outcome& outcome) {
    CAPTURE(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(digest_in(outcome.out) == digest_in(solved().outcome.out));
    CHECK(contains_text(outcome.out, "20 steps of 30,"));
    CHECK(contains_text(outcome.out, "\nsolved at step 20\n"));
    CHECK_FALSE(contains_text(outcome.out, "go on"));
    CHECK(contents(copy.run / "metrics.jsonl") == log);
    CHECK(contents(copy.run / "model.safetensors") == weights);
    CHECK(newest(copy.run).step == 20);
  };
  const Outcome again = tapir(copy.resume());   // it has ended
  check_same_end(again);
  CHECK(contains_text(again.err, "resumed after step 20, at which it was solved\n"));
  fs::remove(copy.run / "model.safetensors");   // killed before these were written
  check_same_end(tapir(copy.resume()));
  fs::remove(copy.run / "checkpoints/step-00000020.safetensors");   // or before the checkpoint was
  check_same_end(tapir(copy.resume()));
  for (const int64_t stop : {7, 19, 20, 25}) {
    CAPTURE(stop);
    fs::remove_all(copy.run);
    const Outcome stopped =
        tapir(train_line(solved().setting + "--out " + in_quotes(copy.run) + " --stop-after " + std::to_string(stop)));
    CHECK(contains_text(stopped.out, "stopped; go on with") == (stop < 20));
    CHECK(fs::exists(copy.run / "model.safetensors") == (stop >= 20));
    check_same_end(tapir(copy.resume()));
  }
  fs::remove_all(copy.run);
  tapir(train_line(solved().setting + "--out " + in_quotes(copy.run) + " --stop-after 16"));
  Outcome minute;
  for (int64_t step = 17; step <= 20; ++step) minute = tapir(copy.resume("--minutes 1e-9"));   // a step each
  check_same_end(minute);
}

TEST_CASE("a solved run has another goal or another number of steps no more, and nothing of it changes") {
  const Copy copy;
  const std::string log = contents(copy.run / "metrics.jsonl"), toml = contents(copy.run / "experiment.toml");
  for (const int64_t steps : {20, 25, 60}) {
    CAPTURE(steps);
    const Outcome other = tapir(copy.resume("--set train.steps=" + std::to_string(steps)));
    CHECK(other.status == 1);
    CHECK(contains_text(other.err, "tapir: resume: the run was solved at step 20, and ends there with any number of steps; "
                                   "hint: begin a new run with train.solved = 0\n"));
  }
  for (const std::string goal : {"0.0", "1.0"})
    CHECK(contains_text(refusal(copy.resume("--set train.solved=" + goal)),
                        "was begun with other settings: train.solved is " + goal + ", was "));
  CHECK(contents(copy.run / "metrics.jsonl") == log);
  CHECK(contents(copy.run / "experiment.toml") == toml);
  CHECK(fs::exists(copy.run / "model.safetensors"));

  fs::remove_all(copy.run);   // before it is solved it may be given more
  tapir(train_line("--set schedule.shape=constant --set train.solved=0.001 --out " + in_quotes(copy.run) + " --stop-after 10"));
  CHECK(tapir(copy.resume("--set train.steps=35")).status == 0);
  CHECK(newest(copy.run).step == 35);
}

TEST_CASE("every command that takes a run takes a solved one for what it is") {
  const Copy copy;
  const std::string run = in_quotes(copy.run), page = in_quotes(copy.folder.path() / "page.html");
  CHECK(contains_text(tapir("eval " + run).out, "best on validation, step 20"));
  CHECK(tapir("generate " + run + " --prompt the --tokens 2").status == 0);

  CHECK(tapir("report " + run + " --out " + page).status == 0);
  const std::string report = contents(copy.folder.path() / "page.html");
  CHECK(contains_text(report, "\"steps\":30,\"done\":20,\"evaluated\":20,\"finished\":true,\"solved\":20,"));
  CHECK(tapir("report " + in_quotes(trained().run) + " --out " + page).status == 0);
  CHECK(contains_text(contents(copy.folder.path() / "page.html"), "\"evaluated\":30,\"finished\":true,\"solved\":null,"));

  CHECK(tapir("replay " + run + " --step 20").out.ends_with("reproduced to the bit\n"));
  CHECK(refusal("replay " + run + " --step 21") == "tapir: --step: the run has 20 steps, then it was solved, found 21");

  const Outcome same = tapir("bisect " + run + ' ' + in_quotes(solved().run));
  CHECK(same.status == 0);
  CHECK(contains_text(same.out, "nothing differs up to step 20\n"));
  const Outcome whole = tapir("bisect " + run + ' ' + in_quotes(trained().run));
  CAPTURE(whole.out);
  CHECK(contains_text(whole.out, "settings of the second, against the first: train.solved is 0.0, was "));
  CHECK(contains_text(whole.out, "nothing differs up to step 20\n"));
}

TEST_CASE("a comparison with solved runs has their results, says so, and finds them finished") {
  const TemporaryFolder folder;
  const std::string start = "compare " + in_quotes(trained().experiment) + " ";
  const std::string line = start + "--attention dot_product,expressive --seeds 2 " + solved().setting + "--out " +
                           in_quotes(folder.path() / "out");
  const Outcome first = tapir(line);
  CAPTURE(first.err);
  REQUIRE(first.status == 0);
  CHECK(contains_text(first.out, "validation_loss after 30 steps or when solved, lower is better\n"));
  const auto arms = nlohmann::json::parse(contents(folder.path() / "out/compare.json"))["groups"][0]["arms"];
  const RunRecord own = read_record(solved().run);
  CHECK(arms[0]["runs"][0]["solved"] == 20);
  CHECK(arms[0]["runs"][0]["finished"] == true);
  CHECK(arms[0]["runs"][0]["result"] == own.judged.result);
  CHECK(arms[0]["mean"].is_number());
  const Outcome again = tapir(line);
  CHECK(again.out == first.out);
  for (const char* run : {"dot_product/seed-1", "dot_product/seed-2", "expressive/seed-1", "expressive/seed-2"})
    CHECK(contains_text(again.err, (folder.path() / "out" / run).string() + ": finished before\n"));
  CHECK(contains_text(tapir(start + "--attention dot_product --seeds 1 --out " + in_quotes(folder.path() / "plain")).out,
                      "validation_loss after 30 steps, lower is better\n"));
}

TEST_CASE("a metric of that name is no note; a run that diverged is not solved, and a goal is a finite number of at least 0") {
  const Copy copy;
  CHECK(solved_step({{7, {{"solved", 0.5}, {"loss", int64_t{1}}}}}) == 0);
  CHECK(solved_step({{7, {{"solved", 0.5}}}, {9, {{"solved", "loss is 1, at most 2"}}}}) == 9);
  copy.folder.write("run/metrics.jsonl", contents(copy.run / "metrics.jsonl") +
                                             "{\"step\":20,\"diverged\":\"train: 'head.weight' after step 20 is nan\"}\n");
  const RunRecord record = read_record(copy.run);
  CHECK(record.solved == 0);
  CHECK_FALSE(record.finished());
  for (const std::string goal : {"-1.0", "nan", "inf"})
    CHECK(contains_text(refusal(train_line("--set train.solved=" + goal + " --out " + in_quotes(copy.folder.path() / "other"))),
                        "train.solved"));
}

}  // namespace tapir

// Where two runs part: a change planted in one number at one step, settings that differ, and what nobody can tell.
#include <doctest/doctest.h>

#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/state_difference.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"
#include "tests/messages.h"
#include "tests/program/plant.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr const char* rich = " --set train.accumulate=2 --set train.ema=0.9 --set train.log_every=1"
                             " --set train.evaluate_every=5 --set train.save_every=2 --set train.steps=20 ";

struct Two {
  fs::path path(const std::string& name) const { return folder.path() / name; }
  void train(const std::string& name, const std::string& rest = "") const {
    REQUIRE(tapir(train_line(rich + rest + " --out " + in_quotes(path(name)))).status == 0);
  }
  void resume(const std::string& name, const std::string& rest = "") const {
    REQUIRE(tapir("train --resume " + in_quotes(path(name)) + ' ' + rest).status == 0);
  }
  fs::path checkpoint(const std::string& name, int64_t step) const {
    char file[40];
    std::snprintf(file, sizeof file, "checkpoints/step-%08d.safetensors", static_cast<int>(step));
    return path(name) / file;
  }
  Outcome bisect(const std::string& a, const std::string& b) const {
    return tapir("bisect " + in_quotes(path(a)) + ' ' + in_quotes(path(b)));
  }

  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("bisect: a change planted in one number of any kind of tensor at one step is found: run, step, tensor, index") {
  const Two two;
  two.train("a");
  for (const std::string tensor : {"model/blocks.0.attention.query.weight", "model/head.weight", "optimiser/head.weight.m",
                                   "ema/tokens.weight"})
    for (const int64_t step : {2, 8}) {
      CAPTURE(tensor);
      CAPTURE(step);
      two.train("b", "--stop-after " + std::to_string(step));
      plant(two.checkpoint("b", step), tensor, 0.75);
      two.resume("b", "--stop-after " + std::to_string(step + 2));
      for (const bool swapped : {false, true}) {
        const Outcome outcome = swapped ? two.bisect("b", "a") : two.bisect("a", "b");
        CAPTURE(outcome.out);
        CHECK(outcome.status == 1);
        const std::string found =
            text("step ", step, ": ", two.path("b").string(),
                 " has another state than this program computes, replayed against kept:\n  ", tensor, "  [0, 0] ");
        const size_t at = outcome.out.find(found);
        REQUIRE(at != std::string::npos);
        const std::string rest = outcome.out.substr(at + found.size());
        CHECK(contains_text(rest, " against 0.75, 1 of "));
        CHECK(std::count(rest.begin(), rest.end(), '\n') == 1);   // this tensor alone
      }
      fs::remove_all(two.path("b"));
    }
}

TEST_CASE("bisect: where the state of the step is kept no more, the log names the step and the next state the tensors") {
  const Two two;
  two.train("a");
  two.train("b", "--stop-after 8");
  plant(two.checkpoint("b", 8), "model/head.weight", 0.75);
  two.resume("b");
  const Outcome outcome = two.bisect("a", "b");
  CAPTURE(outcome.out);
  CHECK(outcome.status == 1);
  CHECK(contains_text(outcome.out, "logs: step 9: "));
  CHECK(contains_text(outcome.out, "\ncheckpoints of step 20: not the same\n"));
  CHECK(contains_text(outcome.out, "\nstep 9: " + two.path("b").string() + " is not what this program computes: loss is "));
  CHECK(contains_text(outcome.out, two.path("b").string() + " has another state than this program computes"));
  CHECK(contains_text(outcome.out, "\n  … and "));
  CHECK_FALSE(contains_text(outcome.out, two.path("a").string() + " "));
  fs::remove_all(two.path("b") / "checkpoints");
  CHECK(two.bisect("a", "b").out.ends_with("no later state is kept that could name a tensor\n"));
}

TEST_CASE("bisect: settings that differ are told first, and then the first step and tensor that they change") {
  const Two two;
  two.train("a");
  for (const auto& one : std::initializer_list<std::pair<std::string, std::string>>{
           {"run.precision='bf16'", "gradient/"}, {"run.seed=2", "model/"}, {"model.dropout=0.2", "gradient/"},
           {"schedule.rate=0.001", "model/"}, {"optimiser.beta1=0.8", "model/"}, {"optimiser.decay=0.2", "model/"}}) {
    const std::string& key = one.first;   // clang captures no structured binding
    CAPTURE(key);
    two.train("b", "--stop-after 6 --set " + key);
    const Outcome outcome = two.bisect("a", "b");
    CAPTURE(outcome.out);
    CHECK(outcome.status == 1);
    CHECK(outcome.out.starts_with("settings of the second, against the first: " + key.substr(0, key.find('=')) + " is "));
    const std::string words = ": this program computes the two differently, first against second:\n  ";
    const size_t at = outcome.out.find(words);
    REQUIRE(at != std::string::npos);
    CHECK(outcome.out.substr(at + words.size()).starts_with(one.second));
    const int64_t step = key.starts_with("run.seed") ? 0 : 1;
    CHECK(contains_text(outcome.out, text("\nreplayed from the start\nstep ", step, words)));
    fs::remove_all(two.path("b"));
  }
}

TEST_CASE("bisect: data that differ are told by name") {
  const Two two;
  std::string lines;
  for (int k = 0; k < 200; ++k) lines += text("the ", k % 7, " otters met ", k % 5, " herons\n");
  const std::string own = "--set data.kind=file --set train.steps=4 --set train.log_every=1 --set data.path=";
  const fs::path one = two.folder.write("one.txt", lines), other = two.folder.write("other.txt", lines + "the otters\n");
  for (const auto& name : {"a", "b"})
    REQUIRE(tapir(train_line(own + in_quotes(name[0] == 'a' ? one : other) + " --out " + in_quotes(two.path(name)))).status == 0);
  const Outcome outcome = two.bisect("a", "b");
  CAPTURE(outcome.out);
  CHECK(outcome.status == 0);   // the test part, which no training reads
  CHECK(outcome.out.starts_with("settings of the second, against the first: data.path is '" + other.string() + "', was '" +
                                one.string() + "'\ndata of the second, against the first: "));
  CHECK(contains_text(outcome.out, "against the first: test is "));
}

TEST_CASE("bisect: equal runs, one that has gone less far, and one that cannot be compared") {
  const Two two;
  two.train("a");
  two.train("b", "--stop-after 8");
  const Outcome equal = two.bisect("a", "b");
  CHECK(equal.status == 0);
  CHECK(equal.out.ends_with("logs: no number differs\nreplayed from the start\nnothing differs up to step 8\n"));
  two.resume("b");
  const Outcome whole = two.bisect("a", "b");
  CHECK(whole.status == 0);
  CHECK(whole.out.ends_with("checkpoints of step 20: the same\nnothing differs up to step 20\n"));
  CHECK(contains_text(refusal("bisect " + in_quotes(two.path("a"))), "runs"));
  CHECK(contains_text(refusal("bisect " + in_quotes(two.path("a")) + ' ' + in_quotes(two.path("none"))),
                      "none: is no run: it is not there"));

  std::string bytes = contents(two.checkpoint("b", 20));
  bytes.back() ^= 1;
  two.folder.write("b/checkpoints/step-00000020.safetensors", bytes);
  CHECK(contains_text(refusal("bisect " + in_quotes(two.path("a")) + ' ' + in_quotes(two.path("b"))),
                      "b: the checkpoint of step 20 cannot be read: fell back to the checkpoint of step "));
}

TEST_CASE("bisect: a run of other kernels is compared to 1e-5, and it is said what nobody can tell") {
  const Two two;
  two.train("a");
  two.train("b");
  for (const char* name : {"a", "b"}) {   // a number of the log as other kernels may make it, and no state
    std::string log = contents(two.path(name) / "metrics.jsonl");
    const size_t at = log.find("\"step\":7,\"loss\":") + 16, end = log.find(',', at);
    char other[40];
    std::snprintf(other, sizeof other, "%.17g", std::strtod(log.c_str() + at, nullptr) * (1 + (name[0] == 'a' ? 1e-7 : 0)));
    two.folder.write(text(name, "/metrics.jsonl"), log.substr(0, at) + other + log.substr(end));
  }
  const std::string a = two.path("a").string();
  CHECK(contains_text(two.bisect("a", "b").out, "step 7: " + a + " is not what this program computes: loss is "));
  std::string lines = contents(two.path("a") / environment_file);
  const std::string blas = fact(read_environment(two.path("a")).front(), "blas");
  two.folder.write("a/environment.jsonl", lines.replace(lines.find(blas), blas.size(), "OpenBLAS, core Z80"));
  const Outcome outcome = two.bisect("a", "b");
  CAPTURE(outcome.out);
  CHECK(outcome.status == 1);
  CHECK(outcome.out.starts_with("blas of the first alone: OpenBLAS, core Z80\nblas of the second alone: " + blas + '\n'));
  CHECK(contains_text(outcome.out, a + " was computed otherwise: blas OpenBLAS, core Z80, not " + blas +
                                       "; compared to 1e-05, not to the bit\n"));
  CHECK(outcome.out.ends_with("both are what this program computes, as far as that can be told of other kernels\n"));
}

TEST_CASE("states differ in values, by index and to a tolerance, in shapes, and in what they have") {
  const auto of = [](std::vector<double> values, const Shape& shape) { return Tensor::from(values, shape); };
  const Tensor x = of({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto words = [&](const Tensor& other, double tolerance = 0) {
    const auto found = state_differences({{"x", x}}, {{"x", other}}, tolerance);
    return found.empty() ? "" : found[0].words;
  };
  CHECK(words(of({1, 2, 3, 4, 5, 6}, {2, 3})) == "");
  CHECK(words(of({1, 2, 3.5, 4, 5, 6.25}, {2, 3})) == "[0, 2] 3 against 3.5, 2 of 6 numbers");
  CHECK(words(of({1, 2, 3, 4, 5.5, 6}, {2, 3})) == "[1, 1] 5 against 5.5, 1 of 6 numbers");
  CHECK(words(of({1.5, 2, 3, 4, 5, 6}, {2, 3}), 0.1) == "");   // 0.1 of 6
  CHECK(words(of({1.7, 2, 3, 4, 5, 6}, {2, 3}), 0.1) == "[0, 0] 1 against 1.7, 1 of 6 numbers");
  CHECK(words(of({1, NAN, 3, 9, 5, 6}, {2, 3}), 0.1) == "[0, 1] 2 against nan, 2 of 6 numbers");
  CHECK(words(of({1, 2, 3, 4, 5, 6}, {3, 2})) == "shape [2,3] against [3,2]");
  const auto found = state_differences({{"a", x}, {"b", x}}, {{"b", x}, {"c", x}}, 0);
  REQUIRE(found.size() == 2);
  CHECK(found[0].name + ' ' + found[0].words == "a is in the first alone");
  CHECK(found[1].name + ' ' + found[1].words == "c is in the second alone");
}

}  // namespace tapir

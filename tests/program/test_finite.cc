// A result that is not finite is no success: divergence at every step and by every optimiser, and numbers planted in files.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "attention/reproduce/program/statistics.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/train/checkpoint.h"
#include "nn/train/finite.h"
#include "nn/train/metrics.h"
#include "nn/train/trainer.h"
#include "nn/train/weights.h"
#include "tensor/in_place.h"
#include "tests/messages.h"
#include "tests/program/plant.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
constexpr const char* optimisers[] = {"adamw", "sgd", "lion", "muon"};

struct Plane : nn::Module {
  Plane() : value(parameter("value", {2, 2}, nn::ParameterKind::weight, nn::Init::constant(1))) {
    initialise(1, DType::f64);
  }
  nn::Parameter& value;
};

enum class Spoilt { loss, weights, result, second_result };

// Six steps, of which one goes wrong in the way that is asked for.
struct Diverging {
  Diverging(Spoilt what, int64_t step, double value) {
    task.loss = [=, this](int64_t k, int64_t, int64_t, const nn::Call&) {
      if (what == Spoilt::weights && k == step) fill_(plane.value.value, value);   // as the update of the step before might
      const bool wrong = what == Spoilt::loss && k + 1 == step;
      const Tensor loss = sum(square(plane.value.value));
      return LossSum{mul(loss, Tensor::full({}, wrong ? value : 1, loss.dtype())), 1, 1};
    };
    task.evaluate = [=, this](const nn::Call&) {
      ++evaluations;
      const bool now = 2 * evaluations >= step;
      return Metrics{{"validation_loss", what == Spoilt::result && now ? value : 1.0 / evaluations},
                     {"validation_accuracy", what == Spoilt::second_result && now ? value : 0.5}};
    };
  }

  std::string train_in(const fs::path& folder, const std::string& optimiser, double ema = 0) {
    TrainOptions options;
    options.steps = 6;
    options.log_every = 1;
    options.ema = ema;
    options.evaluate_every = options.save_every = 2;
    nn::OptimiserOptions chosen;
    chosen.name = optimiser;
    std::ostringstream out;
    return message_of([&] { train(task, options, {}, chosen, 1, {.folder = folder, .out = out}); });
  }

  Plane plane;
  int evaluations = 0;
  TrainTask task{plane, {}, {}, "diverging"};
};

std::string file_of_step(int64_t step) {
  const std::string digits = std::to_string(step);
  return "step-" + std::string(8 - digits.size(), '0') + digits + ".safetensors";
}

void check_finite(const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& one : tensors)
    for (const double value : one.tensor.to(DType::f64).values<double>()) CHECK(std::isfinite(value));
}

// What a run leaves: finite numbers alone, and the checkpoint that its message names, of step `good`; −1: none.
void check_kept(const fs::path& folder, const std::string& message, int good) {
  std::vector<std::string> notes;
  const std::optional<Checkpoint> last = CheckpointFolder(folder / "checkpoints").load_latest(notes);
  REQUIRE(last.has_value());
  CHECK(notes.empty());
  const std::string claim = "; hint: lower the learning rate or the clip norm; the checkpoint of step ";
  CHECK(contains_text(message, claim) == (good >= 0));   // with none that is known to be good, none is claimed
  if (good >= 0) CHECK(contains_text(message, text(claim, good, " is kept")));
  if (good >= 0) CHECK(fs::exists(folder / "checkpoints" / file_of_step(good)));
  for (const auto& item : fs::directory_iterator(folder / "checkpoints"))
    if (item.path().extension() == ".safetensors") check_finite(load_safetensors(item.path()).tensors());
  CHECK_FALSE(fs::exists(folder / "model.safetensors"));
  const std::vector<MetricsLine> lines = read_metrics(folder / "metrics.jsonl");
  for (const MetricsLine& line : lines)
    for (const auto& named : line.values)
      if (!std::holds_alternative<std::string>(named.second)) CHECK(std::isfinite(line.number(named.first)));
  CHECK(std::get<std::string>(lines.back().values.back().second) == message);
}

}  // namespace

TEST_CASE("require_finite names the place, the number and how many are wrong") {
  CHECK(message_of([] { require_finite("here", "x", 1e308); }) == "no error");
  CHECK(message_of([] { require_finite("here", "x", nan, "stop"); }) == "here: x is nan; hint: stop");
  CHECK(message_of([] { require_finite("here", "x", -infinity); }) == "here: x is -inf");
  const Tensor bad = Tensor::from(std::vector<float>{1, NAN, INFINITY, NAN}, {2, 2});
  CHECK(message_of([&] { require_finite("here", "x", bad); }) == "here: x has 2 NaN and 1 infinite among f32[2,2]");
  CHECK(message_of([&] { require_finite("here", "x", transpose(bad, 0, 1).detach()); }) != "no error");
  CHECK(message_of([&] { require_finite("here", "x", Tensor::from(std::vector<int32_t>{3})); }) == "no error");
  CHECK(message_of([&] { require_finite("here", "x", Tensor::zeros({0})); }) == "no error");
}

TEST_CASE("whatever goes wrong at whatever step, with any optimiser: an error that says so, and finite files") {
  const struct {
    Spoilt what;
    const char* said;
  } kinds[] = {{Spoilt::loss, "the loss of step "},
               {Spoilt::weights, "the loss of step "},
               {Spoilt::result, "validation_loss of step "},
               {Spoilt::second_result, "validation_accuracy of step "}};
  for (const char* optimiser : optimisers)
    for (const auto& kind : kinds)
      for (const int64_t step : {1, 3, 6})
        for (const double value : {nan, infinity, -infinity}) {
          if (kind.what == Spoilt::weights && step == 6) continue;   // the update of the last step: below
          CAPTURE(optimiser);
          CAPTURE(kind.said);
          CAPTURE(step);
          const TemporaryFolder folder;
          const std::string message = Diverging(kind.what, step, value).train_in(folder.path(), optimiser);
          CAPTURE(message);
          CHECK(message.starts_with("train: "));
          CHECK(contains_text(message, kind.said));
          const bool result = kind.what == Spoilt::result || kind.what == Spoilt::second_result;
          const int64_t failed = kind.what == Spoilt::weights ? step + 1 : result ? step + step % 2 : step;
          check_kept(folder.path(), message, static_cast<int>(result ? failed - 2 : failed < 2 ? -1 : (failed - 2) / 2 * 2));
        }
}

TEST_CASE("weights, averaged weights and state of an optimiser that are not finite are not saved, though every result is") {
  for (const char* optimiser : optimisers)
    for (const double ema : {0.0, 0.5}) {
      CAPTURE(optimiser);
      const TemporaryFolder folder;
      Diverging run(Spoilt::loss, 0, 1);
      const auto evaluate = run.task.evaluate;
      run.task.evaluate = [&](const nn::Call& call) {   // after the last update; nothing is computed from the weights again
        if (run.evaluations == 2) fill_(run.plane.value.value, nan);
        return evaluate(call);
      };
      const std::string message = run.train_in(folder.path(), optimiser, ema);
      CHECK(contains_text(message, ema == 0 ? "'model/value' after step 6 has 4 NaN and 0 infinite among f64[2,2]"
                                            : " after step 6 has 4 NaN"));
      check_kept(folder.path(), message, 4);
    }
}

TEST_CASE("a program whose last update diverges fails, says so, and every command that reads the run agrees") {
  const TemporaryFolder place;
  const fs::path toml = place.write("tiny.toml", std::string(tiny) + "[attention]\nmechanism = \"dot_product\"\n");
  for (int k = 0; k < 12; ++k) {
    const std::string optimiser = optimisers[k % 4], steps = k < 4 ? "6" : k < 8 ? "13" : "40";   // 1000¹³ exceeds f32
    CAPTURE(optimiser);
    CAPTURE(steps);
    const fs::path run = place.path() / (optimiser + steps);
    const Outcome outcome =
        tapir("train " + in_quotes(toml) + " --set train.steps=" + steps +
              " --set train.evaluate_every=0 --set "
              "train.save_every=2 --set schedule.warmup=0 --set schedule.rate=100 --set optimiser.decay=10 --set "
              "optimiser.name=" +
              optimiser + " --out " + in_quotes(run));
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out.empty());
    const size_t claim = outcome.err.find("; the checkpoint of step ");
    REQUIRE(claim != std::string::npos);
    CHECK(fs::exists(run / "checkpoints" / file_of_step(std::stoll(outcome.err.substr(claim + 25)))));
    CHECK_FALSE(fs::exists(run / "model.safetensors"));
    const std::string kept = file_of_step(std::stoll(outcome.err.substr(claim + 25)));
    const auto said = [](const std::string& err) { return err.substr(0, err.find("; hint: ")).substr(err.rfind("tapir: ")); };
    const Outcome again = tapir("train --resume " + in_quotes(run));   // the same numbers
    CHECK(again.status == 1);
    CHECK(said(again.err) == said(outcome.err));
    CHECK(fs::exists(run / "checkpoints" / kept));
    const fs::path after = place.path() / ("after-" + optimiser + steps);   // what the hint says can be done
    CHECK(tapir("train " + in_quotes(toml) + " --stop-after 1 --set train.evaluate_every=0 --set run.initial=" +
                in_quotes(run / "checkpoints" / kept) + " --out " + in_quotes(after)).status == 0);
    const Outcome eval = tapir("eval " + in_quotes(run)), words = tapir("generate " + in_quotes(run) + " --tokens 3");
    CHECK(contains_text(eval.err, "evaluate: the ") == (eval.status == 1));
    CHECK(contains_text(eval.err, run.string() + ": has diverged: train: "));
    CHECK_FALSE(contains_text(eval.out, "nan"));
    CHECK(contains_text(eval.out, "last, step ") == (eval.status == 0));
    CHECK_FALSE(contains_text(words.err, "nan"));
    CHECK(contains_text(words.err, "generate: logits for token ") == (words.status == 1));
    const Outcome report = tapir("report " + in_quotes(run) + " --out " + in_quotes(place.path() / "page.html"));
    CHECK(report.status == 1);
    CHECK(contains_text(report.err, run.string() + ": has diverged: train: "));
  }
}

TEST_CASE("an arm that diverges is named; no difference to it is formed, and the others finish") {
  const TemporaryFolder place;
  const fs::path toml = place.write("tiny.toml", std::string(tiny) + "[attention]\nmechanism = \"dot_product\"\n"),
                 out = place.path() / "out";
  const std::string line = "compare " + in_quotes(toml) + " --attention dot_product,score_mlp,expressive --seeds 2 --out " +
                           in_quotes(out) + " --set train.steps=4 --set train.evaluate_every=2 --set train.save_every=2";
  REQUIRE(tapir(line).status == 0);
  const fs::path bad = out / "score_mlp/seed-2";   // as if it had diverged at its end
  fs::remove(bad / "model.safetensors");
  plant(bad / "checkpoints/step-00000002.safetensors", "model/", 3e38);
  fs::remove(bad / "checkpoints/step-00000004.safetensors");
  const Outcome outcome = tapir(line);
  CAPTURE(outcome.err);
  CAPTURE(outcome.out);
  CHECK(outcome.status == 1);
  CHECK(contains_text(outcome.err, bad.string() + ": has diverged: train: "));
  CHECK(contains_text(outcome.out, "score_mlp against dot_product: no verdict, score_mlp with seed 2 has diverged\n"));
  CHECK(contains_text(outcome.out, "expressive against dot_product: no difference shown"));
  CHECK_FALSE(contains_text(outcome.out, "nan"));
  const auto arms = nlohmann::json::parse(contents(out / "compare.json"))["groups"][0]["arms"];
  CHECK(arms[1]["mean"].is_null());
  CHECK(arms[1]["difference"]["mean"].is_null());
  CHECK(arms[1]["difference"]["values"].empty());
  CHECK(arms[1]["runs"][1]["diverged"].get<std::string>().starts_with("train: "));
  CHECK(arms[1]["runs"][0]["diverged"].is_null());
  CHECK(arms[2]["difference"]["mean"].is_number());
  CHECK(tapir("report " + in_quotes(out) + " --out " + in_quotes(place.path() / "page.html")).status == 1);
}

TEST_CASE("NaN and infinity in a file of weights or in a log are found by every command that reads it") {
  const TemporaryFolder place;
  const fs::path run = place.path() / "run", page = place.path() / "page.html";
  const auto anew = [&] {
    fs::remove_all(run);
    fs::copy(trained().run, run, fs::copy_options::recursive);
  };
  for (const double value : {nan, infinity, -infinity}) {
    CAPTURE(value);
    anew();
    for (const auto& item : fs::directory_iterator(run / "checkpoints"))
      if (item.path().extension() == ".safetensors") plant(item.path(), "model/head.weight", value);
    const std::string words = std::isnan(value) ? "'model/head.weight' has 1 NaN and 0 infinite"
                                                : "'model/head.weight' has 0 NaN and 1 infinite";
    for (const std::string command : {"eval ", "generate "})
      CHECK(contains_text(refusal(command + in_quotes(run)), words));
    const Outcome resumed = tapir("train --resume " + in_quotes(run)),
                  report = tapir("report " + in_quotes(run) + " --out " + in_quotes(page));
    CHECK(resumed.status == 1);
    CHECK(contains_text(resumed.err, "no checkpoint is readable: "));
    CHECK(contains_text(resumed.err, words));
    CHECK(report.status == 1);
    CHECK(contains_text(report.err, "no attention maps: "));
    CHECK(contains_text(report.err, words));

    anew();
    plant(run / "checkpoints/step-00000030.safetensors", "optimiser/", value);   // resuming falls back to the one before
    const Outcome back = tapir("train --resume " + in_quotes(run));
    CHECK(back.status == 0);
    CHECK(contains_text(back.err, "fell back to the checkpoint of step 20 because of "));
    CHECK(digest_in(back.out) == digest_in(trained().outcome.out));

    const fs::path initial = place.path() / "initial.safetensors";
    fs::copy_file(trained().run / "model.safetensors", initial, fs::copy_options::overwrite_existing);
    plant(initial, "head.weight", value);
    CHECK(contains_text(refusal(train_line("--set run.initial=" + in_quotes(initial) + " --out " +
                                           in_quotes(place.path() / "never"))),
                        initial.string() + ": 'head.weight' has "));
    CHECK_FALSE(fs::exists(place.path() / "never"));

    anew();
    std::ofstream(run / "metrics.jsonl", std::ios::app)
        << "{\"step\":30,\"validation_loss\":\"" << (std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf") << "\"}\n";
    const Outcome logged = tapir("report " + in_quotes(run) + " --out " + in_quotes(page));
    CHECK(logged.status == 1);
    CHECK(contains_text(logged.err, run.string() + ": has diverged: validation_loss of step 30 is "));
  }
}

TEST_CASE("weights whose logits overflow are finite, and still nothing is drawn from them") {
  const TemporaryFolder place;
  const fs::path run = place.path() / "run";
  fs::copy(trained().run, run, fs::copy_options::recursive);
  for (const auto& item : fs::directory_iterator(run / "checkpoints"))
    if (item.path().extension() == ".safetensors") plant(item.path(), "model/", 3e38);
  CHECK(contains_text(refusal("generate " + in_quotes(run)), "generate: logits for token 1 has "));
  CHECK(contains_text(refusal("eval " + in_quotes(run)), "evaluate: the loss is "));
}

TEST_CASE("statistics of what is not finite, or overflows, are no numbers either") {
  CHECK(message_of([] { mean_interval({1, nan}); }) == "interval: the mean of 2 results is nan");
  CHECK(message_of([] { mean_interval({1, infinity, 2}); }) == "interval: the mean of 3 results is inf");
  CHECK(message_of([] { mean_interval({1e308, 1e308}); }) == "interval: the mean of 2 results is inf");
  CHECK(message_of([] { mean_interval({1e200, -1e200}); }) == "interval: the variance of 2 results is inf");
}

}  // namespace tapir

// The training loop: the same bits from the same seed, whatever the threads and wherever it is stopped, and what it
// refuses.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "attention/reproduce/tasks/language.h"
#include "autograd/anomaly.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"
#include "nn/train/weights.h"
#include "tensor/threads.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"

namespace tapir {
namespace {

using Settings = std::vector<std::string>;
using testing::TemporaryFolder;

constexpr const char* small = R"(
[data]
kind = "generated"
train_tokens = 2000
valid_tokens = 300
test_tokens = 300
[model]
context = 12
width = 16
layers = 2
heads = 2
dropout = 0.1
[train]
steps = 60
batch = 4
log_every = 7
evaluate_every = 20
save_every = 15
[schedule]
rate = 3e-3
warmup = 10
)";

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

struct Outcome {
  TrainReport report;
  std::string weights, metrics, shown;
  int64_t best = 0;  // step of the best checkpoint
};

// Trains `small` in `folder` as `settings` change it.
Outcome run(const std::filesystem::path& folder, const Settings& settings, bool resume = false, int64_t stop_after = 0) {
  const TemporaryFolder place;
  Experiment experiment = read_experiment(place.write("small.toml", small), settings);
  const ComputeAs computing(experiment);
  LanguageTask task(experiment);
  TrainTask loop = task.train_task();
  std::ostringstream out;
  Outcome outcome;
  outcome.report =
      train(loop, experiment.train, experiment.schedule, experiment.optimiser, static_cast<uint64_t>(experiment.run.seed),
            {.folder = folder, .resume = resume, .stop_after = stop_after, .out = out});
  std::vector<std::string> notes;
  outcome.weights = weights_digest(task.model());
  outcome.metrics = contents(folder / "metrics.jsonl");
  outcome.shown = out.str();
  const std::optional<Checkpoint> best = CheckpointFolder(folder / "checkpoints").load_best(notes);
  outcome.best = best ? best->step : 0;
  return outcome;
}

// Sets the number of threads while it lives.
class Threads {
 public:
  explicit Threads(int count) : before_(threads()) { set_threads(count); }
  ~Threads() { set_threads(before_); }

 private:
  int before_;
};

struct Point : nn::Module {
  Point() : value(parameter("value", {3}, nn::ParameterKind::bias, nn::Init::constant(1))) { initialise(1, DType::f64); }
  nn::Parameter& value;
};

// A run of one point on a parabola, evaluated to the numbers of a list, one after the other.
struct Scripted {
  explicit Scripted(std::vector<double> results) : results(std::move(results)) {
    task.loss = [this](int64_t step, int64_t, int64_t, const nn::Call&) {
      const Tensor loss = sum(square(point.value.value));
      return LossSum{mul(loss, Tensor::full({}, step == spoilt ? spoil : 1, loss.dtype())), 1, 1};
    };
    task.evaluate = [this](const nn::Call&) { return Metrics{{"validation_loss", this->results.at(evaluations++)}}; };
  }

  TrainReport train_in(const std::filesystem::path& folder, bool resume = false, int64_t stop_after = 0) {
    TrainOptions options;
    options.steps = 10;
    options.evaluate_every = options.save_every = 2;
    std::ostringstream out;
    return train(task, options, {}, {}, 1, {.folder = folder, .resume = resume, .stop_after = stop_after, .out = out});
  }

  std::vector<double> results;
  size_t evaluations = 0;
  int64_t spoilt = -1;  // step whose loss is multiplied by `spoil`
  double spoil = 1;
  Point point;
  TrainTask task{point, {}, {}, "scripted"};
};

int64_t best_step(const std::filesystem::path& folder) {
  std::vector<std::string> notes;
  return CheckpointFolder(folder / "checkpoints").load_best(notes)->step;
}

int64_t latest_step(const std::filesystem::path& folder) {
  std::vector<std::string> notes;
  return CheckpointFolder(folder / "checkpoints").load_latest(notes)->step;
}

struct Pair : nn::Module {
  Pair()
      : first(child<nn::Linear>("first", 2, 3, true, nn::Init::normal(1))),
        second(child<nn::Linear>("second", 3, 2, false, nn::Init::normal(1))) {
    initialise(5, DType::f64);
  }
  nn::Linear &first, &second;
};

}  // namespace

TEST_CASE("the same seed gives the same weights, on any number of threads") {
  for (const std::string mechanism : {"dot_product", "score_mlp"}) {
    INFO(mechanism);
    const Settings large{
        "model.width=64",         "model.context=64",     "model.layers=1",     "data.max_types=400",
        "train.batch=8",          "train.steps=3",        "train.accumulate=2", "attention.mechanism=" + mechanism,
        "data.train_tokens=3000", "data.valid_tokens=600"};
    std::vector<std::string> digests, logs;
    for (const int count : {1, 1, 2, 3}) {
      const Threads threads(count);
      const TemporaryFolder folder;
      const Outcome outcome = run(folder.path(), large);
      digests.push_back(outcome.weights);
      logs.push_back(outcome.metrics);
    }
    for (size_t i = 1; i < digests.size(); ++i) {
      CHECK(digests[i] == digests[0]);
      CHECK(logs[i] == logs[0]);
    }
    const TemporaryFolder folder;
    Settings other = large;
    other.push_back("run.seed=2");
    CHECK(run(folder.path(), other).weights != digests[0]);
  }
}

TEST_CASE("a run that is stopped and resumed is the run that never stopped") {
  const TemporaryFolder place;
  const Settings settings{"train.steps=100"};
  const Outcome whole = run(place.path() / "whole", settings);
  CHECK(whole.report.steps == 100);
  const std::filesystem::path folder = place.path() / "cut";
  const Outcome stopped = run(folder, settings, false, 37);
  CHECK(stopped.report.steps == 37);
  CHECK(stopped.report.signal == 0);
  CHECK_FALSE(std::filesystem::exists(folder / "model.safetensors"));
  CHECK(whole.metrics.starts_with(stopped.metrics));
  const Outcome resumed = run(folder, settings, true);
  CHECK(contains_text(resumed.shown, "resumed after step 37\n"));
  CHECK(resumed.weights == whole.weights);
  CHECK(resumed.metrics == whole.metrics);
  CHECK(resumed.best == whole.best);
  CHECK(contents(folder / "model.safetensors") == contents(place.path() / "whole" / "model.safetensors"));

  const Outcome again = run(folder, settings, true);  // a finished run has nothing left to do
  CHECK(again.report.counted == 0);
  CHECK(again.weights == whole.weights);
  CHECK(again.metrics == whole.metrics);
  CHECK(run(folder, settings, true, 50).report.steps == 100);
}

TEST_CASE("a run with any optimiser, and with averaged weights, resumes as the run that never stopped") {
  for (const std::string name : {"sgd", "lion", "muon", "adamw"}) {
    INFO(name);
    const TemporaryFolder place;
    const Settings settings{"optimiser.name=" + name, "train.steps=30", "schedule.shape=wsd",
                            name == "muon" ? "train.ema=0" : "train.ema=0.8"};
    const Outcome whole = run(place.path() / "whole", settings);
    CHECK(run(place.path() / "cut", settings, false, 17).report.steps == 17);
    const Outcome resumed = run(place.path() / "cut", settings, true);
    CHECK(resumed.weights == whole.weights);
    CHECK(resumed.metrics == whole.metrics);
    CHECK(run(place.path() / "cut", settings, true).weights == whole.weights);   // nothing left to do
  }
}

TEST_CASE("averaged weights are evaluated and kept in place of the weights, which train as without them") {
  const TemporaryFolder place;
  const Settings without{"train.steps=20"}, with{"train.steps=20", "train.ema=0.9"};
  const Outcome plain = run(place.path() / "plain", without), averaged = run(place.path() / "averaged", with);
  CHECK(plain.report.loss == averaged.report.loss);
  CHECK(plain.weights != averaged.weights);
  CHECK(plain.report.validation.front().second != averaged.report.validation.front().second);

  std::vector<std::string> notes;
  const auto latest = [&](const char* name) {
    return *CheckpointFolder(place.path() / name / "checkpoints").load_latest(notes);
  };
  const Checkpoint a = latest("plain"), b = latest("averaged");
  CHECK(tensors_under(a, "ema/").empty());
  const std::vector<NamedTensor> raw = tensors_under(a, "model/"), same = tensors_under(b, "model/"),
                                 means = tensors_under(b, "ema/");
  REQUIRE(means.size() == raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    CHECK(same[i].tensor.values<float>() == raw[i].tensor.values<float>());
    CHECK(means[i].name == raw[i].name);
  }
  const std::filesystem::path folder = place.path() / "averaged";
  for (const NamedTensor& last : load_safetensors(folder / "model.safetensors").tensors())
    for (const NamedTensor& mean : means)
      if (mean.name == last.name) CHECK(last.tensor.values<float>() == mean.tensor.values<float>());
}

TEST_CASE("a run may be cut anywhere, also where it evaluates or saves, and several times") {
  const TemporaryFolder place;
  const Outcome whole = run(place.path() / "whole", {});
  const auto check = [&](const std::string& name, const std::vector<int64_t>& cuts) {
    INFO(name);
    const std::filesystem::path folder = place.path() / name;
    bool resume = false;
    for (const int64_t cut : cuts) {
      CHECK(run(folder, {}, resume, cut).report.steps == cut);
      resume = true;
    }
    const Outcome resumed = run(folder, {}, true);
    CHECK(resumed.weights == whole.weights);
    CHECK(resumed.metrics == whole.metrics);
    CHECK(resumed.best == whole.best);
  };
  for (const int64_t cut : {1, 13, 20, 30, 47, 59}) check(text("at ", cut), {cut});
  check("often", {7, 8, 40, 45, 46});
}

TEST_CASE("steps after the last checkpoint are taken again as they were") {
  const TemporaryFolder place;
  const Outcome whole = run(place.path() / "whole", {});
  const std::filesystem::path folder = place.path() / "torn";
  run(folder, {}, false, 15);
  std::ofstream(folder / "metrics.jsonl", std::ios::app)
      << "{\"step\":21,\"loss\":9}\n{\"step\":28,\"lo";  // of a killed process
  const Outcome resumed = run(folder, {}, true);
  CHECK(resumed.weights == whole.weights);
  CHECK(resumed.metrics == whole.metrics);
}

TEST_CASE("the log has the steps that were asked for, numbers that are right, and no time of day") {
  const TemporaryFolder folder;
  const Outcome outcome = run(folder.path(), {"model.dropout=0", "schedule.shape=constant"});
  std::vector<int64_t> losses, evaluations;
  for (const MetricsLine& line : read_metrics(folder.path() / "metrics.jsonl")) {
    const bool trained = line.values.front().first == "loss";
    (trained ? losses : evaluations).push_back(line.step);
    if (trained) {
      CHECK(line.values.size() == 3);
      CHECK(line.number("rate") == (line.step < 10 ? 3e-3 * static_cast<double>(line.step) / 10 : 3e-3));
      CHECK(line.number("gradient_norm") > 0);
    } else {
      CHECK(line.values.size() == 2);
      CHECK(line.number("validation_perplexity") == std::exp(line.number("validation_loss")));
    }
  }
  CHECK(losses == std::vector<int64_t>{1, 7, 14, 21, 28, 35, 42, 49, 56, 60});
  CHECK(evaluations == std::vector<int64_t>{20, 40, 60});
  CHECK(outcome.report.counted == 60 * 4 * 12);
}

TEST_CASE("the active share of each score network's gate is logged") {
  const TemporaryFolder folder;
  const Outcome outcome = run(
      folder.path(), {"attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all", "train.steps=1"});
  std::vector<std::string> gates;
  for (const auto& [name, value] : outcome.report.validation) {
    if (!name.ends_with(".gate")) continue;
    gates.push_back(name);
    CHECK(value > 0);
    CHECK(value < 1);
    CHECK(read_metrics(folder.path() / "metrics.jsonl").back().number(name) == value);
  }
  REQUIRE(gates.size() == 2);
  CHECK(gates[0].starts_with("blocks.0.attention"));
  CHECK(gates[1].starts_with("blocks.1.attention"));
}

TEST_CASE("the best checkpoint stays, and a resumed run remembers how good it was") {
  const TemporaryFolder place;
  Scripted whole({5, 3, 4, 3.5, 3.25});
  whole.train_in(place.path() / "whole");
  CHECK(best_step(place.path() / "whole") == 4);
  CHECK(latest_step(place.path() / "whole") == 10);

  const std::filesystem::path folder = place.path() / "cut";
  Scripted({5, 3}).train_in(folder, false, 5);
  Scripted rest({4, 3.5, 3.25});
  const TrainReport report = rest.train_in(folder, true);
  CHECK(report.steps == 10);
  CHECK(report.validation.front().second == 3.25);
  CHECK(best_step(folder) == 4);
}

TEST_CASE("a new run that is refused once the folder is locked leaves what is there") {
  const TemporaryFolder folder;
  const std::filesystem::path weights = folder.write("model.safetensors", "of another run");
  Scripted scripted({});
  std::ostringstream out;
  const auto refuse = [](int64_t) { throw Error("begin", "there is a run already"); };
  CHECK(message_of([&] { train(scripted.task, {}, {}, {}, 1, {.folder = folder.path(), .out = out, .begin = refuse}); }) ==
        "begin: there is a run already");
  CHECK(contents(weights) == "of another run");
}

TEST_CASE("a task that does not say what the loop needs is refused, in words of the task") {
  const TemporaryFolder folder;
  const auto refused = [&](auto change) {
    static int run = 0;
    Scripted scripted(std::vector<double>(9, 1));
    change(scripted.task);
    return message_of([&] { scripted.train_in(folder.path() / text(run++)); });
  };
  CHECK(refused([](TrainTask& task) { task.loss = {}; }) == "train: the task must have loss and evaluate");
  CHECK(refused([](TrainTask& task) { task.evaluate = {}; }) == "train: the task must have loss and evaluate");
  for (const Metrics& given : {Metrics{}, Metrics{{"mse", 1}}, Metrics{{"mse", 1}, {"validation_loss", 1}}})
    CHECK(refused([&](TrainTask& task) { task.evaluate = [=](const nn::Call&) { return given; }; }) ==
          "train: the task's evaluate() must give validation_loss first");
  CHECK(refused([](TrainTask& task) { task.objective.metric = "accuracy"; }) ==
        "train: the task's objective is accuracy, which its evaluate() does not give");
}

TEST_CASE("a loss that is not finite ends the run; the checkpoint before it stays") {
  for (const double spoil : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const TemporaryFolder folder;
    Scripted run({5, 3, 4, 3, 2});
    run.spoilt = 6;
    run.spoil = spoil;
    CHECK(message_of([&] { run.train_in(folder.path()); }) ==
          text("train: the loss of step 7 is ", spoil,
               "; hint: lower the learning rate or the clip norm; the checkpoint of step 4 "
               "is kept, and a new run may start from its weights"));
    CHECK(latest_step(folder.path()) == 6);
  }
}

TEST_CASE("under anomaly mode the error names the step and the op") {
  const TemporaryFolder folder;
  Scripted run({5, 3, 4, 3, 2});
  run.spoilt = 6;
  run.spoil = std::numeric_limits<double>::quiet_NaN();
  const AnomalyMode watching;
  const std::string message = message_of([&] { run.train_in(folder.path()); });
  CAPTURE(message);
  CHECK(message.find("train: step 7: mul: forward gives f64[], with 1 NaN and 0 infinite") == 0);
}

TEST_CASE("what cannot be resumed is refused") {
  const TemporaryFolder place;
  const std::filesystem::path folder = place.path() / "run";
  Scripted none({});
  CHECK(message_of([&] { none.train_in(folder, true); }) ==
        "resume: " + folder.string() + " has no checkpoint; hint: remove the folder and start without --resume");
  Scripted first({5, 3});
  first.train_in(folder, false, 4);
  Scripted other({4});
  other.task.identity = "another";
  CHECK(
      message_of([&] { other.train_in(folder, true); }) ==
      "resume: the checkpoint of step 4"
          " belongs to another experiment; hint: a run goes on with the settings that it was started with, and with a version "
          "that has the same ones");
  CHECK(weights_digest(other.point) == weights_digest(none.point));
}

TEST_CASE("a validation part that is too short is refused before training") {
  const TemporaryFolder folder;
  CHECK(message_of([&] { run(folder.path() / "run", {"data.valid_tokens=7"}); }) ==
        "batches: 4 rows of 12 columns need at least 8 tokens, found 7; hint: use fewer rows or columns, or more text");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "run"));
  CHECK(run(folder.path() / "run", {"data.valid_tokens=8", "train.steps=1"}).report.steps ==
        1);  // shorter than the context
}

TEST_CASE("weights come back bit by bit, converted where the model is of the other type") {
  const TemporaryFolder folder;
  Pair model, other;
  other.initialise(6, DType::f64);
  save_weights(folder.path() / "w.safetensors", model);
  CHECK(weights_digest(other) != weights_digest(model));
  load_weights(folder.path() / "w.safetensors", other);
  CHECK(weights_digest(other) == weights_digest(model));
  Pair single;
  single.initialise(7, DType::f32);
  load_weights(folder.path() / "w.safetensors", single);
  const std::vector<double> expected = model.first.weight.value.values<double>();
  const std::vector<float> found = single.first.weight.value.values<float>();
  for (size_t i = 0; i < expected.size(); ++i) CHECK(found[i] == static_cast<float>(expected[i]));
}

TEST_CASE("weights that do not fit are refused by name, and the model is untouched") {
  Pair source, model;
  model.initialise(8, DType::f64);
  const std::string before = weights_digest(model);
  std::vector<NamedTensor> all;
  source.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    all.push_back({name, parameter.value.detach()});
  });
  const auto refusal = [&](const std::vector<NamedTensor>& values) {
    const std::string message = message_of([&] { assign_weights("file", model, values); });
    CHECK(weights_digest(model) == before);
    return message;
  };
  REQUIRE(all.back().name == "second.weight");
  std::vector<NamedTensor> changed = all;
  changed.pop_back();
  CHECK(refusal(changed) ==
        "file: there is no 'second.weight', which the model needs; hint: the file belongs to a model with "
        "other options");
  changed = all;
  changed.push_back({"third.weight", Tensor::zeros({1}, DType::f64)});
  CHECK(refusal(changed) ==
        "file: 'third.weight' is left over: the model has no such tensor; hint: the file belongs to a "
        "model with other options");
  changed = all;
  changed.back().tensor = Tensor::zeros({3, 2}, DType::f64);
  CHECK(refusal(changed) == "file: 'second.weight' has shape [3,2], the model needs [2,3]");
  const TemporaryFolder folder;
  CHECK(message_of([&] {
          load_weights(folder.path() / "gone", model);
        }).starts_with((folder.path() / "gone").string() + ": "));
  CHECK(weights_digest(model) == before);
}

}  // namespace tapir

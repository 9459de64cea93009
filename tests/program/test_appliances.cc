// Load monitoring: batches, loss and judgement by hand, two models that learn, a run that goes on, and what is shown of it.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cmath>
#include <iterator>

#include "attention/reproduce/tasks/appliances.h"
#include "attention/zoo.h"
#include "datasets/draws.h"
#include "nn/train/trainer.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"

using namespace tapir;
using testing::TemporaryFolder;
using Values = std::vector<double>;

namespace {

constexpr int64_t T = 24, K = std::size(appliances);

const std::string small =
    "[task]\nname = 'appliances'\nsamples = 24\nwindows = 21\nevaluated = 6\n[model]\nname = 'series_transformer'\npatch = 4\nwidth = "
    "8\nlayers = 1\nheads = 2\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

Experiment experiment_of(const std::string& toml, const std::vector<std::string>& assignments = {}) {
  const TemporaryFolder folder;
  return read_experiment(folder.write("test.toml", toml), assignments);
}

Values logits_of(Task& task, const Values& power) {
  return task.forward({{"series", Tensor::from(power, {1, T, 1}, Device::cpu)}}, {}).values<double>();
}

// −log of the probability that the model gives to what is so, mean over samples and appliances
double surprise(const Values& logits, const std::vector<uint8_t>& on) {
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double p = 1 / (1 + std::exp(-logits[i]));
    sum -= std::log(on[i] ? p : 1 - p) / static_cast<double>(logits.size());
  }
  return sum;
}

}  // namespace

TEST_CASE("appliances: the loss of a step, by hand: windows of the seed in an order of the seed's") {
  Experiment experiment = experiment_of(small, {"run.seed=3", "task.noise=0.1"});
  const std::unique_ptr<Task> task = make_task(experiment);
  const TrainTask loop = task->train_task();
  for (const int64_t step : {0, 4, 5, 11}) {   // 5 batches of 4 in an epoch of 21
    const std::vector<int64_t> order =
        permutation(21, {.seed = 3, .step = static_cast<uint32_t>(step / 5), .site = site_of("windows")});
    double expected = 0;
    for (int64_t b = 0; b < 4; ++b) {
      const PowerWindows window = power_windows("train", 3, {order[step % 5 * 4 + b]}, T, 0.1);
      expected += surprise(logits_of(*task, window.power), window.on);
    }
    const LossSum loss = loop.loss(step, 0, 1, {});
    CHECK(loss.sum.item() == doctest::Approx(expected).epsilon(1e-12));
    CHECK((loss.count == 4 && loss.of == 4));
  }
}

TEST_CASE("appliances: F1 and accuracy of what was said, by hand") {
  const OnOff some{.hits = 3, .false_alarms = 1, .misses = 2, .samples = 10};
  CHECK(some.f1() == doctest::Approx(2 * 0.75 * 0.6 / (0.75 + 0.6)));   // precision 3/4, recall 3/5
  CHECK(some.accuracy() == doctest::Approx(0.7));
  CHECK(OnOff{.samples = 10}.f1() == 1);   // nothing was on, nothing was said to be
  CHECK(OnOff{.misses = 4, .samples = 10}.f1() == 0);
  const AppliancesTask::Judged two{.loss = 0, .appliances = {some, OnOff{.hits = 5, .samples = 10}}};
  CHECK(two.f1() == doctest::Approx((some.f1() + 1) / 2));
  CHECK(two.accuracy() == doctest::Approx(0.85));
}

TEST_CASE("appliances: judged are all windows of a part, the same for every seed, whatever the batch") {
  for (const char* part : {"valid", "test"})
    for (const std::vector<std::string>& changes :
         std::vector<std::vector<std::string>>{{"train.batch=4"}, {"train.batch=3", "run.seed=9"}}) {
      Experiment experiment = experiment_of(small, changes);
      const std::unique_ptr<Task> task = make_task(experiment);
      const auto& own = dynamic_cast<const AppliancesTask&>(*task);
      double loss = 0;
      std::vector<OnOff> by_hand(K);
      for (int64_t row = 0; row < 6; ++row) {
        const PowerWindows window = power_windows(part, 0, {row}, T, 0.05);
        const Values logits = logits_of(*task, window.power);
        loss += surprise(logits, window.on) / 6;
        for (size_t i = 0; i < logits.size(); ++i) {
          OnOff& one = by_hand[i % K];
          if (logits[i] > 0) ++(window.on[i] ? one.hits : one.false_alarms);
          else one.misses += window.on[i];
          ++one.samples;
        }
      }
      const AppliancesTask::Judged judged = own.judge(part);
      CHECK(judged.loss == doctest::Approx(loss).epsilon(1e-12));
      for (size_t k = 0; k < K; ++k) {
        CHECK(judged.appliances[k].hits == by_hand[k].hits);
        CHECK(judged.appliances[k].false_alarms == by_hand[k].false_alarms);
        CHECK(judged.appliances[k].misses == by_hand[k].misses);
        CHECK(judged.appliances[k].samples == 6 * T);
      }
      const Task::Results results = task->evaluate_part(part).results;
      CHECK(results[0] == std::pair<std::string, std::string>{"windows", "6"});
      CHECK(results[1].first == "F1");
      CHECK(results[1].second == fmt::format("{:.4f}", judged.f1()));
      CHECK(results.back().first == "F1 dishwasher");
      if (std::string(part) == "valid") {
        const Metrics metrics = task->train_task().evaluate({});
        CHECK(metrics == Metrics{{"validation_loss", judged.loss}, {"validation_f1", judged.f1()},
                                 {"validation_accuracy", judged.accuracy()}});
      }
    }
}

TEST_CASE("appliances: the dot product and inter-token attention learn, better than who says off, and than the power alone") {
  for (const char* mechanism : {"dot_product", "inter_token"}) {
    CAPTURE(mechanism);
    Experiment experiment = experiment_of(
        small + "[attention]\nmechanism = '" + mechanism + "'\n",
        {"task.samples=96", "task.windows=64", "task.evaluated=32", "train.batch=8", "model.width=16", "run.dtype='f32'"});
    const std::unique_ptr<Task> task = make_task(experiment);
    TrainTask loop = task->train_task();
    nn::AdamWOptions options;
    options.decay = 0;
    nn::AdamW optimiser(task->model(), options);
    for (int64_t step = 0; step < 250; ++step) {
      const StepLoss loss = accumulate_gradients(loop, optimiser, step, 1, 1);
      apply_gradients(optimiser, 0.005, 1, loss.count);
    }
    const Metrics metrics = loop.evaluate({});
    CHECK(metrics[1].second > 0.6);
    CHECK(metrics[2].second > 0.88);
  }
}

TEST_CASE("appliances: what is shown are the tokens of the first window by the power at their beginning") {
  Experiment experiment = experiment_of(small);
  const std::unique_ptr<Task> task = make_task(experiment);
  std::vector<Shape> weights;
  nn::Call call;
  call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) {
    if (name == "weights") weights.push_back(value.shape());
  };
  const std::vector<std::string> tokens = task->train_task().show(call);
  CHECK(weights == std::vector<Shape>{{1, 2, 6, 6}});
  REQUIRE(tokens.size() == 6);
  CHECK(tokens[0].ends_with(" kW"));
  CHECK(std::fabs(std::stod(tokens[5]) - power_windows("valid", 0, {0}, T, 0.05).power[20]) <= 0.005);
}

TEST_CASE("appliances: what does not fit is refused in one line") {
  const auto refused = [](const std::string& toml, const std::vector<std::string>& changes) {
    return message_of([&] {
      Experiment experiment = experiment_of(toml, changes);
      make_task(experiment);
    });
  };
  CHECK(refused(small, {"task.windows=3"}) ==
        "appliances: a batch of 4 needs as many windows, found 3; hint: set task.windows or train.batch");
  CHECK(refused(small, {"model.patch=5"}) ==
        "series transformer: patches of 5 do not divide series of 24 samples; hint: choose another model.patch");
  CHECK(refused("[task]\nname = 'appliances'\n[model]\nname = 'mlp'\n", {}) ==
        "config: model.name: the task 'appliances' has series and wants states, the model 'mlp' takes coordinates and gives values");
}

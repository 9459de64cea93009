// Operator learning: the batches, the loss and the error by hand, and a control that learns in a moment.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/reproduce/tasks/operator.h"
#include "attention/zoo.h"
#include "datasets/draws.h"
#include "datasets/synthetic/burgers.h"
#include "nn/train/trainer.h"
#include "tensor/dry_run.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"

using namespace tapir;
using testing::TemporaryFolder;
using Values = std::vector<double>;

namespace {

const std::string of_fno =
    "[task]\nname = 'operator'\npoints = 32\nfunctions = 21\nevaluated = 5\nslope = 0.5\n[model]\nname = 'fno'\nwidth = "
    "8\nlayers = 2\n"
    "modes = 5\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

Experiment experiment_of(const std::string& toml, const std::vector<std::string>& assignments = {}) {
  const TemporaryFolder folder;
  return read_experiment(folder.write("test.toml", toml), assignments);
}

constexpr int64_t n = 32;

Values row_of(const Values& all, int64_t row) { return {all.begin() + row * n, all.begin() + (row + 1) * n}; }

// What the task's model makes of a function at the points j/n.
Values prediction(Task& task, const Values& function) {
  Values places;
  for (int64_t j = 0; j < n; ++j) places.push_back(static_cast<double>(j) / n);
  return task.forward({{"function", Tensor::from(function, {1, n, 1})}, {"places", Tensor::from(places, {1, n, 1})}}, {})
      .values<double>();
}

double relative(const Values& x, const Values& y) {
  double error = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * (x[i] - y[i]);
    size += y[i] * y[i];
  }
  return std::sqrt(error / size);
}

}  // namespace

TEST_CASE("operator: the loss of a step, by hand: functions in an order of the seed's, errors of values and of slopes") {
  Experiment experiment = experiment_of(of_fno, {"run.seed=3"});
  const std::unique_ptr<Task> task = make_task(experiment);
  const TrainTask loop = task->train_task();
  const Values before = burgers_initial("train", 21, n), after = BurgersEquation().solve(before, n),
               slopes = circle_derivative(after, n, 1);
  for (const int64_t step : {0, 4, 5, 11}) {   // 5 batches of 4 in an epoch of 21
    const std::vector<int64_t> order =
        permutation(21, {.seed = 3, .step = static_cast<uint32_t>(step / 5), .site = site_of("functions")});
    double expected = 0;
    for (int64_t b = 0; b < 4; ++b) {
      const int64_t row = order[step % 5 * 4 + b];
      const Values u = row_of(after, row), slope = row_of(slopes, row), found = prediction(*task, row_of(before, row));
      Values differences;
      for (int64_t j = 1; j + 1 < n; ++j) differences.push_back((found[j + 1] - found[j - 1]) * n / 2);
      expected += relative(found, u) + std::sqrt(0.5 / n) * relative(differences, {slope.begin() + 1, slope.end() - 1});
    }
    const LossSum loss = loop.loss(step, 0, 1, {});
    CHECK(loss.sum.item() == doctest::Approx(expected).epsilon(1e-12));
    CHECK((loss.count == 4 && loss.of == 4));
  }
}

TEST_CASE("operator: functions that a dry run asked for are solved afterwards") {
  const auto loss_of = [](bool rehearsed) {
    Experiment experiment = experiment_of(of_fno);
    const std::unique_ptr<Task> task = make_task(experiment);
    if (rehearsed) {
      const Rehearsal rehearsal(Device::cpu);
      task->train_task().loss(0, 0, 1, {});
    }
    return task->train_task().loss(0, 0, 1, {}).sum.item();
  };
  CHECK(loss_of(true) == loss_of(false));
}

TEST_CASE("operator: judged is the mean relative error of the functions of a part, whatever the batch") {
  for (const char* batch : {"train.batch=4", "train.batch=2"}) {
    Experiment experiment = experiment_of(of_fno, {batch});
    const std::unique_ptr<Task> task = make_task(experiment);
    for (const char* part : {"valid", "test"}) {
      const Values before = burgers_initial(part, 5, n), after = BurgersEquation().solve(before, n);
      double expected = 0;
      for (int64_t row = 0; row < 5; ++row)
        expected += relative(prediction(*task, row_of(before, row)), row_of(after, row)) / 5;
      const Task::Results results = task->evaluate_part(part).results;
      CHECK(results.front() == std::pair<std::string, std::string>{"functions", "5"});
      CHECK(results.back().first == "relative_error");
      CHECK(std::stod(results.back().second) == doctest::Approx(expected).epsilon(1e-3));
      if (std::string(part) == "valid")
        CHECK(task->train_task().evaluate({}).front().second == doctest::Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("operator: the control learns, and Galerkin-type attention, better than who predicts that nothing happens") {
  const std::string of_transformer =
      "[task]\nname = 'operator'\npoints = 32\nfunctions = 64\nevaluated = 16\n[model]\nname = "
      "'operator_transformer'\nwidth = 16\nlayers = 1\n"
      "hidden = 16\nmodes = 6\ndecoder_width = 12\n[attention]\nmechanism = 'galerkin'\n[train]\nbatch = 8\n";
  for (const std::string& toml : {of_fno, of_transformer}) {
    Experiment experiment = experiment_of(toml, {"task.functions=64", "task.evaluated=16", "train.batch=8"});
    const std::unique_ptr<Task> task = make_task(experiment);
    TrainTask loop = task->train_task();
    nn::AdamWOptions options;
    options.decay = 0;
    nn::AdamW optimiser(task->model(), options);
    for (int64_t step = 0; step < 150; ++step) {
      const StepLoss loss = accumulate_gradients(loop, optimiser, step, 1, 1);
      apply_gradients(optimiser, 0.01, 1, loss.count);
    }
    CHECK(loop.evaluate({}).front().second < 0.3);
  }
}

TEST_CASE("operator: what does not fit is refused in one line") {
  const auto refused = [](const std::string& toml, const std::vector<std::string>& changes) {
    return message_of([&] {
      Experiment experiment = experiment_of(toml, changes);
      make_task(experiment);
    });
  };
  CHECK(refused(of_fno, {"task.functions=3"}) ==
        "operator: a batch of 4 needs as many functions, found 3; hint: set task.functions or train.batch");
  CHECK(refused("[task]\nname = 'operator'\n[model]\nname = 'mlp'\n", {}) ==
        "config: model.name: the task 'operator' has functions and wants functions, the model 'mlp' takes coordinates and "
        "gives values");
}

// Operator learning: the batches, the loss and the error by hand, and a control that learns in a moment.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cmath>

#include "attention/reproduce/tasks/operator.h"
#include "attention/zoo.h"
#include "datasets/draws.h"
#include "datasets/synthetic/burgers.h"
#include "datasets/synthetic/darcy.h"
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

const std::string of_darcy =
    "[task]\nname = 'operator'\nequation = 'darcy'\npoints = 7\nfunctions = 9\nevaluated = 5\nslope = 0.5\n[model]\nname = "
    "'operator_transformer'\nwidth = 8\nlayers = 1\nheads = 2\nhidden = 8\nmodes = 2\ndecoder_width = 6\n[attention]\nmechanism = "
    "'galerkin'\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

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
  return task.forward({{"function", Tensor::from(function, {1, n, 1}, Device::cpu)},
                       {"places", Tensor::from(places, {1, n, 1}, Device::cpu)}}, {})
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

TEST_CASE("operator: Darcy's flow, the loss of a step and the error by hand: pressures in units of their deviation, fluxes") {
  constexpr int64_t s = 7, fine = 13, N = s * s;
  Experiment experiment = experiment_of(of_darcy, {"run.seed=3", "task.smaller=4"});
  const std::unique_ptr<Task> task = make_task(experiment);
  const TrainTask loop = task->train_task();
  const auto at_points = [](const Values& all) {
    Values kept;
    for (size_t row = 0; row < all.size() / (fine * fine); ++row)
      for (int64_t i = 0; i < fine; i += 2)
        for (int64_t j = 0; j < fine; j += 2) kept.push_back(all[row * fine * fine + i * fine + j]);
    return kept;
  };
  const auto solved = [&](const char* part, int64_t rows) {
    const Values a = darcy_coefficients(part, rows, fine, 12, 4);
    return std::pair{at_points(a), at_points(darcy_solution(a, Values(fine * fine, 1), fine))};
  };
  const std::pair<Values, Values> learned = solved("train", 9), judged = solved("test", 5);
  const Values &a = learned.first, &u = learned.second;
  Values mean(N), deviation(N), places;
  for (int64_t p = 0; p < N; ++p) {
    for (int64_t row = 0; row < 9; ++row) mean[p] += u[row * N + p] / 9;
    for (int64_t row = 0; row < 9; ++row) deviation[p] += std::pow(u[row * N + p] - mean[p], 2) / 9;
    deviation[p] = std::sqrt(deviation[p]);
    places.insert(places.end(), {static_cast<double>(p / s) / 6, static_cast<double>(p % s) / 6});
  }
  const auto found_for = [&](const Values& coefficients, int64_t row) {
    Values given;
    for (int64_t p = 0; p < N; ++p) given.push_back(coefficients[row * N + p] == 12 ? 1 : -1);
    Values found =
        task->forward({{"function", Tensor::from(given, {1, N, 1}, Device::cpu)},
                       {"places", Tensor::from(places, {1, N, 2}, Device::cpu)}}, {}).values<double>();
    for (int64_t p = 0; p < N; ++p) found[p] = mean[p] + deviation[p] * found[p];
    return found;
  };
  const auto part_of = [](const Values& all, int64_t row) { return Values(all.begin() + row * N, all.begin() + (row + 1) * N); };
  const std::vector<int64_t> order = permutation(9, {.seed = 3, .step = 1, .site = site_of("functions")});
  double expected = 0;
  for (int64_t b = 0; b < 4; ++b) {   // the second epoch of 2 batches begins
    const int64_t row = order[b];
    const Values wanted = part_of(u, row), found = found_for(a, row), own = part_of(a, row);
    Values fluxes, wanted_fluxes;
    for (int64_t i = 1; i + 1 < s; ++i)
      for (int64_t j = 1; j + 1 < s; ++j)
        for (const int64_t step : {s, int64_t{1}}) {
          const int64_t p = i * s + j;
          fluxes.push_back(own[p] * (found[p + step] - found[p - step]) * 6 / 2);
          wanted_fluxes.push_back(own[p] * (wanted[p + step] - wanted[p - step]) * 6 / 2);
        }
    for (int64_t p = 0; p < N; ++p)
      if (p < s || p >= N - s || p % s == 0 || p % s == s - 1) CHECK(found[p] == 0);
    expected += relative(found, wanted) + std::sqrt(0.5 / 6) * relative(fluxes, wanted_fluxes);
  }
  CHECK(loop.loss(2, 0, 1, {}).sum.item() == doctest::Approx(expected).epsilon(1e-12));

  double error = 0;
  for (int64_t row = 0; row < 5; ++row) error += relative(found_for(judged.first, row), part_of(judged.second, row)) / 5;
  CHECK(task->evaluate_part("test").results.back().second == fmt::format("{:.3e}", error));
}

TEST_CASE("operator: functions that a dry run asked for are solved afterwards") {
  const auto loss_of = [](bool rehearsed, const std::string& toml) {
    Experiment experiment = experiment_of(toml);
    const std::unique_ptr<Task> task = make_task(experiment);
    if (rehearsed) {
      const Rehearsal rehearsal(Device::cpu);
      task->train_task().loss(0, 0, 1, {});
    }
    return task->train_task().loss(0, 0, 1, {}).sum.item();
  };
  for (const std::string& toml : {of_fno, of_darcy}) CHECK(loss_of(true, toml) == loss_of(false, toml));
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

TEST_CASE("operator: Darcy's flow is learned, better than who says the mean") {
  OperatorOptions own;
  own.points = 7;
  const std::unique_ptr<OperatorProblem> problem = darcy_problem(own);
  const Values learned = problem->functions("train", 128).wanted, judged = problem->functions("valid", 32).wanted;
  Values mean(49);
  for (size_t i = 0; i < learned.size(); ++i) mean[i % 49] += learned[i] / 128;
  double of_mean = 0;
  for (size_t row = 0; row < 32; ++row) of_mean += relative(mean, Values(judged.begin() + row * 49, judged.begin() + (row + 1) * 49)) / 32;

  const std::string of_control = "[task]\nname = 'operator'\nequation = 'darcy'\npoints = 7\n[model]\nname = 'fno'\nwidth = 8\nlayers = "
                                 "2\nmodes = 2\n[run]\ndtype = 'f64'\n";
  for (const std::string& toml : {of_darcy, of_control}) {
    Experiment experiment = experiment_of(toml, {"task.functions=128", "task.evaluated=32", "train.batch=8"});
    const std::unique_ptr<Task> task = make_task(experiment);
    TrainTask loop = task->train_task();
    nn::AdamWOptions options;
    options.decay = 0;
    nn::AdamW optimiser(task->model(), options);
    for (int64_t step = 0; step < 200; ++step) {
      const StepLoss loss = accumulate_gradients(loop, optimiser, step, 1, 1);
      apply_gradients(optimiser, 0.005, 1, loss.count);
    }
    CHECK(loop.evaluate({}).front().second < 0.6 * of_mean);
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
  CHECK(refused(of_darcy, {"task.points=600"}) ==
        "operator: Darcy's flow is solved at most at 1025 points along a side, asked are 1199; hint: set task.points or task.refinement");
  for (const char* row : {"dape", "attention_sh", "flatten", "laplacian", "gated_linear", "delta_rule"})
    CHECK(refused(of_darcy, {text("attention.mechanism=", row)}) ==
          "operator transformer: the attention of block 0 needs tokens that follow each other, they stand at coordinates of 2 "
          "dimensions");
  CHECK(refused("[task]\nname = 'operator'\n[model]\nname = 'mlp'\n", {}) ==
        "config: model.name: the task 'operator' has functions and wants functions, the model 'mlp' takes coordinates and "
        "gives values");
}

#include "attention/reproduce/tasks/function.h"

#include <fmt/core.h>

#include <cmath>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/train/finite.h"
#include "tensor/random.h"
#include "tensor/view.h"

namespace tapir {

double value_of(const std::string& function, double x, double y) {
  if (function == "ripple") return std::sin(6 * std::hypot(x, y));
  return function == "saddle" ? x * y : std::sin(4 * x) * std::cos(4 * y);
}

FunctionTask::FunctionTask(Experiment& experiment)
    : Task(experiment), options_(dynamic_cast<const FunctionOptions&>(*experiment.task.own)) {
  make_model({.takes = Takes::coordinates, .gives = Gives::values, .inputs = 2, .outputs = 1});
}

FunctionTask::Points FunctionTask::points(const std::vector<double>& x, const std::vector<double>& y,
                                          const Tensor& errors) const {
  std::vector<double> coordinates, values;
  for (size_t i = 0; i < x.size(); ++i) {
    coordinates.insert(coordinates.end(), {x[i], y[i]});
    values.push_back(value_of(options_.function, x[i], y[i]));
  }
  const auto n = static_cast<int64_t>(x.size());
  Tensor of_points = Tensor::from(values, {n, 1}, Device::cpu);
  if (errors.defined()) of_points = add(of_points, errors);
  const auto placed = [&](const Tensor& one) { return one.to(experiment_.dtype()).to(experiment_.device()); };
  return {placed(Tensor::from(coordinates, {n, 2}, Device::cpu)), placed(of_points)};
}

// Rows [part rows, (part + 1) rows) of the batch of a step, each number a function of seed, step and place.
FunctionTask::Points FunctionTask::of_step(int64_t step, int64_t part, int64_t parts) const {
  const int64_t rows = experiment_.train.batch / parts;
  const auto seed = static_cast<uint64_t>(experiment_.run.seed);
  const RandomKey key{.seed = seed, .step = static_cast<uint32_t>(step), .site = site_of("points")};
  std::vector<double> x, y;
  for (int64_t i = part * rows; i < (part + 1) * rows; ++i) {
    const Philox4 bits = random_block(key, static_cast<uint64_t>(i));
    x.push_back(2 * static_cast<double>(uniform(bits[0])) - 1);
    y.push_back(2 * static_cast<double>(uniform(bits[1])) - 1);
  }
  if (options_.noise == 0) return points(x, y, {});
  Tensor errors = Tensor::empty({experiment_.train.batch, 1}, DType::f64, Device::cpu);
  normal_(errors, 0, options_.noise, {.seed = seed, .step = key.step, .site = site_of("noise")});
  return points(x, y, view::slice(errors, 0, part * rows, rows));
}

FunctionTask::Points FunctionTask::of_part(const std::string& part) const {
  const bool between = part == "test";
  const int64_t side = options_.grid - between;
  const double step = 2 / static_cast<double>(options_.grid - 1), begin = between ? step / 2 - 1 : -1;
  std::vector<double> x, y;
  for (int64_t i = 0; i < side * side; ++i) {
    x.push_back(begin + step * static_cast<double>(i % side));
    y.push_back(begin + step * static_cast<double>(i / side));
  }
  return points(x, y, {});
}

double FunctionTask::mean_squared_error(const std::string& part) const {
  const NoGrad guard;
  const Points all = of_part(part);
  const double error = mean(square(sub(forward({{"coordinates", all.coordinates}}, {}), all.values))).item();
  require_finite("evaluate", "the mean squared error", error);
  return error;
}

TrainTask FunctionTask::train_task() {
  TrainTask task{model(), {}, {}, experiment_.identity()};
  task.unit = unit();
  task.loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const Points own = of_step(step, part, parts);
    return LossSum{sum(square(sub(forward({{"coordinates", own.coordinates}}, call), own.values))), own.values.elements(),
                   experiment_.train.batch};
  };
  task.evaluate = [this](const nn::Call&) { return Metrics{{"validation_loss", mean_squared_error("valid")}}; };
  return task;
}

Task::Evaluation FunctionTask::evaluate_part(const std::string& part) {
  const double error = mean_squared_error(part);
  return {{{"points", fmt::format("{}", of_part(part).values.elements())}, {"mse", fmt::format("{:.3e}", error)}}};
}

Task::Results FunctionTask::comparable(const std::string&) const {
  return {{"function", options_.function}, {"grid", fmt::format("{}", options_.grid)}};
}

std::pair<Batch, int64_t> FunctionTask::sample() const {
  return {{{"coordinates", Tensor::zeros({1, 2}, experiment_.dtype(), experiment_.device())}}, 1};
}

std::string FunctionTask::summary() const {
  return fmt::format("the function {}, noise {}", options_.function, options_.noise);
}

TaskRow function_row() {
  return {.name = "function",
          .title = "a function of two variables from points",
          .options = [] { return std::make_unique<FunctionOptions>(); },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<FunctionTask>(experiment);
          }};
}

}  // namespace tapir

#include "attention/reproduce/tasks/operator.h"

#include <fmt/core.h>

#include <cmath>
#include <numeric>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/train/finite.h"
#include "tensor/dry_run.h"

namespace tapir {
namespace {

std::unique_ptr<OperatorProblem> problem_of(const OperatorOptions& options) {
  return options.equation == "darcy" ? darcy_problem(options) : burgers_problem(options);
}

}  // namespace

Tensor relative_error(const Tensor& x, const Tensor& y) {
  const auto norm = [](const Tensor& all) { return sqrt(sum(sum(square(all), 2, true), 1, true)); };
  return div(norm(sub(x, y)), norm(y));
}

OperatorTask::OperatorTask(Experiment& experiment)
    : Task(experiment), options_(dynamic_cast<const OperatorOptions&>(*experiment.task.own)),
      problem_(problem_of(options_)), places_(problem_->places()),
      order_("operator", "functions", options_.functions, experiment.train.batch, experiment.run.seed) {
  make_model({.takes = Takes::function, .gives = Gives::function, .inputs = 1, .outputs = 1,
              .dimensions = problem_->dimensions()});
}

const OperatorTask::Part& OperatorTask::part(const std::string& name) const {
  const auto known = parts_.find(name);
  if (known != parts_.end()) return known->second;
  const int64_t rows = name == "train" ? options_.functions : options_.evaluated;
  const int64_t n = points();
  Part all{{}, std::vector<double>(n), std::vector<double>(n)};
  if (DryRun::current()) {   // nothing is solved in it, and nothing is kept of it
    const std::vector<double> zeros(rows * n);
    all.functions = {zeros, zeros, zeros};
    return unsolved_[name] = std::move(all);
  }
  all.functions = problem_->functions(name, rows);
  const auto each = [&](auto&& f) {
    for (int64_t i = 0; i < rows * n; ++i) f(i % n, all.functions.wanted[i]);
  };
  each([&](int64_t p, double u) { all.mean[p] += u / static_cast<double>(rows); });
  each([&](int64_t p, double u) { all.deviation[p] += (u - all.mean[p]) * (u - all.mean[p]) / static_cast<double>(rows); });
  for (double& one : all.deviation) one = std::sqrt(one);
  return parts_.emplace(name, std::move(all)).first->second;
}

Tensor OperatorTask::chosen(const std::vector<double>& all, const std::vector<int64_t>& rows, int64_t channels) const {
  const int64_t n = points(), each = n * channels;
  std::vector<double> values;
  for (const int64_t row : rows) values.insert(values.end(), all.begin() + row * each, all.begin() + (row + 1) * each);
  return Tensor::from(values, {static_cast<int64_t>(rows.size()), n, channels}, Device::cpu)
      .to(experiment_.dtype())
      .to(experiment_.device());
}

Batch OperatorTask::batch(const OperatorProblem::Functions& from, const std::vector<int64_t>& rows) const {
  const Tensor places = chosen(places_, {0}, problem_->dimensions());
  return {{"function", chosen(from.given, rows)},
          {"wanted", chosen(from.wanted, rows)},
          {"of_slope", chosen(from.of_slope, rows)},
          {"places", expand(places, {static_cast<int64_t>(rows.size()), places.size(1), places.size(2)})}};
}

// û of the training functions' mean μ and deviation σ at each point and the model's output z: μ + σ z, or z.
Tensor OperatorTask::prediction(const Batch& batch, const nn::Call& call) const {
  const Tensor output = forward(batch, call);
  if (!problem_->standardised()) return output;
  const Part& learned = part("train");
  return add(mul(output, chosen(learned.deviation, {0})), chosen(learned.mean, {0}));
}

double OperatorTask::relative_error_of(const std::string& name) {
  const NoGrad guard;
  const OperatorProblem::Functions& all = part(name).functions;
  double error = 0;
  for (int64_t begin = 0; begin < options_.evaluated; begin += experiment_.train.batch) {
    std::vector<int64_t> rows(std::min(experiment_.train.batch, options_.evaluated - begin));
    std::iota(rows.begin(), rows.end(), begin);
    const Batch own = batch(all, rows);
    error += sum(relative_error(prediction(own, {}), own.at("wanted"))).item();
  }
  error /= static_cast<double>(options_.evaluated);
  require_finite("evaluate", "the relative error", error);
  return error;
}

TrainTask OperatorTask::train_task() {
  const OperatorProblem::Functions& all = part("train").functions;
  TrainTask task{model(), {}, {}, experiment_.identity()};
  task.unit = unit();
  task.loss = [this, &all](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const std::vector<int64_t> rows = order_.rows(step, part, parts);
    const Batch own = batch(all, rows);
    const Tensor found = prediction(own, call);
    const Tensor errors = add(relative_error(found, own.at("wanted")),
                              affine(problem_->slope_error(found, own), std::sqrt(options_.slope * problem_->spacing()), 0));
    return LossSum{sum(errors), static_cast<int64_t>(rows.size()), experiment_.train.batch};
  };
  task.first_samples = [this](const nn::Call& call) {
    std::vector<int64_t> rows(std::min(logged_samples(), options_.evaluated));
    std::iota(rows.begin(), rows.end(), 0);
    prediction(batch(part("valid").functions, rows), call);
  };
  task.evaluate = [this](const nn::Call&) { return Metrics{{"validation_loss", relative_error_of("valid")}}; };
  return task;
}

Task::Evaluation OperatorTask::evaluate_part(const std::string& part) {
  const double error = relative_error_of(part);
  return {{{"functions", fmt::format("{}", options_.evaluated)}, {"relative_error", fmt::format("{:.3e}", error)}}};
}

Task::Results OperatorTask::comparable(const std::string&) const {
  return {{"equation", problem_->description()}, {"evaluated", fmt::format("{}", options_.evaluated)}};
}

std::pair<Batch, int64_t> OperatorTask::sample() const {
  const auto zeros = [&](int64_t channels) {
    return Tensor::zeros({1, points(), channels}, experiment_.dtype(), experiment_.device());
  };
  return {{{"function", zeros(1)}, {"places", zeros(problem_->dimensions())}}, 1};
}

std::string OperatorTask::summary() const {
  return fmt::format("{}, {} functions", problem_->description(), options_.functions);
}

TaskRow operator_row() {
  return {.name = "operator",
          .title = "a function that a differential equation makes of another one: Burgers', Darcy's",
          .options = [] { return std::make_unique<OperatorOptions>(); },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<OperatorTask>(experiment);
          }};
}

}  // namespace tapir

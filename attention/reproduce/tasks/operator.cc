#include "attention/reproduce/tasks/operator.h"

#include <fmt/core.h>

#include <cmath>
#include <numeric>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "datasets/draws.h"
#include "datasets/synthetic/burgers.h"
#include "nn/train/finite.h"
#include "tensor/dry_run.h"

namespace tapir {
namespace {

// ‖x − y‖/‖y‖ of each function: (rows,n,1) → (rows,1,1)
Tensor relative(const Tensor& x, const Tensor& y) {
  return div(sqrt(sum(square(sub(x, y)), 1, true)), sqrt(sum(square(y), 1, true)));
}

}  // namespace

OperatorTask::OperatorTask(Experiment& experiment)
    : Task(experiment), options_(dynamic_cast<const OperatorOptions&>(*experiment.task.own)) {
  require(options_.functions >= experiment.train.batch, "operator",
          [&] { return text("a batch of ", experiment.train.batch, " needs as many functions, found ", options_.functions); },
          "set task.functions or train.batch");
  make_model({.takes = Takes::function, .gives = Gives::function, .inputs = 1, .outputs = 1, .dimensions = 1});
}

const OperatorTask::Functions& OperatorTask::part(const std::string& name) const {
  const auto known = parts_.find(name);
  if (known != parts_.end()) return known->second;
  const int64_t rows = name == "train" ? options_.functions : options_.evaluated, n = options_.points;
  if (DryRun::current()) {   // nothing is solved in it, and nothing is kept of it
    const std::vector<double> zeros(rows * n);
    return unsolved_ = {zeros, zeros, zeros};
  }
  Functions all{burgers_initial(name, rows, n), {}, {}};
  all.after = BurgersEquation().solve(all.before, n);
  all.slope = circle_derivative(all.after, n, 1);
  return parts_.emplace(name, std::move(all)).first->second;
}

// Row b of batch k is function π_e(k B + b − e K B), e = ⌊k/K⌋ the epoch, K = ⌊functions/B⌋, π_e a permutation for seed and e.
std::vector<int64_t> OperatorTask::rows_of(int64_t step, int64_t part, int64_t parts) const {
  const int64_t B = experiment_.train.batch, K = options_.functions / B, epoch = step / K;
  if (!order_ || order_->epoch != epoch)
    order_ = {epoch, permutation(options_.functions, {.seed = static_cast<uint64_t>(experiment_.run.seed),
                                                      .step = static_cast<uint32_t>(epoch), .site = site_of("functions")})};
  const auto begin = order_->functions.begin() + step % K * B + part * (B / parts);
  return {begin, begin + B / parts};
}

Tensor OperatorTask::chosen(const std::vector<double>& all, const std::vector<int64_t>& rows) const {
  const int64_t n = options_.points;
  std::vector<double> values;
  for (const int64_t row : rows) values.insert(values.end(), all.begin() + row * n, all.begin() + (row + 1) * n);
  return Tensor::from(values, {static_cast<int64_t>(rows.size()), n, 1}, Device::cpu)
      .to(experiment_.dtype())
      .to(experiment_.device());
}

Batch OperatorTask::batch(const Functions& from, const std::vector<int64_t>& rows) const {
  std::vector<double> place(options_.points);
  for (size_t j = 0; j < place.size(); ++j) place[j] = static_cast<double>(j) / static_cast<double>(place.size());
  return {{"function", chosen(from.before, rows)},
          {"places", expand(chosen(place, {0}), {static_cast<int64_t>(rows.size()), options_.points, 1})}};
}

double OperatorTask::relative_error(const std::string& name) {
  const NoGrad guard;
  const Functions& all = part(name);
  double error = 0;
  for (int64_t begin = 0; begin < options_.evaluated; begin += experiment_.train.batch) {
    std::vector<int64_t> rows(std::min(experiment_.train.batch, options_.evaluated - begin));
    std::iota(rows.begin(), rows.end(), begin);
    error += sum(relative(forward(batch(all, rows), {}), chosen(all.after, rows))).item();
  }
  error /= static_cast<double>(options_.evaluated);
  require_finite("evaluate", "the relative error", error);
  return error;
}

TrainTask OperatorTask::train_task() {
  const Functions& all = part("train");
  TrainTask task{model(), {}, {}, experiment_.identity()};
  task.unit = unit();
  task.loss = [this, &all](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const std::vector<int64_t> rows = rows_of(step, part, parts);
    const int64_t n = options_.points, inner = n - 2;
    const Tensor found = forward(batch(all, rows), call);
    const Tensor slope = affine(sub(slice(found, 1, 2, inner), slice(found, 1, 0, inner)), static_cast<double>(n) / 2, 0);
    const Tensor errors = add(relative(found, chosen(all.after, rows)),
                              affine(relative(slope, slice(chosen(all.slope, rows), 1, 1, inner)),
                                     std::sqrt(options_.slope / static_cast<double>(n)), 0));
    return LossSum{sum(errors), static_cast<int64_t>(rows.size()), experiment_.train.batch};
  };
  task.evaluate = [this](const nn::Call&) { return Metrics{{"validation_loss", relative_error("valid")}}; };
  return task;
}

Task::Evaluation OperatorTask::evaluate_part(const std::string& part) {
  const double error = relative_error(part);
  return {{{"functions", fmt::format("{}", options_.evaluated)}, {"relative_error", fmt::format("{:.3e}", error)}}};
}

Task::Results OperatorTask::comparable(const std::string&) const {
  return {{"points", fmt::format("{}", options_.points)}, {"evaluated", fmt::format("{}", options_.evaluated)}};
}

std::pair<Batch, int64_t> OperatorTask::sample() const {
  const Tensor zeros = Tensor::zeros({1, options_.points, 1}, experiment_.dtype(), experiment_.device());
  return {{{"function", zeros}, {"places", zeros}}, 1};
}

std::string OperatorTask::summary() const {
  return fmt::format("Burgers' equation at {} points of a circle, {} functions", options_.points, options_.functions);
}

TaskRow operator_row() {
  return {.name = "operator",
          .title = "a function at time 1 from the one at time 0: Burgers' equation",
          .options = [] { return std::make_unique<OperatorOptions>(); },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<OperatorTask>(experiment);
          }};
}

}  // namespace tapir

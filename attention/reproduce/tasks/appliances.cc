#include "attention/reproduce/tasks/appliances.h"

#include <fmt/core.h>

#include <iterator>
#include <numeric>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/train/finite.h"

namespace tapir {
namespace {

constexpr int64_t K = std::size(appliances);

double mean_of(const std::vector<OnOff>& all, double (OnOff::*of)() const) {
  double sum = 0;
  for (const OnOff& one : all) sum += (one.*of)();
  return sum / static_cast<double>(all.size());
}

}  // namespace

double OnOff::f1() const {
  const int64_t wrong = false_alarms + misses;
  return hits + wrong ? 2 * static_cast<double>(hits) / static_cast<double>(2 * hits + wrong) : 1;
}

double OnOff::accuracy() const { return 1 - static_cast<double>(false_alarms + misses) / static_cast<double>(samples); }

double AppliancesTask::Judged::f1() const { return mean_of(appliances, &OnOff::f1); }
double AppliancesTask::Judged::accuracy() const { return mean_of(appliances, &OnOff::accuracy); }

AppliancesTask::AppliancesTask(Experiment& experiment)
    : Task(experiment), options_(dynamic_cast<const AppliancesOptions&>(*experiment.task.own)),
      order_("appliances", "windows", options_.windows, experiment.train.batch, experiment.run.seed) {
  make_model({.takes = Takes::series, .gives = Gives::states, .inputs = 1, .outputs = K, .samples = options_.samples});
}

PowerWindows AppliancesTask::windows(const std::string& part, const std::vector<int64_t>& indices) const {
  const uint64_t seed = part == "train" ? static_cast<uint64_t>(experiment_.run.seed) : 0;
  return power_windows(part, seed, indices, options_.samples, options_.noise);
}

Tensor AppliancesTask::placed(const std::vector<double>& values, int64_t channels) const {
  const int64_t rows = static_cast<int64_t>(values.size()) / (options_.samples * channels);
  return Tensor::from(values, {rows, options_.samples, channels}, Device::cpu)
      .to(experiment_.dtype())
      .to(experiment_.device());
}

Tensor AppliancesTask::logits(const PowerWindows& windows, const nn::Call& call) const {
  return forward({{"series", placed(windows.power, 1)}}, call);
}

Tensor AppliancesTask::loss(const Tensor& logits, const PowerWindows& windows) const {
  const Tensor on = placed({windows.on.begin(), windows.on.end()}, K);
  return affine(sum(sub(softplus(logits), mul(on, logits))), 1 / static_cast<double>(options_.samples * K), 0);
}

TrainTask AppliancesTask::train_task() {
  TrainTask task{model(), {}, {}, experiment_.identity(), {"validation_f1", true}};
  task.unit = unit();
  task.loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const std::vector<int64_t> rows = order_.rows(step, part, parts);
    const PowerWindows own = windows("train", rows);
    return LossSum{loss(logits(own, call), own), static_cast<int64_t>(rows.size()), experiment_.train.batch};
  };
  task.evaluate = [this](const nn::Call&) {
    const Judged all = judge("valid");
    return Metrics{{"validation_loss", all.loss}, {"validation_f1", all.f1()}, {"validation_accuracy", all.accuracy()}};
  };
  task.first_samples = [this](const nn::Call& call) {
    std::vector<int64_t> rows(std::min(logged_samples(), options_.evaluated));
    std::iota(rows.begin(), rows.end(), 0);
    logits(windows("valid", rows), call);
  };
  task.show = [this](const nn::Call& call) {
    const NoGrad guard;
    const PowerWindows first = windows("valid", {0});
    std::vector<std::string> tokens;
    nn::Call own = call;
    own.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
      if (name == "patch") {
        const int64_t patch = value.values<int32_t>()[0];
        for (int64_t t = 0; t < options_.samples; t += patch) tokens.push_back(fmt::format("{:.2f} kW", first.power[t]));
      } else if (call.recorder) {
        call.recorder(path, name, value);
      }
    };
    logits(first, own);
    return tokens;
  };
  return task;
}

AppliancesTask::Judged AppliancesTask::judge(const std::string& part) const {
  const NoGrad guard;
  Judged judged{.loss = 0, .appliances = std::vector<OnOff>(K)};
  for (int64_t begin = 0; begin < options_.evaluated; begin += experiment_.train.batch) {
    std::vector<int64_t> rows(std::min(experiment_.train.batch, options_.evaluated - begin));
    std::iota(rows.begin(), rows.end(), begin);
    const PowerWindows own = windows(part, rows);
    const Tensor found = logits(own, {});
    judged.loss += loss(found, own).item() / static_cast<double>(options_.evaluated);
    const std::vector<double> values = found.to(DType::f64).values<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      OnOff& one = judged.appliances[i % static_cast<size_t>(K)];
      const bool said = values[i] > 0, is_on = own.on[i];
      one.hits += said && is_on;
      one.false_alarms += said && !is_on;
      one.misses += !said && is_on;
      ++one.samples;
    }
  }
  require_finite("evaluate", "the loss", judged.loss);
  return judged;
}

Task::Evaluation AppliancesTask::evaluate_part(const std::string& part) {
  const Judged all = judge(part);
  Results results{{"windows", fmt::format("{}", options_.evaluated)},
                  {"F1", fmt::format("{:.4f}", all.f1())},
                  {"accuracy", fmt::format("{:.4f}", all.accuracy())},
                  {"nats", fmt::format("{:.5f}", all.loss)}};
  for (int64_t k = 0; k < K; ++k)
    results.emplace_back(text("F1 ", appliances[k].name), fmt::format("{:.4f}", all.appliances[k].f1()));
  return {std::move(results)};
}

Task::Results AppliancesTask::comparable(const std::string&) const {
  return {{"samples", fmt::format("{}", options_.samples)},
          {"noise", fmt::format("{}", options_.noise)},
          {"evaluated", fmt::format("{}", options_.evaluated)}};
}

std::pair<Batch, int64_t> AppliancesTask::sample() const {
  return {{{"series", Tensor::zeros({1, options_.samples, 1}, experiment_.dtype(), experiment_.device())}}, 1};
}

std::string AppliancesTask::summary() const {
  return fmt::format("{} windows of {} samples of the power of {} appliances", options_.windows, options_.samples, K);
}

TaskRow appliances_row() {
  return {.name = "appliances",
          .title = "which appliances are on, from the power that all of them draw",
          .options = [] { return std::make_unique<AppliancesOptions>(); },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<AppliancesTask>(experiment);
          }};
}

}  // namespace tapir

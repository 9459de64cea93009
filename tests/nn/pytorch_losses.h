// Trainings beside those that scripts of tests/golden/ recorded.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attention/reproduce/tasks/task.h"
#include "autograd/backward.h"
#include "autograd/tolerance.h"
#include "tensor/in_place.h"

namespace tapir::testing {

// `golden`: the folder. Of reference/NAME.json.
inline nlohmann::json recorded_training(const std::filesystem::path& golden, const std::string& name) {
  std::ifstream file(golden / "reference" / (name + ".json"));
  REQUIRE(file);
  return nlohmann::json::parse(file);
}

// Of reference/generated-NAME-f64.json.
inline std::vector<double> reference_losses(const std::filesystem::path& golden, const std::string& name) {
  return recorded_training(golden, "generated-" + name + "-f64").at("losses");
}

// The steps of the experiment in `file`, on the device of the tests.
class Steps {
 public:
  Steps(const std::filesystem::path& file, std::vector<std::string> assignments) {
    assignments.push_back(text("run.device=", default_device()));
    experiment_ = read_experiment(file, assignments);
    const ComputeAs place(experiment_);
    task_ = make_task(experiment_);
    loop_ = std::make_unique<TrainTask>(task_->train_task());
    optimiser_ = experiment_.optimiser.make(task_->model());
  }

  int64_t count() const { return experiment_.train.steps; }

  // The mean loss of step k. Its gradients, summed over the batch, stay in the parameters.
  double compute(int64_t k) {
    const ComputeAs place(experiment_);
    loss_ = accumulate_gradients(*loop_, *optimiser_, k, 1, 1);
    return loss_.sum.item() / static_cast<double>(loss_.count);
  }

  void apply(int64_t k) {
    const ComputeAs place(experiment_);
    apply_gradients(*optimiser_, experiment_.schedule.at(k, count()), experiment_.train.clip, loss_.count);
    loss_.effects.commit();
  }

  std::vector<Tensor> weights() const {
    std::vector<Tensor> all;
    task_->model().each_parameter([&](const std::string&, const nn::Parameter& one) { all.push_back(one.value); });
    return all;
  }

 private:
  Experiment experiment_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<TrainTask> loop_;
  std::unique_ptr<nn::Optimiser> optimiser_;
  StepLoss loss_;
};

inline std::vector<double> train_losses(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  Steps steps(file, assignments);
  std::vector<double> losses;
  for (int64_t k = 0; k < steps.count(); ++k) {
    losses.push_back(steps.compute(k));
    steps.apply(k);
  }
  return losses;
}

// ‖a − b‖ / ‖b‖ of the gradients at a and at b, all of them together.
inline double gradient_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const std::vector<double> x = gradient(a[i]).to(DType::f64).values<double>(), y = gradient(b[i]).values<double>();
    for (size_t k = 0; k < x.size(); ++k) {
      difference += (x[k] - y[k]) * (x[k] - y[k]);
      norm += y[k] * y[k];
    }
  }
  return std::sqrt(difference / norm);
}

// A training in f64, and at each of its steps how far the loss and the gradient are from it that f32 makes of the same weights:
// nothing adds up, so rounding is seen before training has amplified it.
struct BesideSingle {
  std::vector<double> losses, loss_differences, gradient_differences;   // both relative
};

inline BesideSingle train_beside_single(const std::filesystem::path& file, std::vector<std::string> assignments) {
  assignments.emplace_back("run.dtype=f64");
  Steps steps(file, assignments);
  assignments.back() = "run.dtype=f32";
  Steps single(file, assignments);
  const std::vector<Tensor> weights = steps.weights();
  std::vector<Tensor> narrow = single.weights();
  BesideSingle all;
  for (int64_t k = 0; k < steps.count(); ++k) {
    for (size_t i = 0; i < weights.size(); ++i) copy_(narrow[i], weights[i].detach());
    const double loss = steps.compute(k), own = single.compute(k);
    all.losses.push_back(loss);
    all.loss_differences.push_back(error_of(own, loss, std::abs(loss)));
    all.gradient_differences.push_back(gradient_difference(narrow, weights));
    steps.apply(k);
  }
  return all;
}

// |a_k − b_k| / |b_k|
inline std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  std::vector<double> all;
  for (size_t k = 0; k < a.size(); ++k) all.push_back(error_of(a[k], b[k], std::abs(b[k])));
  return all;
}

inline double largest(const std::vector<double>& x) { return *std::max_element(x.begin(), x.end()); }

inline double worst_difference(const std::vector<double>& a, const std::vector<double>& b) { return largest(differences(a, b)); }

}  // namespace tapir::testing

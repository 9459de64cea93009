// Trainings beside those that scripts of tests/golden/ recorded.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attention/reproduce/tasks/task.h"
#include "autograd/tolerance.h"

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

// Of the steps of the experiment in `file`, on the device of the tests.
inline std::vector<double> train_losses(const std::filesystem::path& file, std::vector<std::string> assignments) {
  assignments.push_back(text("run.device=", default_device()));
  Experiment experiment = read_experiment(file, assignments);
  const ComputeAs place(experiment);
  const std::unique_ptr<Task> task = make_task(experiment);
  TrainTask loop = task->train_task();
  const std::unique_ptr<nn::Optimiser> optimiser = experiment.optimiser.make(task->model());
  std::vector<double> losses;
  for (int64_t k = 0; k < experiment.train.steps; ++k) {
    StepLoss loss = accumulate_gradients(loop, *optimiser, k, 1, 1);
    losses.push_back(loss.sum.item() / static_cast<double>(loss.count));
    apply_gradients(*optimiser, experiment.schedule.at(k, experiment.train.steps), experiment.train.clip, loss.count);
    loss.effects.commit();
  }
  return losses;
}

inline double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t k = 0; k < a.size(); ++k) worst = std::max(worst, error_of(a[k], b[k], std::abs(b[k])));
  return worst;
}

}  // namespace tapir::testing

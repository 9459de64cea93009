// The whole of training against PyTorch: same text, same initial weights, same recipe, f64, 20 steps. The losses that
// tests/golden/language_model.py recorded are in tests/golden/reference/; docs/pytorch.md says how.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attention/reproduce/tasks/language.h"
#include "autograd/tolerance.h"

using namespace tapir;

namespace {

const std::filesystem::path golden = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden";

std::vector<double> reference_losses(const std::string& name) {
  std::ifstream file(golden / "reference" / ("generated-" + name + "-f64.json"));
  REQUIRE(file);
  return nlohmann::json::parse(file).at("losses");
}

std::vector<double> train_losses(std::vector<std::string> assignments) {
  assignments.push_back(text("run.device=", default_device()));
  Experiment experiment = read_experiment(golden / "generated.toml", assignments);
  const ComputeAs place(experiment);
  LanguageTask task(experiment);
  TrainTask loop = task.train_task();
  nn::AdamW optimiser(task.model(), experiment.optimiser.adamw);
  std::vector<double> losses;
  for (int64_t k = 0; k < experiment.train.steps; ++k) {
    const StepLoss loss = accumulate_gradients(loop, optimiser, k, 1, 1);
    losses.push_back(loss.sum.item() / static_cast<double>(loss.count));
    apply_gradients(optimiser, experiment.schedule.at(k, experiment.train.steps), experiment.train.clip, loss.count);
  }
  return losses;
}

double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t k = 0; k < a.size(); ++k) worst = std::max(worst, error_of(a[k], b[k], std::abs(b[k])));
  return worst;
}

constexpr double tolerance = 1e-9;

}  // namespace

TEST_CASE("20 training steps give PyTorch's losses: dot product, and its mistakes on purpose do not") {
  const std::vector<double> losses = train_losses({});
  CHECK(worst_difference(losses, reference_losses("dot")) < tolerance);
  CHECK(worst_difference(losses, reference_losses("dot-decay-biases")) > tolerance);   // weight decay on biases too
  CHECK(worst_difference(losses, reference_losses("dot-tanh-gelu")) > tolerance);      // GELU by its tanh approximation
}

TEST_CASE("20 training steps give PyTorch's losses: heads of a width of their own, biases elsewhere, a tied head") {
  CHECK(worst_difference(train_losses({"model.head_width=40", "model.bias=false", "model.attention_bias=true",
                                       "model.tied_head=true", "model.head_bias=true"}),
                         reference_losses("dot-other-parts")) < tolerance);
}

TEST_CASE("20 training steps give PyTorch's losses: Neural Attention as released, in block 0") {
  CHECK(worst_difference(train_losses({"attention.mechanism=score_mlp"}), reference_losses("neural-released")) < tolerance);
}

TEST_CASE("20 training steps give PyTorch's losses: Neural Attention of the paper, in all blocks") {
  CHECK(worst_difference(train_losses({"attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all"}),
                         reference_losses("neural-paper")) < tolerance);
}

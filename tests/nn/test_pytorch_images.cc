// The whole of training on images against PyTorch: same batches, same initial weights, same recipe, f64, 20 steps. The losses
// that tests/golden/image_model.py recorded are in tests/golden/reference/; docs/pytorch.md says how.
#include <algorithm>
#include <cmath>

#include "datasets/catalog.h"
#include "datasets/image/images.h"
#include "tests/length.h"
#include "tests/nn/pytorch_losses.h"
#include "tests/skipped.h"

using namespace tapir;
using testing::worst_difference;

namespace {

const std::filesystem::path golden = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden";

constexpr double tolerance = 1e-9;

const std::vector<std::string> neural_paper{"attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all",
                                            "attention.reduced=2"};

double smallest(const std::vector<double>& x) { return *std::min_element(x.begin(), x.end()); }

double root_mean_square(const std::vector<double>& x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  return std::sqrt(squares / static_cast<double>(x.size()));
}

// A gradient through ReLU jumps where a unit lies within rounding of 0, so that f32 and f64 may stand on different sides of it:
// in small batches the best of some steps has no such unit, and shows rounding alone; in large ones every step has some, and
// how much they count tells how far forward numbers are off.
using Summary = double (*)(const std::vector<double>&);

// 20 steps in f64 give the recorded losses; the gradient in f32 at the same weights is no more than 1.5
// times as far from f64 as PyTorch's.
std::vector<double> check_steps(const char* recipe, const std::vector<std::string>& assignments, const nlohmann::json& recorded,
                                Summary summary) {
  const testing::BesideSingle own = testing::train_beside_single(golden / recipe, assignments);
  CHECK(worst_difference(own.losses, recorded.at("losses")) < tolerance);
  CHECK(testing::largest(own.loss_differences) < 1e-6);
  CHECK(summary(own.gradient_differences) < 1.5 * summary(recorded.at("f32_differences").at("gradient")));
  return own.losses;
}

std::vector<double> check_generated(const char* recipe, const std::vector<std::string>& assignments, const std::string& name) {
  return check_steps(recipe, assignments, testing::recorded_training(golden, "generated-image-" + name + "-f64"), smallest);
}

std::vector<double> generated_losses(const std::string& name) { return testing::reference_losses(golden, "image-" + name); }

// Calls judge(recorded, assignments) of reference/cifar-10-NAME-DTYPE.json, whose training part must be the one that is there.
template <class Judge>
void with_cifar_10(const std::string& name, const std::string& dtype, int64_t steps, std::vector<std::string> assignments,
                   const Judge& judge) {
  const std::string recording = "cifar-10-" + name + '-' + dtype;
  CAPTURE(recording);
  if (testing::lacks(golden / "reference" / (recording + ".json"))) return;
  const nlohmann::json recorded = testing::recorded_training(golden, recording);
  if (read_images({}).description.train_sha256 != recorded.at("train_sha256").get<std::string>())
    return testing::skipped("the images of CIFAR-10 are not those that PyTorch was given");
  for (const std::string& assignment : {text("train.steps=", steps), std::string("train.batch=128"),
                                        std::string("data.kind=cifar-10"), std::string("data.train_images=0")})
    assignments.push_back(assignment);
  judge(recorded, assignments);
}

}  // namespace

TEST_CASE("20 training steps on images give PyTorch's losses: a vision transformer, and its mistakes on purpose do not") {
  const std::vector<double> losses = check_generated("images.toml", {}, "dot");
  CHECK(worst_difference(losses, generated_losses("dot-decay-biases")) > tolerance);      // weight decay on biases too
  CHECK(worst_difference(losses, generated_losses("dot-flipped-patches")) > tolerance);   // patches column by column
}

TEST_CASE("20 training steps on images give PyTorch's losses: a class token, smoothed labels") {
  check_generated("images.toml", {"model.pool=class", "task.label_smoothing=0.1"}, "class-smoothed");
}

TEST_CASE("20 training steps on images give PyTorch's losses: Neural Attention of the paper, in all blocks") {
  check_generated("images.toml", neural_paper, "neural-paper");
}

TEST_CASE("20 training steps on images give PyTorch's losses: a residual network with batch norm, and one with another epsilon not") {
  const std::vector<double> losses = check_generated("images-resnet.toml", {}, "resnet");
  CHECK(worst_difference(losses, generated_losses("resnet-norm-epsilon")) > tolerance);
}

TEST_CASE("batches of 128 images of CIFAR-10 give PyTorch's losses: 20 steps in f64, 100 in f32") {
  if (!long_form()) return;
  if (!find_data_set("cifar-10")->is_present()) return testing::skipped("CIFAR-10 is not there");
  using Assignments = std::vector<std::string>;
  const auto judge = [](const char* recipe, const std::string& name, const Assignments& own) {
    with_cifar_10(name, "f64", 20, own, [&](const nlohmann::json& recorded, const Assignments& all) {
      check_steps(recipe, all, recorded, root_mean_square);
    });
    // Two ways to round part, PyTorch's own too (docs/pytorch.md): so tapir may be twice as far from f64 as it is.
    with_cifar_10(name, "f32", 100, own, [&](const nlohmann::json& recorded, Assignments all) {
      all.emplace_back("run.dtype=f32");
      const std::vector<double> truth = recorded.at("losses_f64"), losses = testing::train_losses(golden / recipe, all);
      CHECK(root_mean_square(testing::differences(losses, truth)) <
            2 * root_mean_square(testing::differences(recorded.at("losses"), truth)));
    });
  };
  judge("images.toml", "dot", {});
  judge("images.toml", "neural-paper", neural_paper);
  judge("images-resnet.toml", "resnet", {});
}

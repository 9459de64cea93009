// The whole of training on images against PyTorch: same batches, same initial weights, same recipe, f64, 20 steps. The losses
// that tests/golden/image_model.py recorded are in tests/golden/reference/; docs/pytorch.md says how.
#include "datasets/catalog.h"
#include "datasets/image/images.h"
#include "tests/length.h"
#include "tests/nn/pytorch_losses.h"
#include "tests/skipped.h"

using namespace tapir;
using testing::worst_difference;

namespace {

const std::filesystem::path golden = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden";

std::vector<double> reference_losses(const std::string& name) { return testing::reference_losses(golden, "image-" + name); }
std::vector<double> train_losses(const std::vector<std::string>& assignments) {
  return testing::train_losses(golden / "images.toml", assignments);
}

constexpr double tolerance = 1e-9;

const std::vector<std::string> neural_paper{"attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all",
                                            "attention.reduced=2"};

// Of reference/cifar-10-NAME-DTYPE.json, whose training part must be the one that is there.
void check_cifar_10(const char* recipe, const std::string& name, std::vector<std::string> assignments, const std::string& dtype,
                    int64_t steps, double bound) {
  const std::string recording = "cifar-10-" + name + '-' + dtype;
  if (testing::lacks(golden / "reference" / (recording + ".json"))) return;
  const nlohmann::json recorded = testing::recorded_training(golden, recording);
  if (read_images({}).description.train_sha256 != recorded.at("train_sha256"))
    return testing::skipped("the images of CIFAR-10 are not those that PyTorch was given");
  for (const std::string& assignment : {"run.dtype=" + dtype, text("train.steps=", steps), std::string("train.batch=128"),
                                        std::string("data.kind=cifar-10"), std::string("data.train_images=0")})
    assignments.push_back(assignment);
  CHECK(worst_difference(testing::train_losses(golden / recipe, assignments), recorded.at("losses")) < bound);
}

}  // namespace

TEST_CASE("20 training steps on images give PyTorch's losses: a vision transformer, and its mistakes on purpose do not") {
  const std::vector<double> losses = train_losses({});
  CHECK(worst_difference(losses, reference_losses("dot")) < tolerance);
  CHECK(worst_difference(losses, reference_losses("dot-decay-biases")) > tolerance);      // weight decay on biases too
  CHECK(worst_difference(losses, reference_losses("dot-flipped-patches")) > tolerance);   // patches column by column
}

TEST_CASE("20 training steps on images give PyTorch's losses: a class token, smoothed labels") {
  CHECK(worst_difference(train_losses({"model.pool=class", "task.label_smoothing=0.1"}), reference_losses("class-smoothed")) <
        tolerance);
}

TEST_CASE("20 training steps on images give PyTorch's losses: Neural Attention of the paper, in all blocks") {
  CHECK(worst_difference(train_losses(neural_paper), reference_losses("neural-paper")) < tolerance);
}

TEST_CASE("20 training steps on images give PyTorch's losses: a residual network with batch norm, and one with another epsilon not") {
  const std::vector<double> losses = testing::train_losses(golden / "images-resnet.toml", {});
  CHECK(worst_difference(losses, reference_losses("resnet")) < tolerance);
  CHECK(worst_difference(losses, reference_losses("resnet-norm-epsilon")) > tolerance);
}

TEST_CASE("batches of 128 images of CIFAR-10 give PyTorch's losses: 20 steps in f64, 100 in f32") {
  if (!long_form()) return;
  if (!find_data_set("cifar-10")->is_present()) return testing::skipped("CIFAR-10 is not there");
  for (const auto& [type, steps, bound] : {std::tuple{"f64", 20, tolerance}, {"f32", 100, 1e-3}}) {
    const std::string dtype = type;
    CAPTURE(dtype);
    check_cifar_10("images.toml", "dot", {}, dtype, steps, bound);
    check_cifar_10("images.toml", "neural-paper", neural_paper, dtype, steps, bound);
    check_cifar_10("images-resnet.toml", "resnet", {}, dtype, steps, bound);
  }
}

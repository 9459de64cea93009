// The whole of training on images against PyTorch: same batches, same initial weights, same recipe, f64, 20 steps. The losses
// that tests/golden/image_model.py recorded are in tests/golden/reference/; docs/pytorch.md says how.
#include "tests/nn/pytorch_losses.h"

using namespace tapir;
using testing::worst_difference;

namespace {

const std::filesystem::path golden = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden";

std::vector<double> reference_losses(const std::string& name) { return testing::reference_losses(golden, "image-" + name); }
std::vector<double> train_losses(const std::vector<std::string>& assignments) {
  return testing::train_losses(golden / "images.toml", assignments);
}

constexpr double tolerance = 1e-9;

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
  CHECK(worst_difference(train_losses({"attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all",
                                       "attention.reduced=2"}),
                         reference_losses("neural-paper")) < tolerance);
}

TEST_CASE("20 training steps on images give PyTorch's losses: a residual network with batch norm, and one with another epsilon not") {
  const std::vector<double> losses = testing::train_losses(golden / "images-resnet.toml", {});
  CHECK(worst_difference(losses, reference_losses("resnet")) < tolerance);
  CHECK(worst_difference(losses, reference_losses("resnet-norm-epsilon")) > tolerance);
}

// The whole of training against PyTorch: same text, same initial weights, same recipe, f64, 20 steps. The losses that
// tests/golden/language_model.py recorded are in tests/golden/reference/; docs/pytorch.md says how.
#include "tests/nn/pytorch_losses.h"

using namespace tapir;
using testing::worst_difference;

namespace {

const std::filesystem::path golden = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden";

std::vector<double> reference_losses(const std::string& name) { return testing::reference_losses(golden, name); }
std::vector<double> train_losses(const std::vector<std::string>& assignments) {
  return testing::train_losses(golden / "generated.toml", assignments);
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

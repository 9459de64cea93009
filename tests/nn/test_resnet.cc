// Residual networks and stems of convolutions: extents, the shortcut by loops, gradients, and what is refused. Their numbers are
// compared with PyTorch's in test_pytorch_images.cc.
#include "nn/models/resnet.h"

#include <doctest/doctest.h>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "nn/effects.h"
#include "nn/models/image_stem.h"
#include "tensor/random.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

Tensor drawn(const Shape& shape) {
  Tensor x = Tensor::empty(shape, DType::f64);
  uniform_(x, -1, 1, {.seed = 5, .step = 0, .site = site_of("pixels")});
  return x;
}

// Of all parameters and the input, in training, whose batch norms take statistics of the batch.
template <class M, class Run> void check_gradients(M& model, const Tensor& x, const Run& run) {
  std::vector<Tensor> leaves{x};
  std::vector<nn::Parameter*> parameters;
  model.each_parameter([&](const std::string&, nn::Parameter& parameter) {
    leaves.push_back(parameter.value.detach());
    parameters.push_back(&parameter);
  });
  const Function f = [&](const std::vector<Tensor>& in) {
    for (size_t k = 0; k < parameters.size(); ++k) parameters[k]->value = in[k + 1];
    nn::Effects effects;
    const nn::Call call{.training = true, .mask = {}, .recorder = {}, .effects = &effects};
    return run(model, in[0], call);
  };
  const GradcheckResult result = gradcheck("model", f, leaves);
  CHECK_MESSAGE(result.passed, result.report);
}

}  // namespace

TEST_CASE("resnet: a depth of 6 n + 2 has n blocks in each of three stages, which halve the image and double the channels") {
  nn::ResNetOptions options;
  nn::ResNet net(options, {.height = 32, .width = 32, .channels = 3}, 10);
  net.initialise(1, DType::f32);
  CHECK(net.parameter_count() == 269'722);   // 0.27 million, table 6 of the paper
  CHECK(net.parameter_at("stages.2.0.conv1.weight").shape == Shape{3, 3, 32, 64});
  CHECK(net.forward(Tensor::zeros({2, 32, 32, 3}), {}).shape() == Shape{2, 10});
  options.depth = 56;
  CHECK(nn::ResNet(options, {.height = 32, .width = 32, .channels = 3}, 10).parameter_count() == 853'018);   // 0.85 million
  options.depth = 21;
  CHECK(message_of([&] { nn::ResNet(options, {.height = 32, .width = 32, .channels = 3}, 10); }) ==
        "resnet: the depth must be 6 n + 2, got 21; hint: 20, 32, 44 and 56 are those of the paper");
}

TEST_CASE("resnet: the shortcut of a block whose convolutions give nothing is every second pixel, and channels of zeros around") {
  nn::ResidualBlock block(2, 5, 2);
  block.initialise(1, DType::f64);
  nn::Parameter& last = block.parameter_at("norm2.weight");   // so that the other branch is 0
  last.value = Tensor::zeros({5}, DType::f64);
  const Tensor x = drawn({2, 3, 4, 2}), y = block.forward(x, {}).detach();
  REQUIRE(y.shape() == Shape{2, 2, 2, 5});
  const std::vector<double> in = x.values<double>(), out = y.contiguous().values<double>();
  size_t k = 0;
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 2; ++j)
        for (int64_t c = 0; c < 5; ++c) {
          const double shortcut = c < 1 || c > 2 ? 0 : in[((b * 3 + 2 * i) * 4 + 2 * j) * 2 + c - 1];
          CHECK(out[k++] == std::max(0.0, shortcut));
        }
}

TEST_CASE("resnet: gradients of a block and of both stems of convolutions") {
  nn::ResidualBlock block(2, 4, 2);
  block.initialise(1, DType::f64);
  check_gradients(block, drawn({2, 3, 4, 2}), [](auto& m, const Tensor& x, const nn::Call& call) { return m.forward(x, call); });
  for (const char* kind : {"convolution", "residual"}) {
    CAPTURE(kind);
    const std::unique_ptr<nn::ImageStem> stem = nn::make_stem(kind, 3, 4, 8);
    stem->initialise(1, DType::f64);
    CHECK(stem->forward(drawn({2, 8, 4, 3}), {}).shape() == Shape{2, 2, 8});
    check_gradients(*stem, drawn({2, 8, 4, 3}), [](auto& m, const Tensor& x, const nn::Call& call) { return m.forward(x, call); });
  }
}

TEST_CASE("stems: patches that are no power of 2, and widths that cannot be halved, are refused") {
  CHECK(message_of([] { nn::make_stem("convolution", 3, 3, 8); }) ==
        "convolution stem: halves the image some times, so patches are of 2, 4, 8 … pixels, got 3");
  CHECK(message_of([] { nn::make_stem("convolution", 3, 8, 6); }) == "convolution stem: the width 6 must be a multiple of 4");
  CHECK(message_of([] { nn::make_stem("residual", 3, 4, 6); }) == "residual stem: the width 6 must be a multiple of 4");
  CHECK(message_of([] { nn::make_stem("residual", 3, 1, 6); }) ==
        "residual stem: halves the image some times, so patches are of 2, 4, 8 … pixels, got 1");
}

// Layers of images: three steps of a small network give PyTorch's values (tests/golden/image_layers.py); what layers have,
// refuse and leave behind.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/pooling.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/layers/batch_norm.h"
#include "nn/layers/convolution.h"
#include "tensor/dry_run.h"
#include "tensor/in_place.h"
#include "tests/golden_file.h"
#include "tests/messages.h"

using namespace tapir;
using nlohmann::json;

namespace {

struct Network : nn::Module {
  nn::Conv2d& first = child<nn::Conv2d>("0", 3, 4, 3, ConvolutionOptions{.padding = 1}, false);
  nn::BatchNorm& first_norm = child<nn::BatchNorm>("1", 4);
  nn::Conv2d& last = child<nn::Conv2d>("3", 4, 4, 3, ConvolutionOptions{.stride = 2, .padding = 1, .groups = 4});
  nn::BatchNorm& last_norm = child<nn::BatchNorm>("4", 4, 1e-3, 0.3);

  Tensor forward(const Tensor& x, const nn::Call& call) const {
    const Scope scope = enter();
    return leave(last_norm.forward(last.forward(relu(first_norm.forward(first.forward(x), call))), call), x);
  }
};

void compare(const Tensor& found, const json& entry) {
  const Tensor expected = golden_tensor(entry);
  REQUIRE(found.shape() == expected.shape());
  const std::vector<double> a = found.detach().values<double>(), b = expected.values<double>();
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]) / std::max(1.0, std::fabs(b[i])));
  CHECK(worst <= 1e-12);
}

void compare_statistics(const nn::BatchNorm& norm, const json& statistics, const std::string& name) {
  compare(norm.mean.value, statistics.at(name + ".running_mean"));
  compare(norm.variance.value, statistics.at(name + ".running_var"));
}

nn::Call training_with(nn::Effects& effects) {
  nn::Call call;
  call.training = true;
  call.effects = &effects;
  return call;
}

double mean_square(const Tensor& x) {
  double total = 0;
  for (const double value : x.detach().to(DType::f64).values<double>()) total += value * value;
  return total / static_cast<double>(x.elements());
}

}  // namespace

TEST_CASE("image layers: three steps give PyTorch's outputs, parameters and running statistics") {
  const json golden = golden_file("image_layers.json");
  Network network;
  network.initialise(1, DType::f64);
  network.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    copy_(parameter.value, golden_tensor(golden.at("parameters").at(name)));
  });
  for (const json& step : golden.at("steps")) {
    const Tensor x = golden_tensor(step.at("x"));
    nn::Effects effects;
    const Tensor y = network.forward(x, training_with(effects));
    compare(y, step.at("y"));
    backward(sum(mul(y, golden_tensor(step.at("upstream")))));
    network.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
      const Tensor moved = sub(parameter.value.detach(), affine(gradient(parameter.value), golden.at("rate").get<double>(), 0));
      copy_(parameter.value, moved);
      set_gradient(parameter.value, Tensor());
      compare(parameter.value, step.at("parameters").at(name));
    });
    effects.commit();
    compare_statistics(network.first_norm, step.at("statistics"), "1");
    compare_statistics(network.last_norm, step.at("statistics"), "4");
    compare(network.forward(x, nn::Call{}), step.at("evaluated"));
  }
}

TEST_CASE("image layers: convolutions of sequences, and biases, add up by hand") {
  nn::Conv1d layer(2, 3, 2, {.stride = 2, .padding = 1});
  layer.initialise(3, DType::f64);
  const Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {1, 3, 2});
  const Tensor y = layer.forward(x);
  REQUIRE(y.shape() == Shape{1, 2, 3});
  const std::vector<double> w = layer.weight.value.values<double>(), b = layer.bias->value.values<double>();
  for (int64_t o = 0; o < 3; ++o) {
    // Windows (padding, x_0) and (x_1, x_2); w (2,2,3).
    CHECK(y.values<double>()[o] == doctest::Approx(b[o] + w[6 + o] + 2 * w[9 + o]).epsilon(1e-14));
    CHECK(y.values<double>()[3 + o] ==
          doctest::Approx(b[o] + 3 * w[o] + 4 * w[3 + o] + 5 * w[6 + o] + 6 * w[9 + o]).epsilon(1e-14));
  }
}

TEST_CASE("image layers: parameters have names, shapes, kinds and initial values as they say") {
  nn::Conv2d layer(32, 64, 3, {.groups = 2});
  layer.initialise(7);
  CHECK(layer.weight.shape == Shape{3, 3, 16, 64});
  CHECK(layer.weight.kind == nn::ParameterKind::weight);
  REQUIRE(layer.bias);
  CHECK(layer.bias->shape == Shape{64});
  CHECK(layer.bias->kind == nn::ParameterKind::bias);
  // Uniform in ±1/√144: mean square 1/(3 · 144), of 9216 numbers to about 1 %.
  CHECK(mean_square(layer.weight.value) == doctest::Approx(1.0 / 432).epsilon(0.05));
  for (const float value : layer.weight.value.values<float>()) CHECK(std::fabs(value) <= 1.0 / 12);
  for (const float value : layer.bias->value.values<float>()) CHECK(std::fabs(value) <= 1.0 / 12);

  nn::Conv2d he(16, 64, 3, {}, true, nn::Init::normal(std::sqrt(2.0 / 144)));
  he.initialise(7);
  CHECK(mean_square(he.weight.value) == doctest::Approx(2.0 / 144).epsilon(0.05));
  CHECK(mean_square(he.bias->value) == 0);
  CHECK(nn::Conv2d(4, 4, 1, {}, false).bias == nullptr);
  CHECK(nn::Conv1d(4, 6, 5, {.groups = 2}, false).weight.shape == Shape{5, 2, 6});

  std::vector<std::string> buffers;
  nn::BatchNorm norm(5);
  norm.each_buffer([&](const std::string& name, nn::Buffer& buffer) {
    buffers.push_back(name);
    CHECK(buffer.kind == nn::BufferKind::statistics);
  });
  CHECK(buffers == std::vector<std::string>{"running_mean", "running_variance"});
}

TEST_CASE("image layers: evaluation writes no statistics, and training needs a place for them") {
  nn::BatchNorm norm(2);
  norm.initialise(1, DType::f64);
  const Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 5, 7, 11}, {3, 2});
  const Tensor y = norm.forward(x, nn::Call{});
  for (int64_t i = 0; i < 6; ++i) CHECK(y.values<double>()[i] == doctest::Approx(x.values<double>()[i] / std::sqrt(1 + 1e-5)));
  CHECK(norm.mean.value.values<double>() == std::vector<double>{0, 0});
  CHECK(norm.variance.value.values<double>() == std::vector<double>{1, 1});
  nn::Call training;
  training.training = true;
  CHECK(contains_text(message_of([&] { norm.forward(x, training); }), "'running_mean' has no place"));
}

TEST_CASE("image layers: a dry run counts multiplications and additions, forwards and backwards, and pools") {
  const Tensor x = requires_grad(Tensor::full({2, 4, 4, 3}, 1, DType::f64));
  const Tensor w = requires_grad(Tensor::full({3, 3, 3, 5}, 1, DType::f64)), g = Tensor::full({2, 2, 2, 5}, 1, DType::f64);
  DryRun dry;
  const Tensor y = conv2d(x, w, {.padding = 1});
  int64_t operations = 0;
  for (const auto& [path, count] : dry.operations()) operations += count;
  CHECK(operations == 2 * 2 * 16 * 27 * 5);   // two for each of 16 pixels of 2 images, 27 terms, 5 outputs
  grad({max_pool2d(y, 2, 2, {.stride = 2})}, {x, w}, {g});
  operations = 0;
  for (const auto& [path, count] : dry.operations()) operations += count;
  CHECK(operations == 3 * 2 * 2 * 16 * 27 * 5);
}

TEST_CASE("image layers: what they refuse") {
  CHECK(message_of([] { nn::Conv2d(3, 4, 0); }) == "conv2d: in, out and kernel must be at least 1, got 3, 4 and 0");
  CHECK(message_of([] { nn::Conv2d(3, 4, 3, {.groups = 2}); }) == "conv2d: 3 inputs and 4 outputs do not make 2 groups");
  CHECK(message_of([] { nn::Conv1d(4, 4, 3, {.groups = 0}); }) == "conv1d: 4 inputs and 4 outputs do not make 0 groups");
  CHECK(message_of([] { nn::Conv1d(0, 4, 3); }) == "conv1d: in, out and kernel must be at least 1, got 0, 4 and 3");
  CHECK(contains_text(message_of([] { nn::BatchNorm(3, -1); }), "batch_norm: epsilon must be in [0, inf)"));
  CHECK(contains_text(message_of([] { nn::BatchNorm(3, 1e-5, 1.5); }), "batch_norm: momentum must be in [0, 1], got 1.5"));
  nn::BatchNorm norm(2);
  norm.initialise(1, DType::f64);
  nn::Effects effects;
  CHECK(message_of([&] { norm.forward(Tensor::full({1, 1, 2}, 3, DType::f64), training_with(effects)); }) ==
        "batch_norm: training needs more than one value in each channel, got [1,1,2]");
}

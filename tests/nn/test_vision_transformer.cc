// The vision transformer: its patches and places against loops, its parts, and what it refuses.
#include "nn/models/vision_transformer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "attention/zoo.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/random.h"
#include "tests/messages.h"

using namespace tapir;
using nn::VisionTransformer;
using nn::VisionTransformerOptions;

namespace {

Tensor drawn(const Shape& shape, const char* site) {
  Tensor x = Tensor::empty(shape, DType::f64);
  uniform_(x, -1, 1, {.seed = 3, .step = 0, .site = site_of(site)});
  return x;
}

VisionTransformerOptions small() {
  VisionTransformerOptions options;
  options.patch = 2;
  options.width = 16;
  options.layers = 2;
  options.heads = 2;
  return options;
}

constexpr nn::ImageShape image{.height = 4, .width = 6, .channels = 3};

std::unique_ptr<VisionTransformer> made(const VisionTransformerOptions& options, const std::string& mechanism_name = "dot_product",
                                        const nn::ImageShape& of = image) {
  const Mechanism& row = mechanism(mechanism_name);
  const std::unique_ptr<nn::Options> own = row.options();
  auto model = std::make_unique<VisionTransformer>(options, of, 5,
                                                   [&](const nn::MixerShape& shape) { return row.make(*own, shape); });
  model->initialise(1, DType::f64);
  return model;
}

std::set<std::string> names_of(VisionTransformer& model) {
  std::set<std::string> names;
  model.each_parameter([&](const std::string& name, nn::Parameter&) { names.insert(name); });
  return names;
}

}  // namespace

TEST_CASE("vit: patches lie row by row, each row by row, channels last") {
  const int64_t B = 2, R = 2, S = 3, p = 2, Q = 3;
  const Tensor pixels = drawn({B, R * p, S * p, Q}, "pixels"), patches = nn::patches_of(pixels, p);
  CHECK(patches.shape() == Shape{B, R * S, p * p * Q});
  const std::vector<double> in = pixels.values<double>(), out = patches.contiguous().values<double>();
  size_t k = 0;
  for (int64_t b = 0; b < B; ++b)
    for (int64_t r = 0; r < R; ++r)
      for (int64_t s = 0; s < S; ++s)
        for (int64_t y = 0; y < p; ++y)
          for (int64_t x = 0; x < p; ++x)
            for (int64_t q = 0; q < Q; ++q) CHECK(out[k++] == in[((b * R * p + r * p + y) * S * p + s * p + x) * Q + q]);
  CHECK(message_of([&] { nn::patches_of(pixels, 5); }) ==
        "patches: needs (B,H,W,Q) whose sides are multiples of 5, got [2,4,6,3]");
}

TEST_CASE("vit: waves of a grid are those of the row, then those of the column") {
  const std::vector<double> waves = nn::grid_waves(2, 3, 8).values<double>();
  size_t k = 0;
  for (int64_t row = 0; row < 2; ++row)
    for (int64_t column = 0; column < 3; ++column)
      for (const auto place : {static_cast<double>(row), static_cast<double>(column)})
        for (const double wavelength : {1.0, 100.0}) {   // 10000^(2r/4) of r = 0, 1
          CHECK(waves[k++] == doctest::Approx(std::sin(place / wavelength)).epsilon(1e-15));
          CHECK(waves[k++] == doctest::Approx(std::cos(place / wavelength)).epsilon(1e-15));
        }
  CHECK(message_of([] { nn::grid_waves(2, 2, 6); }) ==
        "grid_waves: the width 6 is not a multiple of 4; hint: sine and cosine of row and column share the channels");
}

TEST_CASE("vit: its weights have the names and shapes of the header, as the options ask for them") {
  const std::set<std::string> with_all = names_of(*made(small()));
  for (const char* name : {"patches.weight", "patches.bias", "positions", "norm.weight", "norm.bias", "head.weight", "head.bias",
                           "blocks.1.attention.query.weight"})
    CHECK_MESSAGE(with_all.contains(name), name);
  CHECK(!with_all.contains("class_token"));
  VisionTransformerOptions options = small();
  options.pool = "class";
  const auto with_class = made(options);
  CHECK(with_class->parameter_at("class_token").shape == Shape{16});
  CHECK(with_class->parameter_at("positions").shape == Shape{1 + 2 * 3, 16});
  CHECK(with_class->parameter_at("patches.weight").shape == Shape{16, 2 * 2 * 3});
  CHECK(with_class->parameter_at("head.weight").shape == Shape{5, 16});
  for (const char* positions : {"sinusoidal", "rotary", "none"}) {
    options.positions = positions;
    CHECK(!names_of(*made(options)).contains("positions"));
  }
}

TEST_CASE("vit: with the sizes of Neural Attention's authors it has as many parameters as theirs (golden 1.1.5)") {
  // 47,402,506 with 10 classes, 47,471,716 with 100, and 609 more with the score network in block 0 (their released code).
  VisionTransformerOptions options;
  options.patch = 8;
  options.pool = "class";
  options.positions = "sinusoidal";
  options.width = 768;
  options.layers = 12;
  options.heads = 8;
  options.hidden = 1024;
  const auto count = [&](int64_t classes, const std::string& mechanism_name) {
    const Mechanism& row = mechanism(mechanism_name);
    const std::unique_ptr<nn::Options> own = row.options();
    return VisionTransformer(options, {.height = 224, .width = 224, .channels = 3}, classes,
                             [&](const nn::MixerShape& shape) { return row.make(*own, shape); })
        .parameter_count();
  };
  CHECK(count(10, "dot_product") == 47'402'506);
  CHECK(count(100, "dot_product") == 47'471'716);
  CHECK(count(10, "score_mlp") == 47'402'506 + 609);
}

TEST_CASE("vit: every kind of positions and of pooling has right gradients of weights and pixels") {
  const Tensor pixels = drawn({2, 4, 6, 3}, "pixels");
  for (const char* positions : {"learned", "sinusoidal", "rotary", "none"})
    for (const char* pool : {"mean", "class"}) {
      CAPTURE(positions);
      CAPTURE(pool);
      VisionTransformerOptions options = small();
      options.positions = positions;
      options.pool = pool;
      const auto model = made(options);
      std::vector<Tensor> leaves{pixels};
      std::vector<nn::Parameter*> parameters;
      model->each_parameter([&](const std::string&, nn::Parameter& parameter) {
        leaves.push_back(parameter.value.detach());
        parameters.push_back(&parameter);
      });
      const Function f = [&](const std::vector<Tensor>& in) {
        for (size_t k = 0; k < parameters.size(); ++k) parameters[k]->value = in[k + 1];
        return model->forward(in[0], {});
      };
      const GradcheckResult result = gradcheck("vit", f, leaves);
      CHECK_MESSAGE(result.passed, result.report);
    }
}

TEST_CASE("vit: only positions tell the patches of an image apart") {
  // An image with two patches changed over: without positions the mean of tokens is the same, with any of them it is not.
  const Tensor pixels = drawn({1, 4, 6, 3}, "pixels");
  const Tensor swapped = concat({slice(pixels, 2, 2, 2), slice(pixels, 2, 0, 2), slice(pixels, 2, 4, 2)}, 2);
  for (const char* positions : {"learned", "sinusoidal", "rotary", "none"}) {
    CAPTURE(positions);
    VisionTransformerOptions options = small();
    options.positions = positions;
    const auto model = made(options);
    model->parameter_at("blocks.0.attention.query.weight").value = drawn({16, 16}, "query");   // so that scores differ
    model->parameter_at("blocks.0.attention.key.weight").value = drawn({16, 16}, "key");
    const Tensor difference = max(abs(sub(model->forward(pixels, {}), model->forward(swapped, {}))));
    CHECK((difference.item() < 1e-14) == (std::string(positions) == "none"));
  }
}

TEST_CASE("vit: any mechanism of the zoo that is not causal alone classifies images") {
  const Tensor pixels = drawn({2, 4, 6, 3}, "pixels");
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const auto model = made(small(), row.name);
    const Tensor logits = model->forward(pixels, {});
    CHECK(logits.shape() == Shape{2, 5});
    backward(sum(square(logits)));
    CHECK(max(abs(gradient(model->parameter_at("patches.weight").value))).item() > 0);
  }
}

TEST_CASE("vit: a mechanism that cannot turn its heads by row and column is refused when the model is made, and runs if not") {
  const Tensor pixels = drawn({2, 4, 6, 3}, "pixels");
  std::set<std::string> refused;
  for (const Mechanism& row : zoo())
    for (const int64_t width : {4, 8, 12}) {
      VisionTransformerOptions options = small();
      options.positions = "rotary";
      options.width = 2 * width;
      CAPTURE(row.name);
      CAPTURE(width);
      const std::string message = message_of([&] { made(options, row.name); });
      if (message == "no error") {
        CHECK(made(options, row.name)->forward(pixels, {}).shape() == Shape{2, 5});
      } else {
        CHECK(message.starts_with("vision transformer: the attention of block 0 does not accept rotary positions"));
        refused.insert(text(row.name, ' ', width));
      }
    }
  CHECK(refused.contains("differential 12"));
  CHECK(!refused.contains("differential 8"));
  CHECK(refused.contains("gated_linear 12"));
}

TEST_CASE("vit: what does not fit is refused in one line") {
  const auto refused = [](const auto& change, const nn::ImageShape& of = image) {
    return message_of([&] {
      VisionTransformerOptions options = small();
      change(options);
      made(options, "dot_product", of);
    });
  };
  CHECK(refused([](auto&) {}) == "no error");
  CHECK(refused([](auto& o) { o.patch = 3; }) ==
        "vision transformer: patches of 3 × 3 do not tile images of 4 × 6; hint: choose another model.patch, or another size of "
        "the images");
  CHECK(refused([](auto& o) { o.positions = "alibi"; }) ==
        "vision transformer: positions 'alibi' is none of: learned, sinusoidal, rotary, none");
  CHECK(refused([](auto& o) { o.positions = "rotary", o.head_width = 6; }) ==
        "vision transformer: rotary positions turn pairs of channels for rows and as many for columns, and a head has 6; hint: "
        "set a head_width that is a multiple of 4");
  CHECK(refused([](auto& o) { o.positions = "sinusoidal", o.width = 6; }) ==
        "grid_waves: the width 6 is not a multiple of 4; hint: sine and cosine of row and column share the channels");
  CHECK(message_of([] { made(small())->forward(Tensor::zeros({2, 4, 4, 3}, DType::f64), {}); }) ==
        "vision transformer: pixels must be (B,4,6,3), got [2,4,4,3]");
}

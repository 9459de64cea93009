// Laplacian-Former: whole networks give PyTorch's values (tests/golden/laplacian.py); the shortcut, the bridge and the expansion by
// scalar loops; numbers of parameters; any mechanism in it; what is refused.
#include "nn/models/laplacian_former.h"

#include <doctest/doctest.h>

#include "attention/mechanisms/laplacian.h"
#include "attention/zoo.h"
#include "autograd/backward.h"
#include "autograd/ops.h"
#include "nn/optim/optimiser.h"
#include "tests/attention/attention_helpers.h"
#include "tests/golden_file.h"

using namespace tapir;
using nlohmann::json;
using nn::LaplacianFormer;
using nn::LaplacianFormerOptions;

namespace {

nn::MixerMaker attention_of(int64_t levels) {
  return [levels](const MixerShape& shape) {
    LaplacianOptions options;
    options.levels = levels;
    return make_laplacian(options, shape);
  };
}

double distance_of(const Tensor& x, const Tensor& y) { return frobenius_error(x.values<double>(), y.values<double>()); }

LaplacianFormerOptions small() {
  LaplacianFormerOptions options;
  options.stride = 1;
  options.widths = {4, 8};
  options.depths = {1, 2};
  return options;
}

constexpr nn::ImageShape image{.height = 4, .width = 8, .channels = 3};

std::unique_ptr<LaplacianFormer> made(const LaplacianFormerOptions& options, const nn::ImageShape& of = image) {
  auto model = std::make_unique<LaplacianFormer>(options, of, 5, attention_of(3));
  model->initialise(1, DType::f64);
  return model;
}

template <class M>
std::unique_ptr<M> spread(std::unique_ptr<M> model) {
  model->initialise(1, DType::f64);
  spread_parameters(*model, 1);
  return model;
}

std::vector<double> of(nn::Module& model, const std::string& name) { return model.parameter_at(name).value.values<double>(); }

}  // namespace

TEST_CASE("laplacian former: whole networks give PyTorch's logits and every gradient") {
  const json golden = golden_file("laplacian.json");
  LaplacianFormerOptions options;
  options.stride = golden.at("stride");
  options.widths = golden.at("widths").get<nn::Numbers>();
  options.depths = {1, 1};
  for (const json& one : golden.at("cases")) {
    options.shortcut = one.at("shortcut");
    CAPTURE(options.shortcut);
    const Tensor pixels = requires_grad(golden_tensor(golden.at("pixels")));
    LaplacianFormer model(options, {pixels.size(1), pixels.size(2), pixels.size(3)}, golden.at("classes"),
                          attention_of(golden.at("bands")));
    model.initialise(1, DType::f64);
    const Parameters parameters = parameters_of(model);
    REQUIRE(parameters.size() == golden.at("parameters").size());
    for (const auto& [name, parameter] : parameters)
      parameter->value = requires_grad(golden_tensor(golden.at("parameters").at(name)));
    const Tensor logits = model.forward(pixels, {});
    CHECK(distance_of(logits, golden_tensor(one.at("logits"))) <= 1e-12);
    backward(sum(mul(logits, golden_tensor(golden.at("upstream")))));
    CHECK(distance_of(gradient(pixels), golden_tensor(one.at("gradients").at("pixels"))) <= 1e-10);
    for (const auto& named : parameters) {
      CAPTURE(named.first);
      const Tensor expected = golden_tensor(one.at("gradients").at(named.first));
      CHECK(named.second->shape == expected.shape());
      if (named.first.ends_with("key.bias"))   // softmax over tokens cancels it
        CHECK(max(abs(gradient(named.second->value))).item() <= 1e-12);
      else CHECK(distance_of(gradient(named.second->value), expected) <= 1e-10);
    }
  }
}

TEST_CASE("laplacian former: the shortcut by scalar loops, of a token's channels or scrambled (golden 3.2.3)") {
  constexpr int64_t B = 2, h = 2, w = 3, C = 24, N = h * w, p = 4, r = 6;
  const Tensor x = random_normal({B, h, w, C}, 1, "x");
  const std::vector<double> all = x.values<double>();
  for (const bool scrambled : {false, true}) {
    const auto shortcut = spread(std::make_unique<nn::DiverseShortcut>(C, scrambled));
    const std::vector<double> inner = of(*shortcut, "inner.weight"), inner_bias = of(*shortcut, "inner.bias"),
                              outer = of(*shortcut, "outer.weight"), outer_bias = of(*shortcut, "outer.bias");
    REQUIRE((inner.size() == p * p && outer.size() == r * r));
    std::vector<double> expected(all.size());
    for (int64_t b = 0; b < B; ++b)
      for (int64_t t = 0; t < N; ++t) {
        const auto channel = [&](int64_t c) { return all[b * N * C + (scrambled ? c * N + t : t * C + c)]; };
        for (int64_t i = 0; i < r; ++i)
          for (int64_t j = 0; j < p; ++j) {
            double y = outer_bias[i];
            for (int64_t k = 0; k < r; ++k) {
              double u = inner_bias[j];
              for (int64_t l = 0; l < p; ++l) u += inner[j * p + l] * channel(k * p + l);
              y += outer[i * r + k] * 0.5 * u * (1 + std::erf(u / std::sqrt(2.0)));
            }
            expected[(b * N + t) * C + i * p + j] = y;
          }
      }
    CHECK(frobenius_error(shortcut->forward(x).values<double>(), expected) <= 1e-14);
  }
  const std::pair<int64_t, int64_t> sizes[] = {{64, 8}, {128, 16}, {320, 16}, {512, 32}};
  for (const auto& [channels, columns] : sizes) {
    nn::DiverseShortcut shortcut(channels, false);
    CHECK(shortcut.parameter_at("inner.weight").shape == Shape{columns, columns});
    CHECK(shortcut.parameter_at("outer.weight").shape == Shape{channels / columns, channels / columns});   // 20 rows of 320
  }
}

TEST_CASE("laplacian former: levels read one context; the columns of a query each their own part of it") {
  const auto bridge = spread(std::make_unique<nn::MultiScaleBridge>(std::vector<int64_t>{2, 4}));
  for (const char* level : {"levels.0", "levels.1"})   // out = Z
    for (const char* last : {".mlp.down.weight", ".mlp.down.bias"}) {
      nn::Parameter& parameter = bridge->parameter_at(text(level, last));
      parameter.value = Tensor::zeros(parameter.shape, DType::f64);
    }
  const std::vector<Tensor> maps{random_normal({1, 2, 2, 2}, 1, "fine"), random_normal({1, 1, 2, 4}, 1, "coarse")};
  const auto linear = [&](const std::string& name, const Tensor& map, int64_t t, int64_t out) {
    const std::vector<double> W = of(*bridge, name + ".weight"), x = map.values<double>();
    double y = of(*bridge, name + ".bias")[out];
    for (int64_t c = 0; c < map.size(3); ++c) y += W[out * map.size(3) + c] * x[t * map.size(3) + c];
    return y;
  };
  std::vector<double> E(4, 0.0);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t N = maps[i].size(1) * maps[i].size(2);
    const std::string level = text("levels.", i);
    for (int64_t d = 0; d < 2; ++d) {
      double total = 0;
      for (int64_t s = 0; s < N; ++s) total += std::exp(linear(level + ".key", maps[i], s, d));
      for (int64_t e = 0; e < 2; ++e)
        for (int64_t s = 0; s < N; ++s)
          E[d * 2 + e] += std::exp(linear(level + ".key", maps[i], s, d)) / total * linear(level + ".value", maps[i], s, e);
    }
  }
  const std::vector<Tensor> found = bridge->forward(maps);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t C = maps[i].size(3), N = maps[i].size(1) * maps[i].size(2), m = C / 2;
    const std::string query = text("levels.", i, ".query");
    std::vector<double> expected = maps[i].values<double>();
    for (int64_t t = 0; t < N; ++t)
      for (int64_t j = 0; j < m; ++j) {
        const auto share = [&](int64_t d) { return std::exp(linear(query, maps[i], t, d * m + j)); };
        for (int64_t e = 0; e < 2; ++e)
          for (int64_t d = 0; d < 2; ++d) expected[t * C + e * m + j] += share(d) / (share(0) + share(1)) * E[d * 2 + e];
      }
    CHECK(frobenius_error(found[i].values<double>(), expected) <= 1e-14);
  }
}

TEST_CASE("laplacian former: an expansion puts its f × f parts beside each other") {
  const auto expansion = spread(std::make_unique<nn::Expansion>(3, 2, 2));
  const Tensor x = random_normal({1, 2, 2, 3}, 1, "x"), y = expansion->forward(x);
  CHECK(y.shape() == Shape{1, 4, 4, 2});
  const Tensor raw = add(matmul(x, transpose(expansion->parameter_at("linear.weight").value)),
                         expansion->parameter_at("linear.bias").value);
  const nn::Parameter &weight = expansion->parameter_at("norm.weight"), &bias = expansion->parameter_at("norm.bias");
  const auto part = [](const Tensor& of, int64_t row, int64_t column) {
    return slice(slice(of, 1, row, 1), 2, column, 1);
  };
  for (int64_t row = 0; row < 4; ++row)
    for (int64_t column = 0; column < 4; ++column) {
      const Tensor own = slice(part(raw, row / 2, column / 2), 3, 2 * (2 * (row % 2) + column % 2), 2);
      CHECK(distance_of(part(y, row, column), layer_norm(own, weight.value, bias.value, 1e-5)) <= 1e-14);
    }
}

TEST_CASE("laplacian former: logits of every pixel, and parameters that its options say") {
  const Tensor pixels = random_normal({2, 4, 8, 3}, 1, "pixels");
  const auto model = made(small());
  CHECK(model->forward(pixels, {}).shape() == Shape{2, 4, 8, 5});
  LaplacianFormerOptions other = small();
  other.bridges = 0;
  CHECK(!parameters_of(*made(other)).contains("bridges.0.levels.0.query.weight"));
  other.shortcut = "scrambled";
  const auto scrambled = made(other);
  other.shortcut = "token";
  CHECK(distance_of(made(other)->forward(pixels, {}), scrambled->forward(pixels, {})) > 1e-3);
  CHECK(LaplacianFormer({}, {.height = 224, .width = 224}, 9, attention_of(4)).parameter_count() == 19'142'745);
}

TEST_CASE("laplacian former: any mechanism mixes its cells, each on the grid of its stage") {
  const Tensor pixels = random_normal({2, 4, 8, 3}, 1, "pixels");
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const std::unique_ptr<nn::Options> own = row.options();
    std::vector<std::vector<int64_t>> places;
    const auto maker = [&](const MixerShape& shape) {
      places.push_back({shape.layer, shape.places.rows, shape.places.columns});
      return row.make(*own, shape);
    };
    if (row.name == "associative" || row.name == "attention_sh") {   // there is one head
      CHECK(message_of([&] { LaplacianFormer(small(), image, 5, maker); }) ==
            (row.name == "associative" ? "laplacian former: the attention of block 0 has a layer behind the feed-forward ones, where "
                                         "this model has no place"
                                       : "laplacian former: the attention of block 0 needs at least 2 heads, got 1"));
      continue;
    }
    LaplacianFormer model(small(), image, 5, maker);
    CHECK(places == std::vector<std::vector<int64_t>>{{0, 4, 8}, {1, 2, 4}, {2, 2, 4}, {3, 4, 8}});
    model.initialise(1, DType::f64);
    CHECK(model.forward(pixels, {}).shape() == Shape{2, 4, 8, 5});
  }
}

TEST_CASE("laplacian former: it learns which pixels of noise are which by heart") {
  LaplacianFormerOptions options = small();
  options.widths = {8, 16};
  LaplacianFormer model(options, image, 3, attention_of(3));
  model.initialise(1);
  nn::AdamW optimiser(model, {});
  const Tensor pixels = random_normal({2, 4, 8, 3}, 1, "pixels").to(DType::f32);
  std::vector<int32_t> labels;
  for (int32_t i = 0; i < 64; ++i) labels.push_back((i * i + i / 7) % 3);
  const Tensor targets = Tensor::from(labels, {2, 4, 8});
  const auto loss_of = [&] { return cross_entropy(model.forward(pixels, {}), targets); };
  const double first = loss_of().item();
  for (int step = 0; step < 80; ++step) {
    const Tensor loss = affine(loss_of(), 1.0 / 64, 0);
    optimiser.clear_gradients();
    backward(loss);
    optimiser.step(1e-2, 0.1);
  }
  CHECK(loss_of().item() < 0.1 * first);
}

TEST_CASE("laplacian former: what does not fit is refused in one line") {
  const auto refused = [](const auto& change, const nn::ImageShape& of = image) {
    return message_of([&] {
      LaplacianFormerOptions options = small();
      change(options);
      made(options, of);
    });
  };
  CHECK(refused([](auto&) {}) == "no error");
  CHECK(refused([](auto& o) { o.depths = {1}; }) == "laplacian former: depths must be 2 numbers, as widths are, got 1");
  CHECK(refused([](auto& o) { o.widths = o.depths = nn::Numbers(9, 4); }) ==
        "laplacian former: there may be 8 stages at most, got 9");
  CHECK(refused([](auto& o) { o.widths = {4, 6}; }) ==
        "bridge: the 6 channels of level 1 are no multiple of the 4 of the first");
  CHECK(refused([](auto& o) { o.widths = {18, 36}; }) ==
        "shortcut: the channels of a token are a matrix of 4 columns, and 18 are none; hint: take 16 or 20 channels");
  CHECK(refused([](auto& o) { o.shortcut = "tokens"; }) ==
        "laplacian former: shortcut 'tokens' is none of: token, scrambled");
  CHECK(refused([](auto&) {}, {.height = 4, .width = 7}) ==
        "laplacian former: images of 4 × 7 are not tiled by squares of 2 pixels, the cells of the last stage; hint: choose "
        "another model.stride, fewer model.widths, or another size of the images");
  CHECK(message_of([] { made(small())->forward(Tensor::zeros({2, 8, 8, 3}, DType::f64), {}); }) ==
        "laplacian former: pixels must be (B,4,8,3), got [2,8,8,3]");
  struct AtCoordinates : StagedAttention {
    using StagedAttention::StagedAttention;
    nn::Needs needs() const override { return {.places = nn::Places::Kind::coordinates}; }
  };
  CHECK(message_of([] {
          LaplacianFormer(small(), image, 5, [](const MixerShape& shape) { return std::make_unique<AtCoordinates>(shape); });
        }) == "laplacian former: the attention of block 0 needs tokens at coordinates, they stand on a grid");
}

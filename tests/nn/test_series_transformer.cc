// The encoder of series: layer by layer, patches, places and what does not fit.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/zoo.h"
#include "autograd/ops.h"
#include "nn/layers/waves.h"
#include "nn/models/series_transformer.h"
#include "tensor/random.h"
#include "tests/messages.h"

using namespace tapir;
using nn::SeriesTransformer;
using nn::SeriesTransformerOptions;
using Values = std::vector<double>;

namespace {

Tensor drawn(const Shape& shape, const char* site) {
  Tensor x = Tensor::empty(shape, DType::f64);
  normal_(x, 0, 1, {.seed = 5, .step = 0, .site = site_of(site)});
  return x;
}

nn::MixerMaker maker(const std::string& name) {
  return [name](const MixerShape& shape) {
    const Mechanism& row = mechanism(name);
    return row.make(*row.options(), shape);
  };
}

SeriesTransformerOptions small(int64_t patch, const std::string& positions) {
  SeriesTransformerOptions options;
  options.width = 8;
  options.layers = 2;
  options.heads = 2;
  options.patch = patch;
  options.positions = positions;
  return options;
}

double difference(const Tensor& a, const Tensor& b) {
  const Values x = a.values<double>(), y = b.values<double>();
  REQUIRE(x.size() == y.size());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::fabs(x[i] - y[i]));
  return worst;
}

}  // namespace

TEST_CASE("series transformer: patches side by side, places, blocks, a norm and a head, by its layers") {
  for (const char* positions : {"learned", "sinusoidal", "none"}) {
    CAPTURE(positions);
    SeriesTransformer model(small(3, positions), 12, 2, 5, maker("dot_product"));
    model.initialise(1, DType::f64);
    const Tensor series = drawn({2, 12, 2}, "series");
    const auto linear_of = [&](const char* name, const Tensor& in) {
      return linear(in, model.parameter_at(text(name, ".weight")).value, model.parameter_at(text(name, ".bias")).value);
    };
    const Values x = series.values<double>();
    Values patches;   // token n has samples 3n, 3n + 1, 3n + 2, both numbers of each
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t n = 0; n < 4; ++n)
        for (int64_t i = 0; i < 3; ++i)
          for (int64_t q = 0; q < 2; ++q) patches.push_back(x[(b * 12 + 3 * n + i) * 2 + q]);
    Tensor expected = linear_of("embed", Tensor::from(patches, {2, 4, 6}));
    if (std::string(positions) == "learned") expected = add(expected, model.parameter_at("positions").value);
    if (std::string(positions) == "sinusoidal") {
      Values waves;
      for (int64_t n = 0; n < 4; ++n)
        for (const double wave : nn::wave_vector(n, 8)) waves.push_back(wave);
      expected = add(expected, Tensor::from(waves, {4, 8}));
    }
    expected = dynamic_cast<nn::Blocks&>(model.at("blocks")).forward(expected, {});
    expected = linear_of("head", dynamic_cast<nn::Norm&>(model.at("norm")).forward(expected));
    const Values y = expected.values<double>();
    Values samples;   // sample t of token ⌊t/3⌋
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t t = 0; t < 12; ++t)
        for (int64_t p = 0; p < 5; ++p) samples.push_back(y[(b * 4 + t / 3) * 15 + t % 3 * 5 + p]);
    CHECK(difference(model.forward(series, {}), Tensor::from(samples, {2, 12, 5})) == 0);
  }
}

TEST_CASE("series transformer: tokens see each other both ways, and a sample does not see another series") {
  SeriesTransformer model(small(2, "learned"), 8, 1, 1, maker("dot_product"));
  model.initialise(1, DType::f64);
  Values x = drawn({1, 8, 1}, "series").values<double>();
  const Values before = model.forward(Tensor::from(x, {1, 8, 1}), {}).values<double>();
  x[7] += 1;
  const Values after = model.forward(Tensor::from(x, {1, 8, 1}), {}).values<double>();
  CHECK(std::fabs(after[0] - before[0]) > 1e-9);
  Values both = x;
  both.insert(both.end(), 8, 0.5);
  const Values two = model.forward(Tensor::from(both, {2, 8, 1}), {}).values<double>();
  for (size_t t = 0; t < 8; ++t) CHECK(std::fabs(two[t] - after[t]) < 1e-15);
}

TEST_CASE("series transformer: rotary places, biases of places, and how many parameters") {
  for (const char* positions : {"rotary", "alibi", "kerple_log", "fire", "t5"}) {
    CAPTURE(positions);
    SeriesTransformer model(small(2, positions), 8, 1, 1, maker("dot_product"));
    model.initialise(1, DType::f64);
    Values x = drawn({1, 8, 1}, "series").values<double>();
    const Values before = model.forward(Tensor::from(x, {1, 8, 1}), {}).values<double>();
    std::swap_ranges(x.begin(), x.begin() + 2, x.begin() + 6);   // tokens 0 and 3 change places
    const Values after = model.forward(Tensor::from(x, {1, 8, 1}), {}).values<double>();
    CHECK(std::fabs(after[2] - before[2]) > 1e-12);
  }
  SeriesTransformer model(small(3, "learned"), 12, 2, 5, maker("dot_product"));
  const int64_t block = 4 * 8 * 8 + 2 * 4 * 8 * 8 + 5 * 8 + 4 * 8;   // attention, feed-forward layers and their biases, norms
  CHECK(model.parameter_count() == (6 + 1) * 8 + 4 * 8 + 2 * block + 2 * 8 + (8 + 1) * 15);
}

TEST_CASE("series transformer: a recorder hears of patches first") {
  SeriesTransformer model(small(2, "none"), 8, 1, 1, maker("dot_product"));
  model.initialise(1, DType::f64);
  std::vector<std::string> heard;
  nn::Call call;
  call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) {
    if (heard.empty()) CHECK(value.values<int32_t>() == std::vector<int32_t>{2});
    heard.push_back(name);
  };
  model.forward(drawn({1, 8, 1}, "series"), call);
  CHECK(heard.front() == "patch");
  CHECK(std::count(heard.begin(), heard.end(), "weights") == 2);
}

TEST_CASE("series transformer: what does not fit is refused") {
  const auto refused = [](const SeriesTransformerOptions& options, int64_t samples) {
    return message_of([&] { SeriesTransformer model(options, samples, 1, 1, maker("dot_product")); });
  };
  CHECK(refused(small(5, "learned"), 12) ==
        "series transformer: patches of 5 do not divide series of 12 samples; hint: choose another model.patch");
  CHECK(refused(small(0, "learned"), 12) == "series transformer: patch must be in 1 … 4096, got 0");
  CHECK(refused(small(4, "learned"), 12) == "no error");
  SeriesTransformer model(small(2, "none"), 8, 1, 1, maker("dot_product"));
  model.initialise(1, DType::f64);
  for (const Shape& shape : {Shape{1, 6, 1}, Shape{1, 8, 2}, Shape{8, 1}})
    CHECK(message_of([&] { model.forward(drawn(shape, "x"), {}); }) ==
          text("series transformer: a series must be (B,8,1), got ", shape));
}

// Spectral convolutions against sums of waves, and the two models between functions.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "attention/zoo.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "nn/models/fno.h"
#include "nn/models/operator_transformer.h"
#include "tensor/random.h"
#include "tests/messages.h"

using namespace tapir;
using nn::Fno;
using nn::OperatorTransformer;
using nn::SpectralConvolution;
using Values = std::vector<double>;

namespace {

constexpr double pi = std::numbers::pi;

Tensor drawn(const Shape& shape, const char* site) {
  Tensor x = Tensor::empty(shape, DType::f64);
  normal_(x, 0, 1, {.seed = 3, .step = 0, .site = site_of(site)});
  return x;
}

std::unique_ptr<SpectralConvolution> convolution(int64_t in, int64_t out, int64_t modes, int64_t dimensions = 1) {
  auto layer = std::make_unique<SpectralConvolution>(in, out, modes, dimensions, nn::Init::normal(0.5));
  layer->initialise(1, DType::f64);
  return layer;
}

// y_jo = 1/n Σ_k c_k Re(e^(2πi jk/n) Σ_i R_kio Σ_l x_li e^(−2πi lk/n)) + Σ_i W_oi x_ji + b_o
Values by_waves(const SpectralConvolution& layer, const Tensor& x) {
  const int64_t B = x.size(0), n = x.size(1), I = x.size(2), m = layer.weight.shape[0], O = layer.weight.shape[3];
  const Values in = x.values<double>(), R = layer.weight.value.values<double>(), W = layer.local.weight.value.values<double>(),
               b = layer.local.bias->value.values<double>();
  Values y(B * n * O);
  for (int64_t row = 0; row < B; ++row)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t o = 0; o < O; ++o) {
        double& sum = y[(row * n + j) * O + o];
        sum = b[o];
        for (int64_t i = 0; i < I; ++i) sum += W[o * I + i] * in[(row * n + j) * I + i];
        for (int64_t k = 0; k < m; ++k)
          for (int64_t i = 0; i < I; ++i) {
            const std::complex<double> factor(R[((k * I + i) * 2 + 0) * O + o], R[((k * I + i) * 2 + 1) * O + o]);
            std::complex<double> X, turned;
            for (int64_t l = 0; l < n; ++l)
              X += in[(row * n + l) * I + i] * std::polar(1.0, -2 * pi * static_cast<double>(l * k) / n);
            turned = std::polar(1.0, 2 * pi * static_cast<double>(j * k) / n);
            const std::complex<double> Y = factor * X;
            const bool alone = k == 0 || 2 * k == n;   // the imaginary part of these is not read
            sum += (alone ? Y.real() * turned.real() : 2 * (Y * turned).real()) / static_cast<double>(n);
          }
      }
  return y;
}

double difference(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
  return worst;
}

// Σ of waves at n points: (1,n,2), modes below 4.
Tensor waves(int64_t n) {
  Values values;
  for (int64_t j = 0; j < n; ++j) {
    const double x = 2 * pi * static_cast<double>(j) / static_cast<double>(n);
    values.insert(values.end(), {1 + std::sin(x) - 0.5 * std::cos(3 * x), std::cos(2 * x)});
  }
  return Tensor::from(values, {1, n, 2});
}

nn::MixerMaker maker(const std::string& name) {
  return [name](const MixerShape& shape) {
    const Mechanism& row = mechanism(name);
    return row.make(*row.options(), shape);
  };
}

}  // namespace

TEST_CASE("spectral convolution: equals sums of waves, with any number of points and modes up to all of them") {
  for (const int64_t n : {7, 8})
    for (const int64_t m : {1, 3, 4}) {
      const auto layer = convolution(3, 2, m);
      const Tensor x = drawn({2, n, 3}, "x");
      CHECK(difference(layer->forward(x).values<double>(), by_waves(*layer, x)) < 1e-13);
    }
  const auto all = convolution(3, 2, 5);   // of 8 points, the highest too
  CHECK(difference(all->forward(drawn({1, 8, 3}, "x")).values<double>(), by_waves(*all, drawn({1, 8, 3}, "x"))) < 1e-13);
}

TEST_CASE("spectral convolution: of a torus equals sums of waves along both sides") {
  constexpr int64_t m = 2, I = 2, O = 3;
  for (const int64_t s : {4, 5, 7}) {
    const auto layer = convolution(I, O, m, 2);
    const Tensor x = drawn({1, s * s, I}, "x");
    const Values in = x.values<double>(), R = layer->weight.value.values<double>();
    Values expected = layer->local.forward(x).values<double>();
    for (int64_t l = 0; l < m; ++l)   // of rows
      for (int64_t k = -m; k < m; ++k)
        for (int64_t i = 0; i < I; ++i) {
          const auto wave = [&](int64_t p) {
            return std::polar(1.0, 2 * pi * static_cast<double>(p / s * k + p % s * l) / static_cast<double>(s));
          };
          std::complex<double> X;
          for (int64_t p = 0; p < s * s; ++p) X += in[p * I + i] * std::conj(wave(p));
          for (int64_t o = 0; o < O; ++o) {
            const int64_t at = ((l * 2 * m + (k + 2 * m) % (2 * m)) * I + i) * 2 * O + o;
            const std::complex<double> Y = std::complex<double>(R[at], R[at + O]) * X;
            for (int64_t p = 0; p < s * s; ++p)   // waves with −l, whose mode is the conjugate, are the other half
              expected[p * O + o] += (l == 0 ? 1 : 2) * (Y * wave(p)).real() / static_cast<double>(s * s);
          }
        }
    CHECK(difference(layer->forward(x).values<double>(), expected) < 1e-13);
  }
}

TEST_CASE("spectral convolution: on a torus one function on every grid, and what is turned gives what is turned") {
  const auto layer = convolution(1, 2, 3, 2);
  const auto waves_at = [](int64_t s) {
    Values values;
    for (int64_t i = 0; i < s; ++i)
      for (int64_t j = 0; j < s; ++j) {
        const double x = 2 * pi * static_cast<double>(i) / static_cast<double>(s), y = 2 * pi * static_cast<double>(j) / static_cast<double>(s);
        values.push_back(1 + std::sin(x + 2 * y) - 0.5 * std::cos(2 * x - y) + std::sin(x));
      }
    return Tensor::from(values, {1, s * s, 1});
  };
  const auto rows_of = [](const Tensor& x, int64_t s) { return reshape(x, {s, s, x.size(2)}); };
  const Tensor coarse = rows_of(layer->forward(waves_at(8)), 8), fine = rows_of(layer->forward(waves_at(24)), 24);
  Values shared;
  for (int64_t i = 0; i < 24; i += 3)
    for (int64_t j = 0; j < 24; j += 3)
      for (const double value : slice(slice(fine, 0, i, 1), 1, j, 1).values<double>()) shared.push_back(value);
  CHECK(difference(coarse.values<double>(), shared) < 1e-13);
  for (const int axis : {0, 1}) {
    const auto turned = [&](const Tensor& x) { return concat({slice(x, axis, 3, 5), slice(x, axis, 0, 3)}, axis); };
    const Tensor own = reshape(turned(rows_of(waves_at(8), 8)), {1, 64, 1});
    CHECK(difference(layer->forward(own).values<double>(), turned(coarse).values<double>()) < 1e-13);
  }
}

TEST_CASE("spectral convolution: gradients, first and second, of input and parameters") {
  for (const int64_t dimensions : {1, 2}) {
    const auto layer = convolution(2, 3, dimensions == 1 ? 3 : 1, dimensions);
    const Function f = [&](const std::vector<Tensor>& in) {
      layer->weight.value = in[1];
      layer->local.weight.value = in[2];
      return layer->forward(in[0]);
    };
    const std::vector<Tensor> inputs{drawn({2, dimensions == 1 ? 6 : 9, 2}, "x"), drawn(layer->weight.shape, "R"), drawn({3, 2}, "W")};
    for (const GradcheckResult& check : {gradcheck("spectral", f, inputs), gradgradcheck("spectral", f, inputs)})
      CHECK_MESSAGE(check.passed, check.report);
  }
}

TEST_CASE("spectral convolution: one function on every grid, and what is turned gives what is turned") {
  const auto layer = convolution(2, 3, 4);
  const Tensor coarse = layer->forward(waves(12)), fine = layer->forward(waves(36));
  Values shared;
  for (int64_t j = 0; j < 12; ++j) {
    const Values at = slice(fine, 1, 3 * j, 1).values<double>();
    shared.insert(shared.end(), at.begin(), at.end());
  }
  CHECK(difference(coarse.values<double>(), shared) < 1e-13);
  const auto turned = [](const Tensor& x) { return concat({slice(x, 1, 5, 7), slice(x, 1, 0, 5)}, 1); };
  CHECK(difference(layer->forward(turned(waves(12))).values<double>(), turned(coarse).values<double>()) < 1e-13);
}

TEST_CASE("spectral convolution: what does not fit is refused") {
  CHECK(message_of([] { SpectralConvolution layer(0, 1, 1, 1, nn::Init::normal(1)); }) ==
        "spectral convolution: inputs, outputs and modes must be positive, got 0, 1, 1");
  const auto layer = convolution(2, 3, 4);
  for (const Shape& shape : {Shape{1, 5, 2}, Shape{1, 8, 3}, Shape{8, 2}})
    CHECK(message_of([&] { layer->forward(drawn(shape, "x")); }) ==
          text("spectral convolution: x must be (B,n,2) with the 4 modes that n/2 + 1 points have, got ", shape,
               "; hint: take fewer modes, or more points"));
  CHECK(message_of([&] { layer->forward(drawn({1, 6, 2}, "x")); }) == "no error");
  CHECK(message_of([] { SpectralConvolution none(1, 1, 1, 3, nn::Init::normal(1)); }) ==
        "spectral convolution: expected 1 or 2 dimensions, got 3");
  const auto torus = convolution(2, 3, 3, 2);
  for (const Shape& shape : {Shape{1, 25, 2}, Shape{1, 37, 2}, Shape{1, 36, 3}, Shape{36, 2}})
    CHECK(message_of([&] { torus->forward(drawn(shape, "x")); }) ==
          text("spectral convolution: x must be (B,n,2) with n a square of at least 6 points a side for 3 modes, got ", shape,
               "; hint: take fewer modes, or more points"));
  CHECK(message_of([&] { torus->forward(drawn({1, 36, 2}, "x")); }) == "no error");
}

TEST_CASE("operator transformer: the paper's of Burgers' equation has 530,305 parameters, the control 549,569 (golden 3.4.6e)") {
  OperatorTransformer model({}, 1, 1, 1, maker("galerkin"));
  CHECK(model.parameter_count() == 530305);
  CHECK(Fno({}, 1, 1, 1).parameter_count() == 549569);
}

TEST_CASE("operator transformer: blocks without norms, then the decoder; the mixers know where points stand") {
  nn::OperatorTransformerOptions options;
  options.width = options.hidden = 8;
  options.layers = 2;
  options.heads = 2;
  options.modes = 3;
  options.decoder_width = 6;
  OperatorTransformer model(options, 2, 1, 3, maker("galerkin"));
  model.initialise(1, DType::f64);
  const Tensor x = drawn({2, 9, 2}, "x"), places = drawn({2, 9, 1}, "places");
  const Tensor y = model.forward(x, places, {});
  CHECK(y.shape() == Shape{2, 9, 3});
  CHECK(difference(y.values<double>(), model.forward(x, drawn({2, 9, 1}, "elsewhere"), {}).values<double>()) > 1e-6);

  const auto linear_of = [&](const char* name, const Tensor& in) {
    return linear(in, model.parameter_at(text(name, ".weight")).value, model.parameter_at(text(name, ".bias")).value);
  };
  nn::Call call;
  call.places = call.context_places = places;
  Tensor expected = linear_of("lift", x);
  for (const char* block : {"blocks.0", "blocks.1"}) {
    auto& attention = dynamic_cast<nn::TokenMixer&>(model.at(text(block, ".attention")));
    expected = add(expected, attention.forward(expected, expected, call));
    const std::string up = text(block, ".mlp.up"), down = text(block, ".mlp.down");
    expected = add(expected, linear_of(down.c_str(), relu(linear_of(up.c_str(), expected))));
  }
  for (const char* layer : {"decoder.0", "decoder.1"})
    expected = silu(dynamic_cast<SpectralConvolution&>(model.at(layer)).forward(expected));
  expected = linear_of("out", silu(linear_of("hidden", expected)));
  CHECK(difference(y.values<double>(), expected.values<double>()) < 1e-14);
}

TEST_CASE("operator transformer: the spectrum starts as the authors' code has it") {
  OperatorTransformer model({}, 1, 1, 1, maker("galerkin"));
  model.initialise(1, DType::f64);
  const Values R = model.parameter_at("decoder.0.weight").value.values<double>();
  double squares = 0;
  for (const double r : R) squares += r * r;
  const double fans = 48 * 32 + 96 * 32;   // of a weight (96,48,16,2)
  CHECK(std::sqrt(squares / static_cast<double>(R.size())) ==
        doctest::Approx(std::sqrt(2 / fans) / (96 * 48)).epsilon(0.02).scale(0));
}

TEST_CASE("fno: layer by layer") {
  nn::FnoOptions options;
  options.width = 6;
  options.layers = 2;
  options.modes = 3;
  Fno model(options, 2, 1, 3);
  model.initialise(1, DType::f64);
  const auto linear_of = [&](const char* name, const Tensor& in) {
    return linear(in, model.parameter_at(text(name, ".weight")).value, model.parameter_at(text(name, ".bias")).value);
  };
  const auto layer = [&](const char* name, const Tensor& in) {
    return dynamic_cast<SpectralConvolution&>(model.at(name)).forward(in);
  };
  const Tensor x = drawn({2, 9, 2}, "x"), places = drawn({2, 9, 1}, "places");
  const Tensor expected = linear_of(
      "out",
      relu(linear_of("hidden", layer("layers.1", relu(layer("layers.0", linear_of("lift", concat({x, places}, 2))))))));
  CHECK(difference(model.forward(x, places).values<double>(), expected.values<double>()) < 1e-14);
}

TEST_CASE("operator models: between functions of a square both know two coordinates, and modes of two directions") {
  nn::OperatorTransformerOptions options;
  options.width = options.hidden = 8;
  options.layers = 1;
  options.heads = 2;
  options.modes = 2;
  options.decoder_width = 6;
  OperatorTransformer model(options, 1, 2, 1, maker("galerkin"));
  model.initialise(1, DType::f64);
  CHECK(model.parameter_at("decoder.0.weight").shape == Shape{8, 8, 2, 6});
  const Tensor x = drawn({2, 25, 1}, "x"), places = drawn({2, 25, 2}, "places");
  const Tensor y = model.forward(x, places, {});
  CHECK(y.shape() == Shape{2, 25, 1});
  CHECK(difference(y.values<double>(), model.forward(x, drawn({2, 25, 2}, "elsewhere"), {}).values<double>()) > 1e-9);
  nn::FnoOptions of_fno;
  of_fno.width = 6;
  of_fno.layers = 2;
  of_fno.modes = 2;
  Fno control(of_fno, 1, 2, 1);
  control.initialise(1, DType::f64);
  CHECK(control.parameter_at("lift.weight").shape == Shape{6, 3});
  CHECK(control.forward(x, places).shape() == Shape{2, 25, 1});
}

TEST_CASE("operator models: options that are none are refused") {
  nn::OperatorTransformerOptions options;
  options.modes = 0;
  CHECK(message_of([&] { OperatorTransformer model(options, 1, 1, 1, maker("galerkin")); }) ==
        "operator transformer: modes must be in 1 … 65536, got 0");
  nn::FnoOptions none;
  none.layers = 0;
  CHECK(message_of([&] { Fno model(none, 1, 1, 1); }) == "fno: layers must be in 1 … 1024, got 0");
}

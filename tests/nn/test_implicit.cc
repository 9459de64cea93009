// Implicit representations: against scalar loops of the papers' formulas and PyTorch in float64; what their transformations are
// equal to; how they begin; what they refuse.
#include "nn/models/implicit.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "attention/reproduce/program/config.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "nn/optim/ema.h"
#include "nn/optim/optimiser.h"
#include "nn/train/weights.h"
#include "tests/attention/attention_helpers.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/golden_file.h"

using namespace tapir;
using nn::Implicit;
using nn::ImplicitOptions;
using Values = std::vector<double>;

namespace {

const Values means{0.25, -0.5, 0.125};

ImplicitOptions options_of(const std::string& toml) {
  ImplicitOptions options;
  read_section(toml::parse("[model]\n" + toml), "model", options);
  return options;
}

std::unique_ptr<Implicit> made(const ImplicitOptions& options, const Values& mean = means, uint64_t seed = 1) {
  auto net = std::make_unique<Implicit>(options, 2, 3, mean);
  net->initialise(seed, DType::f64);
  return net;
}

Tensor drawn(const Shape& shape, const std::string& site) {
  Tensor x = Tensor::empty(shape, DType::f64);
  uniform_(x, -1, 1, {.seed = 3, .step = 0, .site = site_of(site)});
  return x;
}

// One point at a time, by the formulas of the header.
Values loops(const ImplicitOptions& o, Implicit& net, const Values& x, const Values& mean) {
  const Parameters all = parameters_of(net);
  Values y;
  for (size_t point = 0; point + 1 < x.size(); point += 2) {
    Values h;
    for (const size_t i : {point, point + 1}) {
      const double z = o.scale * x[i];
      if (o.kernel == "linear") h.push_back(z);
      if (o.kernel == "polynomial") h.push_back((z + 1) * (z + 1));
      if (o.kernel == "gaussian") h.push_back(std::exp(-z * z / 2));
      if (o.kernel == "laplacian") h.push_back(std::exp(-std::fabs(z)));
    }
    if (o.encoding == "positional") {
      Values waves;
      for (int64_t r = 0; r < o.frequencies; ++r) {
        for (const double z : h) waves.push_back(std::sin(std::pow(2.0, static_cast<double>(r)) * std::numbers::pi * z));
        for (const double z : h) waves.push_back(std::cos(std::pow(2.0, static_cast<double>(r)) * std::numbers::pi * z));
      }
      h = waves;
    }
    for (int64_t layer = 0; layer <= o.layers; ++layer) {
      const Values w = all.at(text("layers.", layer, ".weight"))->value.values<double>();
      const Values b = all.at(text("layers.", layer, ".bias"))->value.values<double>();
      Values next = b;
      for (size_t k = 0; k < b.size(); ++k) {
        for (size_t i = 0; i < h.size(); ++i) next[k] += w[k * h.size() + i] * h[i];
        if (layer == o.layers) continue;
        const double omega = layer == 0 ? o.first_omega : o.omega;
        if (o.activation == "relu") next[k] = std::max(next[k], 0.0);
        else if (o.activation == "sine") next[k] = std::sin(omega * next[k]);
        else next[k] = std::sin(omega * (std::fabs(next[k]) + 1) * next[k]);
      }
      h = next;
    }
    for (size_t c = 0; c < 3; ++c) y.push_back(h[c] + (o.shift == "mean" ? mean[c] : 0));
  }
  return y;
}

// Plain SGD or Adam by hand, each parameter with a rate and an epsilon of its own.
struct ByHand {
  bool adam;
  double rate, epsilon, first_rate, first_epsilon;   // of W₁ the latter two
  std::map<std::string, Values> m{}, v{};
  int64_t steps = 0;

  void step(Implicit& net) {
    ++steps;
    net.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
      const bool first = name == "layers.0.weight";
      const double own_rate = first ? first_rate : rate, own_epsilon = first ? first_epsilon : epsilon;
      Values value = parameter.value.values<double>();
      const Values g = gradient(parameter.value).values<double>();
      m[name].resize(g.size());
      v[name].resize(g.size());
      for (size_t i = 0; i < g.size(); ++i) {
        m[name][i] = 0.9 * m[name][i] + 0.1 * g[i];
        v[name][i] = 0.95 * v[name][i] + 0.05 * g[i] * g[i];
        const double mean = m[name][i] / (1 - std::pow(0.9, static_cast<double>(steps)));
        const double square = v[name][i] / (1 - std::pow(0.95, static_cast<double>(steps)));
        value[i] -= adam ? own_rate * mean / (std::sqrt(square) + own_epsilon) : own_rate * g[i];
      }
      parameter.value = requires_grad(Tensor::from(value, parameter.shape));
    });
  }
};

constexpr double s = 5;
const std::string waves = "first_omega = 1.0\nomega = 1.0\n";
const std::string plain = "width = 12\nlayers = 3\n" + waves;
const std::string scaled = plain + "scale = 5.0\nshift = 'mean'\n";

std::string activated(std::string net, const std::string& activation) {
  if (activation == "relu") net.erase(net.find(waves), waves.size());
  return net + "activation = '" + activation + "'\n";
}

// The plain net that equivalence 1 makes of a scaled and shifted one.
void map_weights(Implicit& from, Implicit& to) {
  const Parameters all = parameters_of(from);
  to.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    Tensor value = copy(all.at(name)->value.detach());
    if (name == "layers.0.weight") value = affine(value, s, 0);
    if (name == "layers.3.bias") value = add(value, Tensor::from(means, {3}));
    parameter.value = requires_grad(value);
  });
}

// Largest distance between the outputs of the two nets while both are trained on the same points.
double farthest(const std::string& activation, nn::Optimiser& optimiser, double rate, Implicit& net, ByHand by_hand,
                int64_t steps) {
  const auto other = made(options_of(activated(plain, activation)));
  map_weights(net, *other);
  const Tensor x = drawn({40, 2}, "x"), targets = drawn({40, 3}, "targets");
  double worst = 0;
  for (int64_t k = 0; k < steps; ++k) {
    const Tensor y = net.forward(x), z = other->forward(x);
    const Values a = y.values<double>(), b = z.values<double>();
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
    optimiser.clear_gradients();
    backward(mean(square(sub(y, targets))));
    optimiser.step(rate);
    backward(mean(square(sub(z, targets))));
    by_hand.step(*other);
  }
  return worst;
}

struct Moments {
  double deviation = 0, kurtosis = 0;
};

Moments moments_of(const Values& x) {
  const auto n = static_cast<double>(x.size());
  double mean = 0, second = 0, fourth = 0;
  for (const double value : x) mean += value / n;
  for (const double value : x) {
    second += std::pow(value - mean, 2) / n;
    fourth += std::pow(value - mean, 4) / n;
  }
  return {std::sqrt(second), fourth / (second * second)};
}

}  // namespace

TEST_CASE("implicit: it is the scalar loops of the papers' formulas, with every activation, encoding and kernel") {
  for (const char* activation : {"sine", "finer", "finer_detached", "relu"})
    for (const char* encoding : {"none", "positional"})
      for (const char* kernel : {"linear", "polynomial", "gaussian", "laplacian"})
        for (const char* shift : {"none", "mean"}) {
          const ImplicitOptions options =
              options_of(text("width = 6\nlayers = 2\nscale = 1.5\nactivation = '", activation, "'\nencoding = '", encoding,
                              "'\nkernel = '", kernel, "'\nshift = '", shift, "'\n",
                              encoding == std::string("positional") ? "frequencies = 3\n" : "",
                              activation == std::string("relu") ? "" : "omega = 3.0\n"));
          CAPTURE(activation);
          CAPTURE(kernel);
          const auto net = made(options);
          const Tensor x = drawn({4, 5, 2}, "x");
          const Tensor y = net->forward(x);
          CHECK(y.shape() == Shape{4, 5, 3});
          CHECK(frobenius_error(y.values<double>(), loops(options, *net, x.values<double>(), means)) <= 1e-12);
        }
}

TEST_CASE("implicit: values, gradients and ten steps of Adam are those of a PyTorch script") {
  const nlohmann::json golden = golden_file("implicit.json");
  for (const auto& one : golden.at("cases")) {
    const nlohmann::json& sizes = golden["sizes"];
    std::string toml = text("width = ", sizes["width"].get<int>(), "\nlayers = ", sizes["layers"].get<int>(), '\n');
    for (const auto& [key, value] : one["options"].items()) toml += key + " = " + value.dump() + '\n';
    CAPTURE(toml);
    const auto net = made(options_of(toml), golden["mean"].get<Values>());
    for (const auto& [name, parameter] : parameters_of(*net))
      parameter->value = requires_grad(golden_tensor(one["weights"][name]));
    const Tensor x = requires_grad(golden_tensor(one["x"])), targets = golden_tensor(one["targets"]);
    CHECK(frobenius_error(net->forward(x).values<double>(), golden_tensor(one["y"]).values<double>()) <= 1e-12);

    nn::AdamWOptions adam;
    adam.decay = 0;
    nn::AdamW optimiser(*net, adam);
    for (size_t step = 0; step < 10; ++step) {
      const Tensor loss = mean(square(sub(net->forward(x), targets)));
      CHECK(loss.item() == doctest::Approx(one["losses"][step].get<double>()).epsilon(1e-10));
      optimiser.clear_gradients();
      backward(loss);
      if (step == 0) {
        CHECK(frobenius_error(gradient(x).values<double>(), golden_tensor(one["gradients"]["x"]).values<double>()) <= 1e-11);
        for (const auto& [name, parameter] : parameters_of(*net))
          CHECK(frobenius_error(gradient(parameter->value).values<double>(),
                                golden_tensor(one["gradients"][name]).values<double>()) <= 1e-11);
      }
      optimiser.step(1e-3);
    }
  }
}

TEST_CASE("implicit: its derivatives by the place, first and second, are those of differences") {
  for (const char* activation : {"sine", "finer"}) {
    const auto net = made(options_of(activated(plain, activation)));
    const Function f = [&](const std::vector<Tensor>& in) { return net->forward(in[0]); };
    CHECK(gradcheck("implicit", f, {drawn({5, 2}, "x")}).passed);
    CHECK(gradgradcheck("implicit", f, {drawn({5, 2}, "x")}).passed);
  }
}

TEST_CASE("implicit: a net that is scaled and shifted is the plain one with other weights (equivalence 1)") {
  for (const char* activation : {"sine", "finer", "relu"}) {
    const auto net = made(options_of(activated(scaled, activation)));
    const auto other = made(options_of(activated(plain, activation)));
    const Tensor x = drawn({40, 2}, "x");
    CHECK(frobenius_error(net->forward(x).values<double>(), other->forward(x).values<double>()) > 0.1);
    map_weights(*net, *other);
    CHECK(frobenius_error(net->forward(x).values<double>(), other->forward(x).values<double>()) <= 1e-13);
  }
}

TEST_CASE("implicit: the scale multiplies the frequencies of the positional encoding (equivalence 1)") {
  // By a power of 2 it moves them by whole octaves: s = 4 with γ of L frequencies has those of rank 2 … L + 1 with s = 1.
  const std::string relu = "width = 6\nlayers = 1\nactivation = 'relu'\nencoding = 'positional'\nfrequencies = ";
  const auto net = made(options_of(relu + "3\nscale = 4.0\n")), other = made(options_of(relu + "5\n"));
  const Parameters own = parameters_of(*net);
  other->each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    const Tensor value = own.at(name)->value.detach();
    parameter.value = requires_grad(name == "layers.0.weight" ? pad(value, -1, 8, 0) : value);   // nothing of the two lowest
  });
  const Tensor x = drawn({40, 2}, "x");
  CHECK(frobenius_error(net->forward(x).values<double>(), other->forward(x).values<double>()) <= 1e-12);
}

TEST_CASE("implicit: SGD goes the way of the plain net whose W₁ has s² times the rate (equivalence 2)") {
  nn::SgdOptions sgd;
  sgd.momentum = 0;
  // The loss of FINER is steeper: with 5e-3 its way is chaotic, and rounding grows tenfold with each step.
  for (const std::string activation : {"sine", "finer", "relu"}) {
    CAPTURE(activation);
    const double rate = activation == "finer" ? 1e-4 : 5e-3;
    const auto worst = [&](double first_rate) {
      const auto net = made(options_of(activated(scaled, activation)));
      nn::Sgd optimiser(*net, sgd);
      return farthest(activation, optimiser, rate, *net, {false, rate, 0, first_rate, 0}, 300);
    };
    CHECK(worst(s * s * rate) <= 1e-11);
    CHECK(worst(rate) > 1e-3);
  }
}

TEST_CASE("implicit: Adam goes the way of the plain net whose W₁ has s times the rate and ε/s (equivalence 3)") {
  nn::AdamWOptions adam;
  adam.decay = 0;
  adam.epsilon = 1e-3;   // large enough to count
  for (const char* activation : {"sine", "finer", "relu"}) {
    CAPTURE(activation);
    const double rate = 1e-3, epsilon = adam.epsilon;
    const auto worst = [&](double first_rate, double first_epsilon) {
      const auto net = made(options_of(activated(scaled, activation)));
      nn::AdamW optimiser(*net, adam);
      return farthest(activation, optimiser, rate, *net, {true, rate, epsilon, first_rate, first_epsilon}, 100);
    };
    CHECK(worst(s * rate, epsilon / s) <= 1e-10);
    CHECK(worst(s * rate, epsilon) > 1e-5);
    CHECK(worst(rate, epsilon / s) > 1e-3);
  }
}

TEST_CASE("implicit: s = 1 and μ = 0 change nothing, and the derivative by the place has the factor s (equivalence 4)") {
  ImplicitOptions options = options_of(plain);
  options.shift = "mean";
  const Tensor x = drawn({40, 2}, "x");
  CHECK(made(options, {0, 0, 0})->forward(x).values<double>() == made(options_of(plain))->forward(x).values<double>());

  const auto slope = [](const Implicit& net, const Tensor& at) {
    const Tensor leaf = requires_grad(at);
    return grad({sum(net.forward(leaf))}, {leaf})[0].values<double>();
  };
  Values expected = slope(*made(options_of(plain)), affine(x, s, 0));
  for (double& value : expected) value *= s;
  CHECK(frobenius_error(slope(*made(options_of(scaled)), x), expected) <= 1e-14);
}

TEST_CASE("implicit: scaling a SIREN by s is its first layer with s times ω, but for that layer's biases (golden 3.6.4)") {
  for (const auto& [omega, wider] : {std::pair{1.0, 5.0}, {30.0, 150.0}}) {
    ImplicitOptions options = options_of(scaled);
    options.first_omega = omega;
    const auto net = made(options);
    options.scale = 1;
    options.first_omega = wider;
    const auto other = made(options);
    nn::Parameter& bias = other->parameter_at("layers.0.bias");
    bias.value = requires_grad(affine(bias.value.detach(), 1 / s, 0));
    const Tensor x = drawn({40, 2}, "x");
    CHECK(frobenius_error(net->forward(x).values<double>(), other->forward(x).values<double>()) <= 1e-13);
  }
}

TEST_CASE("implicit: weights of a SIREN begin where its paper says, biases as usual") {
  const auto bounds = [](const std::string& toml) {
    const auto net = made(options_of(toml));
    std::map<std::string, double> largest;
    for (const auto& [name, parameter] : parameters_of(*net))
      for (const double value : parameter->value.values<double>()) largest[name] = std::max(largest[name], std::fabs(value));
    return largest;
  };
  const auto near = [](double found, double bound) { return found <= bound && found > 0.9 * bound; };
  const auto siren = bounds("width = 400\nlayers = 2\nomega = 20.0\n");
  CHECK(near(siren.at("layers.0.weight"), 1 / 2.0));
  CHECK(near(siren.at("layers.1.weight"), std::sqrt(6 / 400.0) / 20));
  CHECK(near(siren.at("layers.2.weight"), std::sqrt(6 / 400.0) / 20));
  CHECK(near(siren.at("layers.0.bias"), 1 / std::sqrt(2.0)));
  CHECK(near(siren.at("layers.1.bias"), 1 / 20.0));
  const auto finer = bounds("width = 400\nlayers = 2\nactivation = 'finer'\nfirst_bias = 10.0\n");
  CHECK(near(finer.at("layers.0.bias"), 10));
  CHECK(near(finer.at("layers.1.bias"), 1 / 20.0));
  CHECK(near(finer.at("layers.1.weight"), std::sqrt(6 / 400.0) / 30));
  const auto positional = bounds("width = 400\nlayers = 1\nencoding = 'positional'\nfrequencies = 4\n");
  CHECK(near(positional.at("layers.0.weight"), 1 / 16.0));
  const auto relu = bounds("width = 400\nlayers = 1\nactivation = 'relu'\n");
  CHECK(near(relu.at("layers.0.weight"), 1 / std::sqrt(2.0)));
  CHECK(near(relu.at("layers.1.weight"), 1 / 20.0));
}

TEST_CASE("implicit: in a new SIREN what goes into the sines is normal, of deviation 1 or a little less, in every layer") {
  const auto net = made(options_of("width = 512\nlayers = 5\n"));
  const Tensor x = drawn({400, 2}, "x");
  std::map<std::string, Values> inner;   // ω (W h + b) of the hidden layers after the first
  std::vector<nn::ForwardHandle> handles;
  for (const std::string name : {"layers.1", "layers.2", "layers.3", "layers.4"})
    handles.push_back(net->at(name).on_forward([&inner, name](const std::vector<Tensor>&, const Tensor& z) {
      inner[name] = affine(z, 30, 0).detach().values<double>();
      return Tensor();
    }));
  // Of a normal z of variance v the mean of sin² z is (1 − e⁻²ᵛ)/2, and the weights have variance 2/(512 ω²): the next z has
  // 1 − e⁻²ᵛ, where the paper says 1, and biases in ±1/√512, which ω multiplies as well, add ω²/(3 · 512).
  const auto check = [&](double of_biases, double tolerance) {
    net->forward(x);
    double variance = 1 + of_biases;   // the first sines go through many periods
    for (const auto& one : inner) {
      const Moments moments = moments_of(one.second);
      CHECK(moments.deviation == doctest::Approx(std::sqrt(variance)).epsilon(tolerance));
      CHECK(moments.kurtosis == doctest::Approx(3).epsilon(2 * tolerance));
      variance = 1 - std::exp(-2 * variance) + of_biases;
    }
  };
  check(900 / (3 * 512.0), 0.05);   // 512 biases of each layer are few
  net->each_parameter([](const std::string&, nn::Parameter& parameter) {
    if (parameter.kind == nn::ParameterKind::bias) parameter.value = requires_grad(Tensor::zeros(parameter.shape, DType::f64));
  });
  check(0, 0.02);
}

TEST_CASE("implicit: the released code of FINER has the paper's values, and a gradient that takes |z| + 1 for a constant") {
  const char* const one = "width = 1\nlayers = 1\nfirst_omega = 1.0\nactivation = ";
  for (const bool detached : {false, true}) {
    const auto net = made(options_of(one + std::string(detached ? "'finer_detached'" : "'finer'")));
    const auto set = [&](const std::string& name, const Values& value) {
      nn::Parameter& parameter = net->parameter_at(name);
      parameter.value = requires_grad(Tensor::from(value, parameter.shape));
    };
    set("layers.0.weight", {1, 0});
    set("layers.0.bias", {0});
    set("layers.1.weight", {1, 0, 0});
    set("layers.1.bias", {0, 0, 0});
    const Tensor x = requires_grad(Tensor::from(Values{-0.75, 0.5}, {1, 2}));
    const Tensor y = net->forward(x);
    const double z = -0.75, inner = (std::fabs(z) + 1) * z;
    CHECK(y.values<double>()[0] == doctest::Approx(std::sin(inner)).epsilon(1e-15));
    const double factor = detached ? std::fabs(z) + 1 : 2 * std::fabs(z) + 1;
    CHECK(grad({sum(y)}, {x})[0].values<double>()[0] == doctest::Approx(factor * std::cos(inner)).epsilon(1e-14));
  }
}

TEST_CASE("implicit: the shift is kept with the weights, and neither trained nor averaged") {
  const testing::TemporaryFolder folder;
  const auto net = made(options_of(scaled));
  const auto shift = [](Implicit& of) {
    Values found;
    of.each_buffer([&](const std::string& name, nn::Buffer& buffer) {
      CHECK(name == "shift");
      found = buffer.value.values<double>();
    });
    return found;
  };
  CHECK(shift(*net) == means);
  CHECK(net->parameter_count() == made(options_of(plain))->parameter_count());
  nn::Ema ema(*net, 0.5);
  nn::AdamW optimiser(*net, {});
  const Tensor x = drawn({10, 2}, "x");
  backward(mean(square(net->forward(x))));
  optimiser.step(0.1);
  ema.update();
  CHECK(shift(*net) == means);
  const std::string file = (folder.path() / "net.safetensors").string();
  save_weights(file, *net);
  const auto other = made(options_of(scaled), {0, 0, 0}, 2);
  load_weights(file, *other);
  CHECK(shift(*other) == means);
  CHECK(other->forward(x).values<double>() == net->forward(x).values<double>());
}

TEST_CASE("implicit: what is not there is refused when it is made") {
  CHECK(message_of([] { made(options_of("shift = 'mean'\n"), {}); }) ==
        "implicit: shift = 'mean' needs the mean of 3 outputs, and knows 0; hint: a task that knows what is learned before it "
        "trains has it, such as picture");
  ImplicitOptions options;
  options.activation = "tanh";
  CHECK(message_of([&] { made(options); }) ==
        "implicit: activation 'tanh' is none of: sine, finer, finer_detached, relu");
  options = {};
  options.scale = 0;
  CHECK(message_of([&] { made(options); }) == "implicit: scale must be in 0.001 … 1000000, got 0");
}

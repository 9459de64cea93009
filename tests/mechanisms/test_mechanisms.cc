// Each mechanism against scalar loops in double and against an independent float64 PyTorch script.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/pair_hidden.h"
#include "attention/mechanisms/score_mlp.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/arena.h"
#include "tests/attention/attention_helpers.h"

using namespace tapir;
using reference::Sizes;
using reference::Values;

namespace {

constexpr double forward_bound = 1e-10, gradient_bound = 1e-8;

// A mixer with its staged attention and all that it can be asked for.
struct Subject {
  Subject(const std::string& name, const nn::Options& options, const Sizes& sizes, uint64_t seed)
      : sizes(sizes), mixer(mechanism(name).make(options, {.width = sizes.H * sizes.D, .heads = sizes.H})) {
    mixer->initialise(seed, DType::f64);
    spread_parameters(*mixer, seed);
    parameters = parameters_of(*mixer);
    const Shape queries{sizes.B, sizes.H, sizes.T, sizes.D}, keys{sizes.B, sizes.H, sizes.S, sizes.D};
    Q = requires_grad(random_normal(queries, seed, "Q"));
    K = requires_grad(random_normal(keys, seed, "K"));
    V = requires_grad(random_normal(keys, seed, "V"));
    g = random_normal(queries, seed, "g");
    call.mask = {.causal = sizes.causal, .offset = sizes.offset, .keys = {}};
    if (!sizes.present.empty()) call.mask.keys = Tensor::from(sizes.present, {sizes.B, sizes.S});
  }

  Tensor attend() const { return dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, K, V, call); }

  // By the names of reference::Gradients.
  std::map<std::string, Values> gradients(const Tensor& y) const {
    std::vector<std::string> names{"q", "k", "v"};
    std::vector<Tensor> inputs{Q, K, V};
    for (const auto& [name, parameter] : parameters)
      if (name.starts_with("score.")) {
        names.push_back(name.substr(6));
        inputs.push_back(parameter->value);
      }
    const std::vector<Tensor> found = grad({y}, inputs, {g});
    std::map<std::string, Values> result;
    for (size_t i = 0; i < names.size(); ++i) result[names[i]] = found[i].values<double>();
    return result;
  }

  Sizes sizes;
  std::unique_ptr<nn::TokenMixer> mixer;
  Parameters parameters;
  Tensor Q, K, V, g;
  nn::Call call;
};

void compare_gradients(const std::map<std::string, Values>& found, const std::map<std::string, Values>& expected) {
  CHECK(found.size() == expected.size());
  for (const auto& named : expected) {
    const std::string& name = named.first;
    CAPTURE(name);
    REQUIRE(found.contains(name));
    CHECK(frobenius_error(found.at(name), named.second) <= (name == "out.bias" ? 1e-12 : gradient_bound));
  }
}

std::vector<Sizes> all_sizes() {
  return {{.B = 1, .H = 1, .T = 1, .S = 1, .D = 4},
          {.B = 2, .H = 2, .T = 5, .S = 5, .D = 4},
          {.B = 2, .H = 3, .T = 6, .S = 6, .D = 5, .causal = true},
          {.B = 1, .H = 2, .T = 3, .S = 40, .D = 8},
          {.B = 2, .H = 1, .T = 2, .S = 7, .D = 4, .causal = true, .offset = 5},
          {.B = 3, .H = 2, .T = 4, .S = 4, .D = 4, .present = {1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1}},
          {.B = 2, .H = 2, .T = 4, .S = 4, .D = 4, .causal = true, .present = {1, 0, 1, 1, 0, 1, 1, 0}}};
}

void compare_with_scalar_loops(const std::string& name, const nn::Options& options) {
  for (const Sizes& sizes : all_sizes())
    for (const uint64_t seed : {1, 2}) {
      if (mechanism(name).needs(options).self && sizes.T != sizes.S) continue;
      CAPTURE(name);
      CAPTURE(sizes.T);
      CAPTURE(sizes.S);
      CAPTURE(seed);
      const Subject subject(name, options, sizes, seed);
      const Tensor y = subject.attend();
      const reference::Attention expected =
          references().at(name)(options, subject.parameters, sizes, subject.Q.values<double>(), subject.K.values<double>(),
                                subject.V.values<double>(), subject.g.values<double>());
      CHECK(frobenius_error(y.values<double>(), expected.output) <= forward_bound);
      compare_gradients(subject.gradients(y), expected.gradients);
    }
}

const std::vector<ScoreMlpOptions>& networks() {
  static const std::vector<ScoreMlpOptions> all = [] {
    std::vector<ScoreMlpOptions> options;
    for (const char* form : {"paper", "released"})
      for (const int64_t reduced : {0, 2, 4})
        for (const bool shared : {true, false})
          for (const bool scale : {false, true}) options.push_back(score_mlp_options(form, reduced, shared, scale));
    return options;
  }();
  return all;
}

}  // namespace

TEST_CASE("mechanisms: dot_product equals scalar loops") { compare_with_scalar_loops("dot_product", StagedOptions()); }

TEST_CASE("mechanisms: twicing equals scalar loops") { compare_with_scalar_loops("twicing", *mechanism("twicing").options()); }

TEST_CASE("mechanisms: linear equals scalar loops over pairs") {
  for (const double epsilon : {0.0, 1e-6}) {
    LinearOptions options;
    options.epsilon = epsilon;
    options.chunk = 3;
    compare_with_scalar_loops("linear", options);
  }
}

TEST_CASE("mechanisms: score_mlp equals the concatenation of every pair in scalar loops") {
  for (const ScoreMlpOptions& options : networks()) {
    CAPTURE(options.form);
    CAPTURE(options.reduced);
    CAPTURE(options.shared);
    CAPTURE(options.scale);
    compare_with_scalar_loops("score_mlp", options);
  }
}

TEST_CASE("mechanisms: all equal independent PyTorch values in float64") {
  std::ifstream file(TAPIR_SOURCE_DIR "/tests/golden/mechanisms.json");
  REQUIRE(file.good());
  const nlohmann::json golden = nlohmann::json::parse(file);
  CHECK(golden["cases"].size() >= 36);
  for (const nlohmann::json& one : golden["cases"]) {
    if (one["mechanism"] == "mlp_qkv") continue;   // test_mlp_qkv.cc
    CAPTURE(one["name"].get<std::string>());
    const auto tensor = [](const nlohmann::json& entry) {
      Shape shape;
      for (const int64_t extent : entry["shape"]) shape.push_back(extent);
      return Tensor::from(entry["data"].get<Values>(), shape);
    };
    const std::string of = one["mechanism"];
    const Tensor q = tensor(one["inputs"]["q"]), k = tensor(one["inputs"]["k"]);
    std::unique_ptr<nn::Options> options = std::make_unique<StagedOptions>();
    if (of == "score_mlp") {
      const bool paper = one["form"].get<std::string>().starts_with("paper");
      const int64_t reduced = tensor(one["parameters"]["reduce_query.bias"]).size(-1);
      options = std::make_unique<ScoreMlpOptions>(
          score_mlp_options(paper ? "paper" : "released", reduced, one["shared"], one["scale"]));
    } else if (of == "additive") {
      options = std::make_unique<AdditiveOptions>(
          additive_options(tensor(one["parameters"]["vector"]).size(-1), one["bias"]));
    } else if (of == "expressive") {
      options = std::make_unique<ExpressiveOptions>(expressive_options(one["beta"], one["alibi"]));
    } else if (of != "dot_product") {
      options = mechanism(of).options();
      if (of == "linear") static_cast<LinearOptions&>(*options).epsilon = one["epsilon"];
    }
    const Sizes sizes{q.size(0), q.size(1), q.size(2), k.size(2), q.size(3), one["causal"].get<bool>()};
    Subject subject(of, *options, sizes, 1);
    subject.Q = requires_grad(q);
    subject.K = requires_grad(k);
    subject.V = requires_grad(tensor(one["inputs"]["v"]));
    subject.g = tensor(one["upstream"]);
    for (const auto& [name, value] : one["parameters"].items()) {
      nn::Parameter& parameter = *subject.parameters.at("score." + name);
      REQUIRE(parameter.shape == tensor(value).shape());
      parameter.value = requires_grad(tensor(value));
    }
    const Tensor y = subject.attend();
    CHECK(frobenius_error(y.values<double>(), one["output"]["data"].get<Values>()) <= forward_bound);
    std::map<std::string, Values> expected;
    for (const auto& [name, value] : one["gradients"].items()) expected[name] = value["data"].get<Values>();
    compare_gradients(subject.gradients(y), expected);
  }
}

TEST_CASE("mechanisms: f32 agrees with f64") {
  for (const Mechanism& row : zoo()) {
    const std::unique_ptr<nn::Options> options = row.options();
    const Sizes sizes{.B = 2, .H = 2, .T = row.needs(*options).self ? 33 : 17, .S = 33, .D = 8};
    Subject subject(row.name, *options, sizes, 7);
    const Values wide = subject.attend().values<double>();
    for (auto& [key, parameter] : subject.parameters) parameter->value = parameter->value.detach().to(DType::f32);
    for (Tensor* x : {&subject.Q, &subject.K, &subject.V}) *x = x->detach().to(DType::f32);
    const double error = frobenius_error(subject.attend().detach().to(DType::f64).values<double>(), wide);
    CHECK(error <= 1e-5);
    CHECK(error > 0);
  }
}

TEST_CASE("mechanisms: a whole mixer with its projections equals scalar loops") {
  const Sizes n{.B = 2, .H = 2, .T = 3, .S = 4, .D = 4};
  const int64_t C = n.H * n.D;
  const ScoreMlpOptions options = score_mlp_options("paper", 2);
  const Subject subject("score_mlp", options, n, 9);
  const Tensor x = random_normal({n.B, n.T, C}, 9, "x"), context = random_normal({n.B, n.S, C}, 9, "context");
  // Head h holds channels h·D … h·D + D − 1 of W x.
  const auto project = [&](const Tensor& tokens, const std::string& layer) {
    const Values W = subject.parameters.at(layer + ".weight")->value.values<double>(), in = tokens.values<double>();
    const int64_t length = tokens.size(1);
    Values heads(n.B * length * C);
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t t = 0; t < length; ++t)
        for (int64_t o = 0; o < C; ++o) {
          double sum = 0;
          for (int64_t i = 0; i < C; ++i) sum += W[o * C + i] * in[(b * length + t) * C + i];
          heads[((b * n.H + o / n.D) * length + t) * n.D + o % n.D] = sum;
        }
    return heads;
  };
  const Values q = project(x, "query"), k = project(context, "key"), v = project(context, "value"), no_g(q.size(), 0.0);
  const Values mixed = references().at("score_mlp")(options, subject.parameters, n, q, k, v, no_g).output;
  const Values W = subject.parameters.at("out.weight")->value.values<double>();
  Values expected(n.B * n.T * C, 0.0);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t t = 0; t < n.T; ++t)
      for (int64_t o = 0; o < C; ++o)
        for (int64_t c = 0; c < C; ++c)
          expected[(b * n.T + t) * C + o] += W[o * C + c] * mixed[n.query(b, c / n.D, t) + c % n.D];
  CHECK(frobenius_error(subject.mixer->forward(x, context, {}).values<double>(), expected) <= forward_bound);
}

TEST_CASE("mechanisms: the output bias of a score network cancels, and score gradients of a row sum to zero") {
  for (const ScoreMlpOptions& options : networks()) {
    const Sizes sizes{.B = 2, .H = 2, .T = 4, .S = 6, .D = 4};
    Subject subject("score_mlp", options, sizes, 11);
    const Tensor y = subject.attend();
    const auto gradients = subject.gradients(y);
    for (const double g : gradients.at("out.bias")) CHECK(std::fabs(g) <= 1e-14);
    Tensor& bias = subject.parameters.at("score.out.bias")->value;
    bias = affine(bias, 1, 5).detach();
    CHECK(frobenius_error(subject.attend().values<double>(), y.values<double>()) <= 1e-13);
  }
  const Tensor scores = requires_grad(random_normal({2, 2, 4, 6}, 3, "scores"));
  const Mask causal{.causal = true, .offset = 1, .keys = {}};
  const Tensor slope = grad({softmax(scores, causal)}, {scores}, {random_normal({2, 2, 4, 6}, 3, "g")})[0];
  for (const double row : sum(slope, -1).values<double>()) CHECK(std::fabs(row) <= 1e-15);
}

TEST_CASE("mechanisms: only sums a + c matter to pairs") {
  const Tensor a = random_normal({2, 2, 5, 3}, 1, "a"), c = random_normal({2, 2, 7, 3}, 1, "c");
  const Tensor w = random_normal({2, 4, 3}, 1, "w"), shift = random_normal({3}, 1, "shift"), y = pair_hidden(a, c, w, {});
  CHECK(frobenius_error(pair_hidden(add(a, shift), sub(c, shift), w, {}).values<double>(), y.values<double>()) <= 1e-14);
  CHECK(frobenius_error(pair_hidden(add(a, shift), c, w, {}).values<double>(), y.values<double>()) > 1e-2);
}

TEST_CASE("mechanisms: gradients of a ReLU network obey Euler's identities") {
  // s is homogeneous of degree 1 in w₃, and in (W₂, b₂):  w₃_r dw₃_r = Σ_k W₂_rk dW₂_rk + b₂_r db₂_r
  const Subject subject("score_mlp", score_mlp_options("released", 4), {.B = 2, .H = 2, .T = 5, .S = 5, .D = 4}, 5);
  const std::map<std::string, Values> d = subject.gradients(subject.attend());
  const auto value = [&](const std::string& name) {
    return subject.parameters.at("score." + name)->value.values<double>();
  };
  const Values w3 = value("out.weight"), W2 = value("hidden2.weight"), b2 = value("hidden2.bias");
  for (size_t r = 0; r < w3.size(); ++r) {
    double second = b2[r] * d.at("hidden2.bias")[r];
    for (size_t k = 0; k < 4; ++k) second += W2[r * 4 + k] * d.at("hidden2.weight")[r * 4 + k];
    CHECK(w3[r] * d.at("out.weight")[r] == doctest::Approx(second).epsilon(1e-10));
    CHECK(std::fabs(second) > 1e-6);
  }
}

TEST_CASE("mechanisms: the recorded gate is the counted share, and a dead gate is uniform attention without gradient") {
  for (const Sizes& sizes : all_sizes())
    for (const ScoreMlpOptions& options : networks()) {
      Subject subject("score_mlp", options, sizes, 13);
      std::map<std::string, Tensor> seen;
      subject.call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) { seen[name] = value; };
      subject.attend();
      CHECK(seen.at("gate").item() == doctest::Approx(network_of(subject.parameters, options.form, 1).gate(
                                          sizes, subject.Q.values<double>(), subject.K.values<double>())).epsilon(1e-14));
    }
  const Sizes sizes{.B = 1, .H = 2, .T = 4, .S = 5, .D = 4, .causal = true, .offset = 1};
  Subject subject("score_mlp", score_mlp_options("released", 2), sizes, 1);
  for (const char* name : {"score.hidden2.weight", "score.hidden2.bias"}) {
    Tensor& value = subject.parameters.at(name)->value;
    value = requires_grad(affine(abs(value), -1, 0).detach());
  }
  std::map<std::string, Tensor> seen;
  subject.call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) { seen[name] = value; };
  const Tensor y = subject.attend();
  CHECK(seen.at("gate").item() == 0);
  const Values A = seen.at("weights").values<double>();
  for (int64_t i = 0; i < 2 * 4 * 5; ++i) {
    const int64_t t = i / 5 % 4, s = i % 5;
    CHECK(A[i] == doctest::Approx(s <= t + 1 ? 1.0 / static_cast<double>(t + 2) : 0.0).epsilon(1e-14));
  }
  for (const auto& [name, gradient] : subject.gradients(y))
    if (name != "v")
      for (const double value : gradient) CHECK(std::fabs(value) <= 1e-14);
}

TEST_CASE("mechanisms: at least an eighth of default initialisations of the released form with d' = 2 have a dead gate") {
  constexpr int draws = 1600;   // deviation of the count at probability 1/8: 13
  int closed = 0;
  for (int seed = 0; seed < draws; ++seed) {
    const auto mixer = make_score_mlp(score_mlp_options("released", 2), {.width = 8, .heads = 2});
    mixer->initialise(seed, DType::f64);
    const Parameters parameters = parameters_of(*mixer);
    bool all_negative = true;
    for (const char* name : {"score.hidden2.weight", "score.hidden2.bias"})
      for (const double value : parameters.at(name)->value.values<double>()) all_negative = all_negative && value < 0;
    closed += all_negative;
    if (!all_negative) continue;
    const Tensor x = random_normal({1, 6, 8}, seed, "x");
    double share = -1;
    nn::Call call;
    call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) {
      if (name == "gate") share = value.item();
    };
    mixer->forward(x, x, call);
    CHECK(share == 0);
  }
  CHECK(std::abs(closed - draws / 8) < 4 * 13);
}

TEST_CASE("mechanisms: additive equals scalar loops over every pair") {
  for (const int64_t hidden : {0, 3})
    for (const bool bias : {false, true}) {
      CAPTURE(hidden);
      CAPTURE(bias);
      compare_with_scalar_loops("additive", additive_options(hidden, bias));
    }
}

TEST_CASE("mechanisms: additive stores no value for each pair and unit, forward and backward") {
  const Sizes sizes{.B = 1, .H = 2, .T = 128, .S = 128, .D = 8};
  constexpr int64_t units = 32;
  const Subject subject("additive", additive_options(units, true), sizes, 3);
  Arena& arena = Arena::of(default_device());
  const int64_t before = arena.statistics().in_use, pairs = sizes.H * sizes.T * sizes.S * 8;
  arena.reset_peak();
  backward(sum(subject.attend()));
  CHECK(arena.statistics().peak - before < 8 * pairs);   // the plain form stores 32 of them at least
}

TEST_CASE("mechanisms: expressive equals scalar loops") {
  for (const double beta : {1.0, 0.0, 0.3})
    for (const bool alibi : {false, true}) {
      CAPTURE(beta);
      CAPTURE(alibi);
      compare_with_scalar_loops("expressive", expressive_options(beta, alibi));
    }
}

TEST_CASE("mechanisms: expressive weights are even in the score, free of scale where small, uniform where large") {
  const auto weights = [](const Values& z) {
    const int64_t keys = static_cast<int64_t>(z.size());
    return expressive_weights(Tensor::from(z, {1, 1, 1, keys}), {}, false).values<double>();
  };
  CHECK(weights({2, -2, 0, 0.5}) == weights({-2, 2, 0, -0.5}));
  CHECK(weights({2, -2, 0, 0.5})[0] == doctest::Approx(0.8 / 1.8).epsilon(1e-15));   // parallel
  CHECK(weights({2, -2, 0, 0.5})[1] == doctest::Approx(0.8 / 1.8).epsilon(1e-15));   // anti-parallel
  CHECK(weights({2, -2, 0, 0.5})[2] == 0);                                            // orthogonal
  CHECK(frobenius_error(weights({1e-5, -2e-5, 3e-5}), {1 / 14.0, 4 / 14.0, 9 / 14.0}) <= 1e-8);
  CHECK(frobenius_error(weights({1e-6, -2e-6, 3e-6}), weights({1e-5, -2e-5, 3e-5})) <= 1e-8);
  CHECK(weights({1e10, -1e12, 0, 1e200}) == Values{1 / 3.0, 1 / 3.0, 0, 1 / 3.0});
  CHECK(weights({-INFINITY, 1e-3, INFINITY})[2] == doctest::Approx(0.5).epsilon(1e-6));
  for (const double z : {1e-150, 3e-5, 0.7, 1e5, 1e300}) CHECK(weights({z}) == Values{1});   // a key alone has weight 1
}

TEST_CASE("mechanisms: the slope of an expressive weight is 0 at an orthogonal key and decays with the third power") {
  const auto slope = [](double z) {   // ∂a_1/∂z_1 beside a key of g = ½
    const Tensor scores = requires_grad(Tensor::from(Values{z, 1}, {1, 1, 1, 2}));
    return grad({slice(expressive_weights(scores, {}, false), -1, 0, 1)}, {scores})[0].values<double>()[0];
  };
  CHECK(slope(0) == 0);
  CHECK(slope(0.5) == doctest::Approx(-slope(-0.5)));
  // a_1 = g/(g + ½), so ∂a_1 = ½ g′/(g + ½)²; at z = 1/√3: g = ¼, g′ = 2z/(1 + z²)²
  const double z = 1 / std::sqrt(3.0);
  CHECK(slope(z) == doctest::Approx(0.5 * (2 * z / std::pow(4 / 3.0, 2)) / std::pow(0.75, 2)).epsilon(1e-14));
  CHECK(slope(1e3) / slope(2e3) == doctest::Approx(8).epsilon(1e-5));
  CHECK(slope(1e300) == 0);
}

TEST_CASE("mechanisms: an expressive row whose scores are all 0 has weights 0 and gradient 0, first and second") {
  const Tensor scores = requires_grad(Tensor::from(Values{0, 0, 0, 1, 0, 2}, {1, 1, 2, 3}));
  const Tensor a = expressive_weights(scores, {}, false), u = random_normal({1, 1, 2, 3}, 1, "u");
  CHECK(frobenius_error(a.values<double>(), {0, 0, 0, 5 / 13.0, 0, 8 / 13.0}) <= 1e-15);
  const Tensor first = grad({a}, {scores}, {u}, {.create_graph = true})[0];
  const Tensor second = grad({first}, {scores}, {random_normal({1, 1, 2, 3}, 1, "w")})[0];
  for (const Tensor& g : {first, second})
    for (size_t i = 0; i < 6; ++i) {
      const double value = g.values<double>()[i];
      CHECK(std::isfinite(value));
      if (i < 3) CHECK(value == 0);
    }
  CHECK(first.values<double>()[3] != 0);
}

TEST_CASE("mechanisms: masked expressive scores are not squared: -1e20 and NaN in forbidden places change nothing") {
  const Tensor scores = random_normal({1, 2, 4, 4}, 5, "scores", DType::f32);
  const Tensor u = random_normal({1, 2, 4, 4}, 5, "u", DType::f32);
  std::vector<uint8_t> seen;
  for (int64_t i = 0; i < 32; ++i) seen.push_back(i % 4 <= i / 4 % 4);
  const Mask causal{.causal = true, .offset = 0, .keys = {}};
  const auto both = [&](double forbidden) {
    const Tensor z = requires_grad(where(Tensor::from(seen, {1, 2, 4, 4}), scores, Tensor::full({}, forbidden)).detach());
    const Tensor a = expressive_weights(z, causal, true);
    return std::pair(a.values<float>(), grad({a}, {z}, {u})[0].values<float>());
  };
  const auto plain = both(0);
  for (const double forbidden : {-1e20, -HUGE_VAL, std::nan("")}) CHECK(both(forbidden) == plain);
}

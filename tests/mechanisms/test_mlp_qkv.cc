// MLP-QKV: whole mixers against scalar loops in double and an independent float64 PyTorch script; its four known versions.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attention/claims.h"
#include "attention/mechanisms/mlp_qkv.h"
#include "attention/reproduce/program/config.h"
#include "tests/attention/attention_helpers.h"
#include "tests/mechanisms/mlp_qkv_helpers.h"

using namespace tapir;
using reference::Sizes;
using reference::Values;

namespace {

MlpQkvOptions version(const std::string& name) {
  MlpQkvOptions options;
  if (name == "paper") options.norm = "after";
  if (name == "marian") options.v = false, options.o = true;
  if (name == "roberta") options.norm = "none";
  if (name == "ceres") {
    options.activation = "mish";
    options.hidden_mult = 1;
    options.norm_shared = true;
    options.output_bias = false;
  }
  return options;
}

const std::vector<std::string> versions{"paper", "marian", "roberta", "ceres"};

// A mixer with inputs, and what it and the scalar loops make of them.
struct Subject {
  Subject(const MlpQkvOptions& options, const Sizes& sizes, uint64_t seed)
      : options(options), sizes(sizes),
        mixer(make_mlp_qkv(options, {.width = sizes.H * sizes.D, .heads = sizes.H})) {
    mixer->initialise(seed, DType::f64);
    spread_parameters(*mixer, seed);
    parameters = parameters_of(*mixer);
    const int64_t C = sizes.H * sizes.D;
    x = requires_grad(random_normal({sizes.B, sizes.T, C}, seed, "x"));
    context = requires_grad(random_normal({sizes.B, sizes.S, C}, seed, "context"));
    g = random_normal({sizes.B, sizes.T, C}, seed, "g");
    call.mask = {.causal = sizes.causal, .offset = sizes.offset, .keys = {}};
    if (!sizes.present.empty()) call.mask.keys = Tensor::from(sizes.present, {sizes.B, sizes.S});
  }

  Tensor forward() const { return mixer->forward(x, context, call); }

  std::map<std::string, Values> gradients(const Tensor& y) const {
    std::vector<std::string> names{"x", "context"};
    std::vector<Tensor> inputs{x, context};
    for (const auto& [name, parameter] : parameters) {
      names.push_back(name);
      inputs.push_back(parameter->value);
    }
    const std::vector<Tensor> found = grad({y}, inputs, {g});
    std::map<std::string, Values> result;
    for (size_t i = 0; i < names.size(); ++i) result[names[i]] = found[i].values<double>();
    return result;
  }

  reference::Attention expected() const {
    const reference::MlpQkv model = mlp_qkv_of(options, sizes.H * sizes.D, parameters);
    reference::MlpQkv gradient = zeros_of(options, sizes.H * sizes.D);
    reference::Attention result =
        model.mix_tokens(sizes, x.values<double>(), context.values<double>(), g.values<double>(), gradient);
    each_value(gradient, [&](const std::string& name, Values& values) {
      if (parameters.contains(name)) result.gradients[name] = values;
    });
    return result;
  }

  MlpQkvOptions options;
  Sizes sizes;
  std::unique_ptr<nn::TokenMixer> mixer;
  Parameters parameters;
  Tensor x, context, g;
  nn::Call call;
};

void compare(const std::map<std::string, Values>& found, const std::map<std::string, Values>& expected) {
  CHECK(found.size() == expected.size());
  for (const auto& named : expected) {
    const std::string& name = named.first;
    CAPTURE(name);
    REQUIRE(found.contains(name));
    CHECK(frobenius_error(found.at(name), named.second) <= 1e-8);
  }
}

void compare_with_scalar_loops(const MlpQkvOptions& options) {
  for (const Sizes& sizes : {Sizes{.B = 1, .H = 1, .T = 1, .S = 1, .D = 3}, {.B = 2, .H = 2, .T = 3, .S = 4, .D = 2},
                             {.B = 2, .H = 3, .T = 4, .S = 4, .D = 2, .causal = true, .present = {1, 1, 0, 1, 1, 1, 1, 1}},
                             {.B = 2, .H = 1, .T = 2, .S = 5, .D = 4, .present = {0, 0, 0, 0, 0, 1, 0, 1, 1, 1}}}) {
    CAPTURE(sizes.T);
    CAPTURE(sizes.S);
    const Subject subject(options, sizes, 3);
    const Tensor y = subject.forward();
    const reference::Attention expected = subject.expected();
    CHECK(frobenius_error(y.values<double>(), expected.output) <= 1e-10);
    compare(subject.gradients(y), expected.gradients);
  }
}

}  // namespace

TEST_CASE("mlp_qkv: the paper's text, Marian, RoBERTa and Ceres equal scalar loops, with every gradient") {
  for (const std::string& name : versions) {
    CAPTURE(name);
    compare_with_scalar_loops(version(name));
  }
}

TEST_CASE("mlp_qkv: every norm, activation and set of networks equals scalar loops") {
  for (const char* norm : {"none", "before", "after"})
    for (const char* activation : {"relu", "mish"})
      for (const int networks : {1, 6, 8, 15})
        for (const bool shared : {false, true}) {
          MlpQkvOptions options;
          options.q = networks & 1, options.k = networks & 2, options.v = networks & 4, options.o = networks & 8;
          options.norm = norm;
          options.activation = activation;
          options.hidden_mult = 1 + networks % 2;
          options.norm_shared = shared && options.norm != "none";
          options.output_bias = networks != 6;
          CAPTURE(norm);
          CAPTURE(activation);
          CAPTURE(networks);
          CAPTURE(shared);
          compare_with_scalar_loops(options);
        }
}

TEST_CASE("mlp_qkv: the four versions equal independent PyTorch values in float64") {
  std::ifstream file(TAPIR_SOURCE_DIR "/tests/golden/mechanisms.json");
  REQUIRE(file.good());
  const nlohmann::json golden = nlohmann::json::parse(file);
  std::vector<std::string> seen;
  for (const nlohmann::json& one : golden["cases"]) {
    if (one["mechanism"] != "mlp_qkv") continue;
    seen.push_back(one["version"]);
    CAPTURE(seen.back());
    const auto tensor = [](const nlohmann::json& entry) {
      Shape shape;
      for (const int64_t extent : entry["shape"]) shape.push_back(extent);
      return Tensor::from(entry["data"].get<Values>(), shape);
    };
    const Tensor x = tensor(one["inputs"]["x"]), context = tensor(one["inputs"]["context"]);
    Subject subject(version(seen.back()), {.B = 1, .H = 2, .T = x.size(1), .S = context.size(1), .D = x.size(2) / 2}, 1);
    subject.x = requires_grad(x);
    subject.context = requires_grad(context);
    subject.g = tensor(one["upstream"]);
    CHECK(subject.parameters.size() == one["parameters"].size());
    for (const auto& [name, value] : one["parameters"].items()) {
      REQUIRE(subject.parameters.contains(name));
      nn::Parameter& parameter = *subject.parameters.at(name);
      REQUIRE(parameter.shape == tensor(value).shape());
      parameter.value = requires_grad(tensor(value));
    }
    const Tensor y = subject.forward();
    CHECK(frobenius_error(y.values<double>(), one["output"]["data"].get<Values>()) <= 1e-10);
    std::map<std::string, Values> expected;
    for (const auto& [name, value] : one["gradients"].items()) expected[name] = value["data"].get<Values>();
    compare(subject.gradients(y), expected);
  }
  CHECK(seen == versions);
}

TEST_CASE("mlp_qkv: parameters are as many as in the published models") {
  const auto count = [](const MlpQkvOptions& options, int64_t width) {
    return make_mlp_qkv(options, {.width = width, .heads = 8})->parameter_count();
  };
  // A network of Marian has 1,052,160 parameters, one of RoBERTa 2,361,600, biases included.
  CHECK(count(version("marian"), 512) == 3 * 1'052'160 + 512 * 512);
  CHECK(count(version("roberta"), 768) == 3 * 2'361'600 + 768 * 768);
  // Against linear layers with biases: 42.63 million more in the 18 attentions of Marian, 63.76 in the 12 of RoBERTa.
  CHECK(18 * 3 * (1'052'160 - 512 * 513) == doctest::Approx(42.63e6).epsilon(1e-3));
  CHECK(12 * 3 * (2'361'600 - 768 * 769) == doctest::Approx(63.76e6).epsilon(1e-3));
  // The second maps of Ceres: 3 C² a layer, 41.8 million in 34 layers of width 640. Biases and the shared norm: 5 C.
  const int64_t second = count(version("ceres"), 640) - 4 * 640 * 640 - 5 * 640;
  CHECK(second == 3 * 640 * 640);
  CHECK(34 * second == doctest::Approx(41.8e6).epsilon(1e-3));
}

TEST_CASE("mlp_qkv: hidden units W x and -W x make a network that is the matrix W, exactly") {
  const int64_t C = 6;
  const MixerShape shape{.width = C, .heads = 2};
  const auto linear = mechanism("dot_product").make(StagedOptions(), shape), mixer = make_mlp_qkv(version("roberta"), shape);
  for (nn::TokenMixer* module : {linear.get(), mixer.get()}) {
    module->initialise(1, DType::f64);
    spread_parameters(*module, 1);
  }
  Parameters from = parameters_of(*linear), to = parameters_of(*mixer);
  to.at("out.weight")->value = from.at("out.weight")->value;
  for (const std::string name : {"query", "key", "value"}) {
    Values hidden = from.at(name + ".weight")->value.values<double>(), out(C * 2 * C, 0.0);
    for (int64_t i = 0; i < C * C; ++i) hidden.push_back(-hidden[i]);
    for (int64_t c = 0; c < C; ++c) out[c * 2 * C + c] = 1, out[c * 2 * C + C + c] = -1;
    to.at(name + ".hidden.weight")->value = Tensor::from(hidden, {2 * C, C});
    to.at(name + ".hidden.bias")->value = Tensor::zeros({2 * C}, DType::f64);
    to.at(name + ".out.weight")->value = Tensor::from(out, {C, 2 * C});
    to.at(name + ".out.bias")->value = Tensor::zeros({C}, DType::f64);
  }
  const Tensor x = random_normal({2, 5, C}, 1, "x");
  CHECK(frobenius_error(mixer->forward(x, x, {}).values<double>(), linear->forward(x, x, {}).values<double>()) <= 1e-14);
}

TEST_CASE("mlp_qkv: all versions keep the claims, but a network of the output answers a row without keys with its biases") {
  Mechanism claiming = mechanism("mlp_qkv");
  CHECK(!claiming.claims(version("marian")).padding_safe);
  claiming.claims = always(claiming.claims(version("paper")));
  for (const std::string& name : versions)
    for (const Proof& proof : prove(claiming, version(name), 2)) {
      CAPTURE(name);
      CAPTURE(proof.claim);
      CAPTURE(proof.evidence);
      const bool broken = name == "marian" && proof.claim == "padding_safe";
      CHECK(proof.holds == !broken);
      if (broken) CHECK(contains_text(proof.evidence, "a row without keys does not give zeros"));
      // The bias of the keys adds the same to all scores of a query; so does that of a norm behind the activation.
      const std::string without_effect = name == "paper"   ? "; without effect, gradient 0: key.norm.bias, key.out.bias"
                                         : name == "ceres" ? ""
                                                           : "; without effect, gradient 0: key.out.bias";
      if (proof.claim == "gradient") CHECK(proof.evidence.ends_with(without_effect));
      if (proof.claim == "gradient" && name == "ceres") CHECK(!contains_text(proof.evidence, "without effect"));
    }
}

TEST_CASE("mlp_qkv: options that contradict each other are refused") {
  const auto refused = [](const char* keys) {
    return message_of([&] {
      MlpQkvOptions options;
      read_section(toml::parse(std::string("[attention]\n") + keys), "attention", options);
      make_mlp_qkv(options, {.width = 8, .heads = 2});
    });
  };
  CHECK(refused("") == "no error");
  CHECK(refused("q = false\nk = false\nv = false") ==
        "mlp_qkv: none of q, k, v, o has a network; hint: that is dot_product");
  CHECK(refused("norm = 'none'\nnorm_shared = true") == "mlp_qkv: norm_shared needs a norm, found norm = \"none\"");
}

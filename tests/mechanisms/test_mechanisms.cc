// Each mechanism, with every gradient, against the scalar loops of its oracle and against an independent float64 PyTorch
// script.
#include <doctest/doctest.h>

#include "tests/golden_file.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;
using reference::Sizes;
using reference::Values;

namespace {

constexpr double forward_bound = 1e-10, gradient_bound = 1e-8, zero_bound = 1e-12, rounding = 1e-13;

double norm_of(const Values& x) { return frobenius_error(x, Values(x.size(), 0.0)); }

// Each within its bound, relative to its own size; and where terms cancel, within their rounding: of a single key
// y = v s/(s + ε), and the gradient of s is the ε/(s + ε)-th part of two terms as large as that of v.
void compare_gradients(const Subject::Named& found, const Subject::Named& expected) {
  for (const auto& one : found)
    if (!expected.contains(one.first)) FAIL_CHECK("there is no gradient to compare that of ", one.first, " with");
  double largest = 0;
  for (const auto& one : expected) largest = std::max(largest, norm_of(one.second));
  for (const auto& one : expected) {
    const std::string& name = one.first;
    CAPTURE(name);
    REQUIRE(found.contains(name));
    const double size = norm_of(one.second);
    const bool zero = size <= 1e-13;   // but for rounding
    CHECK(frobenius_error(found.at(name), one.second) <= (zero ? zero_bound : gradient_bound + rounding * largest / size));
  }
}

std::vector<Sizes> sizes_of_mixers() {
  return {{.B = 1, .H = 1, .T = 1, .S = 1, .D = 3},
          {.B = 2, .H = 2, .T = 3, .S = 4, .D = 2},
          {.B = 2, .H = 3, .T = 4, .S = 4, .D = 2, .causal = true, .present = {1, 1, 0, 1, 1, 1, 1, 1}},
          {.B = 2, .H = 1, .T = 2, .S = 5, .D = 4, .present = {0, 0, 0, 0, 0, 1, 0, 1, 1, 1}}};
}

void compare_with_scalar_loops(const Oracle& oracle, const nn::Options& options) {
  const Reach reach = oracle.mixer ? Reach::mixer : Reach::heads;
  for (const Sizes& sizes : oracle.mixer ? sizes_of_mixers() : sizes_of_heads())
    for (const uint64_t seed : {1, 2}) {
      const nn::Needs needs = needs_of(mechanism(oracle.mechanism), options);
      if ((needs.self && sizes.T != sizes.S) || (needs.any_distance && sizes.window > 0)) continue;
      if (oracle.even && sizes.D % 2 != 0) continue;
      CAPTURE(sizes.T);
      CAPTURE(sizes.S);
      CAPTURE(seed);
      const Subject subject(oracle.mechanism, options, sizes, seed, reach);
      const Tensor y = subject.output();
      const reference::Attention expected = subject.expected(options, oracle);
      CHECK(frobenius_error(y.values<double>(), expected.output) <= forward_bound);
      compare_gradients(subject.gradients(y), expected.gradients);
    }
}

// A recorded case names its options by their keys.
std::unique_ptr<nn::Options> recorded_options(const nlohmann::json& one) {
  std::string toml;
  for (const auto& [key, value] : one["options"].items()) toml += key + " = " + value.dump() + '\n';
  return options_of(one["mechanism"].get<std::string>(), toml);
}

// Its inputs are q, k and v, or those of a whole mixer.
Subject subject_of(const nlohmann::json& one) {
  const nlohmann::json& inputs = one["inputs"];
  const bool heads = inputs.contains("q");
  const Shape x = golden_tensor(inputs[heads ? "q" : "x"]).shape();
  const Shape context = golden_tensor(inputs[heads ? "k" : "context"]).shape();
  constexpr int64_t H = 2;   // of whole mixers
  const Sizes sizes = heads ? Sizes{x[0], x[1], x[2], context[2], x[3], one["causal"].get<bool>()}
                            : Sizes{x[0], H, x[1], context[1], x[2] / H, one.value("causal", false)};
  Subject subject(one["mechanism"], *recorded_options(one), sizes, 1, heads ? Reach::heads : Reach::mixer);
  for (const auto& [name, value] : inputs.items()) subject.inputs.at(name) = requires_grad(golden_tensor(value));
  subject.g = golden_tensor(one["upstream"]);
  for (const auto& [name, value] : one["parameters"].items()) {
    nn::Parameter& parameter = subject.parameter(name);
    REQUIRE(parameter.shape == golden_tensor(value).shape());
    parameter.value = requires_grad(golden_tensor(value));
  }
  return subject;
}

}  // namespace

TEST_CASE("mechanisms: all equal scalar loops, with every gradient") {
  for (const auto& named : oracles()) {
    const Oracle& oracle = named.second;
    if (!oracle.has_reference()) continue;
    for (const std::string& keys : oracle.variants) {
      INFO(oracle.mechanism, ": ", keys);
      compare_with_scalar_loops(oracle, *options_of(oracle.mechanism, keys));
    }
  }
}

TEST_CASE("mechanisms: all equal independent PyTorch values in float64") {
  const nlohmann::json golden = golden_file("mechanisms.json");
  CHECK(golden["cases"].size() >= 41);
  for (const nlohmann::json& one : golden["cases"]) {
    CAPTURE(one["name"].get<std::string>());
    const Subject subject = subject_of(one);
    const Tensor y = subject.output();
    CHECK(frobenius_error(y.values<double>(), one["output"]["data"].get<Values>()) <= forward_bound);
    Subject::Named expected;
    for (const auto& [name, value] : one["gradients"].items()) expected[name] = value["data"].get<Values>();
    compare_gradients(subject.gradients(y), expected);
  }
}

TEST_CASE("mechanisms: f32 agrees with f64") {
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const std::unique_ptr<nn::Options> options = row.options();
    const Sizes sizes{.B = 2, .H = 2, .T = needs_of(row, *options).self ? 33 : 17, .S = 33, .D = 8};
    const auto found = oracles().find(row.name);
    const bool whole = found != oracles().end() && found->second.mixer;
    Subject subject(row.name, *options, sizes, 7, whole ? Reach::mixer : Reach::heads);
    const Values wide = subject.output().values<double>();
    for (auto& [key, parameter] : subject.parameters) parameter->value = parameter->value.detach().to(DType::f32);
    for (auto& [key, input] : subject.inputs) input = input.detach().to(DType::f32);
    const double error = frobenius_error(subject.output().detach().to(DType::f64).values<double>(), wide);
    CHECK(error <= 1e-5);
    CHECK(error > 0);
  }
}

// Each mechanism, with every gradient, against the scalar loops of its oracle and against an independent float64 PyTorch
// script.
#include <doctest/doctest.h>

#include <set>

#include "tests/golden_file.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;
using reference::Sizes;
using reference::Values;

namespace {

void check_bounds(const Distance& distance) {
  INFO(distance.forward.where);
  CHECK(distance.forward.error <= Distance::forward_bound);
  INFO(distance.gradient.where);
  CHECK(distance.gradient.error <= Distance::gradient_bound);
  CHECK(distance.comparisons > 0);
}

}  // namespace

TEST_CASE("mechanisms: all equal scalar loops, with every gradient") {
  for (const auto& named : oracles()) {
    const Oracle& oracle = named.second;
    if (!oracle.has_reference() || !takes_mechanism(oracle.mechanism)) continue;
    for (const std::string& keys : oracle.variants) {
      INFO(oracle.mechanism, ": ", keys);
      check_bounds(from_scalar_loops(oracle, *options_of(oracle.mechanism, keys)));
    }
  }
}

TEST_CASE("mechanisms: all equal independent PyTorch values in float64") {
  const nlohmann::json golden = golden_file("mechanisms.json");
  std::set<std::string> recorded;
  for (const nlohmann::json& one : golden["cases"]) {
    recorded.insert(one["mechanism"]);
    if (!takes_mechanism(one["mechanism"])) continue;
    CAPTURE(one["name"].get<std::string>());
    check_bounds(from_recorded(one));
  }
  for (const Mechanism& row : zoo())
    if (row.claims(*row.options()).exact && !recorded.contains(row.name)) FAIL_CHECK("there are no recorded values of ", row.name);
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

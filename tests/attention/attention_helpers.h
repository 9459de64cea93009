// What the tests of attention/ share: options, random numbers, parameters of a mixer, proofs.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attention/claims.h"
#include "attention/mechanisms/expressive.h"
#include "attention/mechanisms/score_mlp.h"
#include "attention/zoo.h"
#include "autograd/backward.h"
#include "tensor/random.h"
#include "tests/messages.h"

namespace tapir {

inline ScoreMlpOptions score_mlp_options(const std::string& form, int64_t reduced, bool shared = true, bool scale = false) {
  ScoreMlpOptions options;
  options.form = form;
  options.reduced = reduced;
  options.hidden = 6;
  options.shared = shared;
  options.scale = scale;
  return options;
}

inline ExpressiveOptions expressive_options(double beta, bool alibi) {
  ExpressiveOptions options;
  options.beta = beta;
  options.alibi = alibi;
  return options;
}

inline Tensor random_normal(const Shape& shape, uint64_t seed, const std::string& site, DType type = DType::f64) {
  Tensor x = Tensor::empty(shape, type);
  normal_(x, 0, 1, {.seed = seed, .step = 0, .site = site_of(site)});
  return x;
}

// Whether a parameter of a mixer that was initialised with seed 1 in f64 has the values of `init`.
inline bool begins_with(nn::TokenMixer& mixer, const std::string& name, const nn::Init& init) {
  const Tensor value = mixer.parameter_at(name).value;
  Tensor expected = Tensor::empty(value.shape(), value.dtype());
  init.fill(expected, {.seed = 1, .step = 0, .site = site_of(name)});
  return value.values<double>() == expected.values<double>();
}

inline nn::Call call_with(const Mask& mask) {
  nn::Call call;
  call.mask = mask;
  return call;
}

// Shapes that every mixer of width 8 takes: what a model may ask of projections and heads.
struct NamedShape {
  std::string name;
  MixerShape shape;
};

inline std::vector<NamedShape> shapes_of(const Mechanism& row) {
  std::vector<NamedShape> all{
      {"heads of the width", {.width = 8, .heads = 2}},
      {"one head of keys for two", {.width = 8, .heads = 2, .key_heads = 1}},
      {"wider heads", {.width = 8, .heads = 2, .head_width = 6}},
      {"heads that do not divide the width", {.width = 8, .heads = 3, .head_width = 2}},
      {"biases", {.width = 8, .heads = 2, .biases = true}},
      {"all of it", {.width = 8, .heads = 4, .key_heads = 2, .head_width = 6, .biases = true}}};
  const nn::Needs needs = needs_of(row, *row.options());
  std::erase_if(all, [&](const NamedShape& one) {
    return (needs.every_head && one.shape.key_heads > 0) || (needs.whole_width && one.shape.head_width > 0);
  });
  return all;
}

using Parameters = std::map<std::string, nn::Parameter*>;

inline Parameters parameters_of(nn::Module& model) {   // `module` at the start of a line is a directive of nvcc
  Parameters all;
  model.each_parameter([&](const std::string& name, nn::Parameter& parameter) { all[name] = &parameter; });
  return all;
}

// Gives every parameter the deviation 1.5/√inputs (matrices) or 0.5.
inline void spread_parameters(nn::Module& module, uint64_t seed) {
  for (const auto& [name, parameter] : parameters_of(module)) {
    const bool matrix = nn::decays(parameter->kind);
    Tensor value = Tensor::empty(parameter->shape, DType::f64);
    const double deviation = matrix ? 1.5 / std::sqrt(static_cast<double>(parameter->shape[-1])) : 0.5;
    const double mean = parameter->kind == nn::ParameterKind::gain ? 1 : 0;
    normal_(value, mean, deviation, {.seed = seed, .step = 0, .site = site_of(name)});
    parameter->value = requires_grad(value);
  }
}

inline const Proof& proof_of(const std::vector<Proof>& proofs, const std::string& claim) {
  const auto found = std::find_if(proofs.begin(), proofs.end(), [&](const Proof& proof) { return proof.claim == claim; });
  REQUIRE(found != proofs.end());
  return *found;
}

inline void check_all_hold(const std::vector<Proof>& proofs) {
  for (const Proof& proof : proofs) {
    CAPTURE(proof.claim);
    CAPTURE(proof.evidence);
    CHECK(proof.holds);
    CHECK(!proof.evidence.empty());
  }
}

// ‖x − y‖ / ‖y‖ (Frobenius); ‖x‖ where y is zero but for rounding.
inline double frobenius_error(const std::vector<double>& x, const std::vector<double>& y) {
  REQUIRE(x.size() == y.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    difference += (x[i] - y[i]) * (x[i] - y[i]);
    size += y[i] * y[i];
  }
  return std::sqrt(difference) / (size > 1e-26 ? std::sqrt(size) : 1);
}

}  // namespace tapir

// What the tests of attention/ share: options of score_mlp, and how a mixer is read as a scalar-loop reference.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attention/mechanisms/additive.h"
#include "attention/mechanisms/expressive.h"
#include "attention/mechanisms/linear.h"
#include "attention/mechanisms/score_mlp.h"
#include "attention/zoo.h"
#include "autograd/backward.h"
#include "tensor/random.h"
#include "tests/mechanisms/reference_additive.h"
#include "tests/mechanisms/reference_expressive.h"
#include "tests/mechanisms/reference_linear.h"
#include "tests/mechanisms/reference_twicing.h"
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

inline AdditiveOptions additive_options(int64_t hidden, bool bias) {
  AdditiveOptions options;
  options.hidden = hidden;
  options.bias = bias;
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

inline nn::Call call_with(const Mask& mask, nn::Positions positions = nn::Positions::none) {
  nn::Call call;
  call.mask = mask;
  call.positions = positions;
  return call;
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

// The reference of a score network from its parameters "<prefix><layer>.weight" and ".bias".
inline reference::ScoreNetwork network_of(const Parameters& parameters, const std::string& form, double factor,
                                          const std::string& prefix = "score.") {
  const auto layer = [&](const std::string& name) {
    const Tensor& weight = parameters.at(prefix + name + ".weight")->value;
    return reference::Layer{name, weight.size(-2), weight.size(-1), weight.rank() == 3, weight.values<double>(),
                            parameters.at(prefix + name + ".bias")->value.values<double>()};
  };
  reference::ScoreNetwork network{layer("reduce_query"), layer("reduce_key"), {}, factor};
  if (form == "paper") network.layers = {layer("hidden"), layer("out")};
  else network.layers = {layer("hidden1"), layer("hidden2"), layer("out")};
  return network;
}

// Scalar loops for attend() of a mixer with these options and parameters: output and gradients of ⟨output, g⟩.
using AttentionReference = std::function<reference::Attention(
    const nn::Options& options, const Parameters& parameters, const reference::Sizes& sizes, const reference::Values& q,
    const reference::Values& k, const reference::Values& v, const reference::Values& g)>;

// The references of the zoo by mechanism. A row without one does not pass (test_zoo.cc).
inline const std::map<std::string, AttentionReference>& references() {
  static const std::map<std::string, AttentionReference> table{
      {"dot_product",
       [](const auto&, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
         return reference::attend(reference::DotProduct{}, sizes, q, k, v, g);
       }},
      {"score_mlp",
       [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
          const auto& g) {
         const auto& options = static_cast<const ScoreMlpOptions&>(any);
         const double factor = options.scale ? 1 / std::sqrt(static_cast<double>(sizes.D)) : 1;
         return reference::attend(network_of(parameters, options.form, factor), sizes, q, k, v, g);
       }},
      {"additive",
       [](const auto&, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
          const auto& g) {
         const auto values = [&](const std::string& name) {
           const auto found = parameters.find("score." + name);
           return found == parameters.end() ? reference::Values() : found->second->value.template values<double>();
         };
         const int64_t units = parameters.at("score.vector")->shape[1];
         const reference::Additive additive{units, values("query"), values("key"), values("bias"), values("vector")};
         return reference::attend(additive, sizes, q, k, v, g);
       }},
      {"expressive",
       [](const auto& any, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
         const auto& options = static_cast<const ExpressiveOptions&>(any);
         const double beta = options.beta > 0 ? options.beta : 1 / std::sqrt(static_cast<double>(sizes.D));
         return reference::Expressive{beta, options.alibi}.attend(sizes, q, k, v, g);
       }},
      {"mlp_qkv",   // on heads it is the dot product; test_mlp_qkv.cc has the reference of the whole mixer
       [](const auto&, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
         return reference::attend(reference::DotProduct{}, sizes, q, k, v, g);
       }},
      {"twicing",
       [](const auto&, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
         return reference::attend_twicing(sizes, q, k, v, g);
       }},
      {"linear",
       [](const auto& any, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
         return reference::Linear{static_cast<const LinearOptions&>(any).epsilon}.attend(sizes, q, k, v, g);
       }}};
  return table;
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

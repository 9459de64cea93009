// A mixer with inputs, on its heads or all of it, and what it makes of them beside what its oracle does.
#pragma once
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attention/projected.h"
#include "attention/reproduce/program/config.h"
#include "nn/after_feed_forward.h"
#include "tests/mechanisms/oracle.h"

namespace tapir {

inline std::unique_ptr<nn::Options> options_of(const std::string& mechanism_name, const std::string& toml) {
  std::unique_ptr<nn::Options> options = mechanism(mechanism_name).options();
  read_section(toml::parse("[attention]\n" + toml), "attention", *options);
  return options;
}

enum class Reach { heads, mixer, layer };   // attend(), forward() with its projections, or after_feed_forward()

struct Subject {
  using Named = std::map<std::string, reference::Values>;   // by the names of an oracle's gradients

  // `beside`: what the mixer's shape has beside width and heads.
  Subject(const std::string& name, const nn::Options& options, const reference::Sizes& n, uint64_t seed,
          Reach reach = Reach::heads, const MixerShape& beside = {})
      : sizes(n), shape(shape_of(n, beside)), reach(reach), mixer(mechanism(name).make(options, shape)) {
    mixer->initialise(seed, DType::f64);
    spread_parameters(*mixer, seed);
    parameters = parameters_of(*mixer);
    const bool heads = reach == Reach::heads;
    const Shape queries = heads ? Shape{n.B, n.H, n.T, n.D} : Shape{n.B, n.T, n.H * n.D},
                keys = heads ? Shape{n.B, n.H, n.S, n.D} : Shape{n.B, n.S, n.H * n.D};
    const auto draw = [&](const Shape& shape, const char* site) { return requires_grad(random_normal(shape, seed, site)); };
    if (heads) inputs = {{"q", draw(queries, "Q")}, {"k", draw(keys, "K")}, {"v", draw(keys, "V")}};
    else if (reach == Reach::layer) inputs = {{"z", draw(queries, "z")}};
    else if (mixer->needs().self) inputs = {{"x", draw(queries, "x")}};
    else inputs = {{"x", draw(queries, "x")}, {"context", draw(keys, "context")}};
    if (const int64_t d = shape.places.dimensions; d > 0) {
      inputs["places"] = call.places = draw({n.B, n.T, d}, "places");
      inputs["context_places"] = call.context_places = draw({n.B, n.S, d}, "context places");
    }
    g = random_normal(queries, seed, "g");
    call.mask = {.causal = n.causal, .offset = n.offset, .keys = {}, .window = n.window};
    if (!n.present.empty()) call.mask.keys = Tensor::from(n.present, {n.B, n.S});
  }

  Tensor output() const {
    if (reach == Reach::mixer) return mixer->forward(inputs.at("x"), context(), call);
    if (reach == Reach::layer) return nn::after_feed_forward(*mixer, inputs.at("z"), call);
    return dynamic_cast<const ProjectedAttention&>(*mixer).attend(inputs.at("q"), inputs.at("k"), inputs.at("v"), call);
  }

  // Of ⟨output, g⟩.
  Named gradients(const Tensor& y) const {
    std::vector<std::string> names;
    std::vector<Tensor> leaves;
    const auto add = [&](const std::string& name, const Tensor& leaf) {
      names.push_back(name);
      leaves.push_back(leaf);
    };
    for (const auto& [name, input] : inputs) add(name, input);
    for (const auto& [name, parameter] : parameters)
      if (reach == Reach::mixer) add(name, parameter->value);
      else if (!of_projection(name)) add(name.starts_with("score.") ? name.substr(6) : name, parameter->value);
    const std::vector<Tensor> found = grad({y}, leaves, {g});
    Named result;
    for (size_t i = 0; i < names.size(); ++i) result[names[i]] = found[i].values<double>();
    return result;
  }

  nn::Parameter& parameter(const std::string& name) const {   // by the name of its gradient
    const auto found = parameters.find("score." + name);
    return found == parameters.end() ? *parameters.at(name) : *found->second;
  }

  reference::Attention expected(const nn::Options& options, const Oracle& oracle) const {
    const auto value = [&](const char* name) { return inputs.at(name).values<double>(); };
    const reference::Values upstream = g.values<double>();
    if (reach == Reach::mixer) return oracle.mixer(options, parameters, sizes, value("x"), context().values<double>(), upstream);
    if (reach == Reach::layer) return oracle.layer(options, parameters, buffers_of(*mixer), sizes, value("z"), upstream);
    return oracle.heads(options, parameters, sizes, value("q"), value("k"), value("v"), upstream);
  }

  reference::Sizes sizes;
  MixerShape shape;
  Reach reach;
  std::unique_ptr<nn::TokenMixer> mixer;
  Parameters parameters;
  std::map<std::string, Tensor> inputs;
  Tensor g;
  nn::Call call;

 private:
  static MixerShape shape_of(const reference::Sizes& n, MixerShape shape) {
    shape.width = n.H * n.D;
    shape.heads = n.H;
    shape.causal = n.causal;
    return shape;
  }

  const Tensor& context() const { return inputs.contains("context") ? inputs.at("context") : inputs.at("x"); }   // of mixers

  static bool of_projection(const std::string& name) {
    for (const Projection which : {Projection::query, Projection::key, Projection::value, Projection::out})
      if (name.starts_with(std::string(name_of(which)) + '.')) return true;
    return false;
  }
};

inline std::vector<reference::Sizes> sizes_of_heads() {
  return {{.B = 1, .H = 1, .T = 1, .S = 1, .D = 4},
          {.B = 2, .H = 2, .T = 5, .S = 5, .D = 4},
          {.B = 2, .H = 3, .T = 6, .S = 6, .D = 5, .causal = true},
          {.B = 1, .H = 2, .T = 3, .S = 40, .D = 8},
          {.B = 2, .H = 1, .T = 2, .S = 7, .D = 4, .causal = true, .offset = 5},
          {.B = 3, .H = 2, .T = 4, .S = 4, .D = 4, .present = {1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1}},
          {.B = 2, .H = 2, .T = 4, .S = 4, .D = 4, .causal = true, .present = {1, 0, 1, 1, 0, 1, 1, 0}},
          {.B = 2, .H = 2, .T = 6, .S = 6, .D = 4, .window = 2},
          {.B = 1, .H = 2, .T = 6, .S = 6, .D = 4, .causal = true, .window = 1},
          {.B = 2, .H = 1, .T = 3, .S = 8, .D = 4, .causal = true, .offset = 5, .window = 2},
          {.B = 1, .H = 1, .T = 5, .S = 5, .D = 4, .causal = true, .present = {0, 1, 1, 0, 1}, .window = 2}};
}

}  // namespace tapir

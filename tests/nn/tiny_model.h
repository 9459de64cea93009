// A language model of two blocks, small enough for differences, with a mechanism of the zoo and parameters in f64 that are
// large enough for attention to be far from uniform.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "autograd/ops/cross_entropy.h"
#include "nn/models/transformer.h"
#include "tests/attention/attention_helpers.h"

namespace tapir {

// Those that can model language. Rows that join the zoo later are here by themselves.
inline std::vector<std::string> causal_mechanisms() {
  std::vector<std::string> names;
  for (const Mechanism& row : zoo())
    if (row.claims(*row.options()).causal) names.push_back(row.name);
  return names;
}

inline nn::TransformerOptions tiny_options() {
  nn::TransformerOptions options;
  options.vocabulary = 7;
  options.context = 4;
  options.width = 8;
  options.layers = 2;
  options.heads = 2;
  options.hidden = 12;
  return options;
}

// The parts that options make otherwise: heads of a width of their own, biases where there are none by default and none where
// there are, a tied head.
inline nn::TransformerOptions with_other_parts(nn::TransformerOptions options) {
  options.head_width = 6;
  options.bias = false;
  options.attention_bias = true;
  options.tied_head = true;
  options.head_bias = true;
  return options;
}

struct TinyModel {
  explicit TinyModel(const std::string& name, const nn::TransformerOptions& options = tiny_options(), uint64_t seed = 3) {
    const Mechanism& row = mechanism(name);
    model =
        std::make_unique<nn::LanguageModel>(options, [&](const MixerShape& shape) { return row.make(*row.options(), shape); });
    model->initialise(seed, DType::f64);
    spread_parameters(*model, seed);
  }

  std::vector<Tensor> values() const {
    std::vector<Tensor> all;
    model->each_parameter([&](const std::string&, nn::Parameter& parameter) { all.push_back(parameter.value); });
    return all;
  }

  void set_values(const std::vector<Tensor>& all) const {
    size_t i = 0;
    model->each_parameter([&](const std::string&, nn::Parameter& parameter) { parameter.value = all[i++]; });
  }

  Tensor tokens() const { return Tensor::from(std::vector<int32_t>{3, 1, 4, 1, 5, 2, 6, 0}, {2, 4}); }
  Tensor targets() const { return Tensor::from(std::vector<int32_t>{1, 4, 1, 5, 2, 6, 0, 3}, {2, 4}); }
  Tensor loss(const nn::Call& call = {}) const { return cross_entropy(model->forward(tokens(), call), targets()); }

  std::unique_ptr<nn::LanguageModel> model;
};

}  // namespace tapir

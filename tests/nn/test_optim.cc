// Optimisers, clipping, accumulation of gradients and averaged weights, against scalar loops, PyTorch, and numbers computed by
// hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "autograd/backward.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"
#include "autograd/tolerance.h"
#include "nn/layers/embedding.h"
#include "nn/layers/linear.h"
#include "nn/optim/ema.h"
#include "nn/optim/optimiser.h"
#include "nn/train/trainer.h"
#include "tests/golden_file.h"
#include "tests/messages.h"

namespace tapir {
namespace {

using Values = std::vector<double>;

nn::AdamWOptions adamw(double beta1, double beta2, double epsilon, double decay) {
  nn::AdamWOptions options;
  options.beta1 = beta1;
  options.beta2 = beta2;
  options.epsilon = epsilon;
  options.decay = decay;
  return options;
}

// A parameter of each kind, and one that no loss ever reaches.
struct Kinds : nn::Module {
  Kinds() {
    parameter("weight", {4, 3}, nn::ParameterKind::weight, nn::Init::normal(1));
    parameter("bias", {4}, nn::ParameterKind::bias, nn::Init::normal(1));
    parameter("gain", {5}, nn::ParameterKind::gain, nn::Init::normal(1));
    parameter("table", {6, 2}, nn::ParameterKind::embedding, nn::Init::normal(1));
    parameter("idle", {3}, nn::ParameterKind::weight, nn::Init::normal(1));
  }
};

std::map<std::string, nn::Parameter*> parameters_of(nn::Module& model) {
  std::map<std::string, nn::Parameter*> all;
  model.each_parameter([&](const std::string& name, nn::Parameter& parameter) { all[name] = &parameter; });
  return all;
}

Tensor random_values(const Shape& shape, uint32_t step, const std::string& site) {
  Tensor values = Tensor::empty(shape, DType::f64);
  nn::Init::normal(2).fill(values, {.seed = 9, .step = step, .site = site_of(site)});
  return values;
}

// Gives every parameter but "idle" a gradient of its own.
void give_gradients(nn::Module& model, uint32_t step) {
  for (const auto& [name, parameter] : parameters_of(model))
    if (name != "idle") set_gradient(parameter->value, random_values(parameter->shape, step, name));
}

// Loshchilov & Hutter 2019, algorithm 2, line by line, for one number. `rate` stands for η α and for the η of the decay,
// whose λ is relative to α.
struct ScalarAdamW {
  double theta, m = 0, v = 0;

  void step(int t, double g, double rate, double lambda, const nn::AdamWOptions& o) {
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, t)), v_hat = v / (1 - std::pow(o.beta2, t));
    theta = theta - (rate * m_hat / (std::sqrt(v_hat) + o.epsilon) + rate * lambda * theta);
  }
};

// The parameters that tests/golden/nn.py optimises.
struct GoldenParameters : nn::Module {
  GoldenParameters() {
    parameter("weight", {4, 3}, nn::ParameterKind::weight, nn::Init::constant(0));
    parameter("wide", {2, 5}, nn::ParameterKind::weight, nn::Init::constant(0));
    parameter("head", {3, 2}, nn::ParameterKind::head, nn::Init::constant(0));
    parameter("bias", {4}, nn::ParameterKind::bias, nn::Init::constant(0));
  }
};

// The options of tests/golden/nn.py.
nn::OptimiserOptions golden_options(const std::string& name) {
  nn::OptimiserOptions options;
  options.name = name.substr(0, name.find(','));
  options.adamw = adamw(0.8, 0.97, 1e-3, 0.3);
  options.sgd.momentum = 0.8;
  options.sgd.nesterov = name.ends_with("nesterov");
  options.sgd.decay = options.lion.decay = options.muon.decay = 0.3;
  options.lion.beta2 = 0.97;
  options.muon.momentum = 0.9;
  options.muon.adamw_rate = 0.2;
  options.muon.beta1 = 0.8;
  options.muon.beta2 = 0.97;
  options.muon.epsilon = 1e-3;
  return options;
}

// Rows of tokens in and out, some targets ignored: 7, 2, 5 and 1 are counted.
struct Rows {
  static constexpr int64_t rows = 4, columns = 7, vocabulary = 5;
  std::vector<int32_t> inputs{0, 1, 2, 3, 4, 0, 1, 2, 2, 3, 1, 0, 4, 4, 1, 3, 0, 2, 4, 1, 0, 3, 3, 1, 4, 2, 0, 1};
  std::vector<int32_t> targets{1, 2,  3, 4, 0, 1, 3,  -1, 3,  -1, -1, 4,  -1, -1,
                               3, -1, 2, 4, 1, 0, -1, -1, -1, -1, -1, -1, 1,  -1};
};

struct TwoLayers : nn::Module {
  TwoLayers()
      : table(child<nn::Embedding>("table", Rows::vocabulary, 6, nn::Init::normal(1))),
        head(child<nn::Linear>("head", 6, Rows::vocabulary, true, nn::Init::normal(1), nn::Init::normal(1))) {
    initialise(3, DType::f64);
  }
  Tensor logits(const Tensor& tokens) { return head.forward(tanh(table.forward(tokens))); }

  nn::Embedding& table;
  nn::Linear& head;
};

LossSum loss_of_rows(TwoLayers& model, int64_t begin, int64_t count) {
  const Rows data;
  const auto part = [&](const std::vector<int32_t>& all) {
    return std::vector<int32_t>(all.begin() + begin * Rows::columns, all.begin() + (begin + count) * Rows::columns);
  };
  const std::vector<int32_t> targets = part(data.targets);
  const Shape shape{count, Rows::columns};
  const auto counted = [](const std::vector<int32_t>& all) {
    return std::count_if(all.begin(), all.end(), [](int32_t target) { return target >= 0; });
  };
  return {cross_entropy(model.logits(Tensor::from(part(data.inputs), shape)), Tensor::from(targets, shape)), counted(targets),
          counted(data.targets)};
}

TrainTask task_of(TwoLayers& model) {
  return {model,
          [&](int64_t, int64_t part, int64_t parts, const nn::Call&) {
            return loss_of_rows(model, part * Rows::rows / parts, Rows::rows / parts);
          },
          [](const nn::Call&) { return Metrics{}; }, "rows"};
}

std::map<std::string, Values> values_of(nn::Module& model, bool gradients) {
  std::map<std::string, Values> all;
  for (const auto& [name, parameter] : parameters_of(model))
    all[name] = (gradients ? gradient(parameter->value) : parameter->value).values<double>();
  return all;
}

double largest_difference(const std::map<std::string, Values>& a, const std::map<std::string, Values>& b) {
  double largest = 0;
  for (const auto& [name, values] : a)
    for (size_t i = 0; i < values.size(); ++i) largest = std::max(largest, error_of(values[i], b.at(name)[i]));
  return largest;
}

}  // namespace

TEST_CASE("AdamW follows the paper number by number, and decays weights alone") {
  Kinds model;
  model.initialise(1, DType::f64);
  const nn::AdamWOptions options = adamw(0.8, 0.97, 1e-3, 0.3);
  nn::AdamW optimiser(model, options);
  std::map<std::string, std::vector<ScalarAdamW>> reference;
  for (const auto& [name, parameter] : parameters_of(model))
    for (const double theta : parameter->value.values<double>()) reference[name].push_back({.theta = theta});

  for (int t = 1; t <= 25; ++t) {
    const double rate = 0.05 / t, scale = t % 3 ? 1 : 0.25;
    give_gradients(model, static_cast<uint32_t>(t));
    optimiser.step(rate, scale);
    for (auto& [name, numbers] : reference) {
      if (name == "idle") continue;
      nn::Parameter& parameter = *parameters_of(model).at(name);
      const Values g = gradient(parameter.value).values<double>();
      for (size_t i = 0; i < numbers.size(); ++i)
        numbers[i].step(t, scale * g[i], rate, name == "weight" ? 0.3 : 0, options);
    }
  }
  CHECK(optimiser.steps() == 25);
  for (const auto& named : parameters_of(model)) {
    const std::string& name = named.first;
    const Values theta = named.second->value.values<double>();
    for (size_t i = 0; i < theta.size(); ++i) {
      INFO(name << '[' << i << ']');
      CHECK(std::abs(theta[i] - reference.at(name)[i].theta) <= 1e-14);
    }
  }
  for (const auto& [name, tensor] : optimiser.state()) {
    const std::vector<ScalarAdamW>& numbers = reference.at(name.substr(0, name.size() - 2));
    const Values values = tensor.values<double>();
    for (size_t i = 0; i < values.size(); ++i)
      CHECK(std::abs(values[i] - (name.ends_with(".m") ? numbers[i].m : numbers[i].v)) <= 1e-14);
  }
}

TEST_CASE("every optimiser ends where the one of PyTorch, or of its paper's code, does") {
  const nlohmann::json golden = golden_file("nn.json").at("optimisers");
  CHECK(golden.at("ends").size() == 5);
  for (const auto& item : golden.at("ends").items()) {
    const std::string name = item.key();
    const nlohmann::json& ends = item.value();
    GoldenParameters model;
    model.initialise(1, DType::f64);
    const auto parameters = parameters_of(model);
    for (const auto& [key, parameter] : parameters)
      parameter->value = requires_grad(golden_tensor(golden.at("start").at(key)));
    const std::unique_ptr<nn::Optimiser> optimiser = golden_options(name).make(model);
    for (const nlohmann::json& step : golden.at("gradients")) {
      for (const auto& [key, parameter] : parameters)   // halves twice as large: the scale is part of the step
        set_gradient(parameter->value, affine(golden_tensor(step.at(key)), 2, 0));
      optimiser->step(0.05, 0.5);
    }
    for (const auto& one : parameters) {
      INFO(name << ": " << one.first);
      const Values found = one.second->value.values<double>();
      const Values expected = golden_tensor(ends.at(one.first)).values<double>();
      for (size_t i = 0; i < found.size(); ++i)
        CHECK(std::abs(found[i] - expected[i]) <= 1e-13);
    }
  }
}

TEST_CASE("Muon turns a gradient into a nearly orthogonal step, whatever its size; AdamW takes head, biases and tables") {
  struct Matrices : nn::Module {
    Matrices() {
      parameter("tall", {12, 4}, nn::ParameterKind::weight, nn::Init::constant(0));
      parameter("by_head", {3, 4, 4}, nn::ParameterKind::weight, nn::Init::constant(0));
      parameter("table", {6, 2}, nn::ParameterKind::embedding, nn::Init::constant(0));
    }
  } model;
  model.initialise(1, DType::f64);
  nn::MuonOptions options;
  nn::Muon optimiser(model, options);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : optimiser.state()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"tall.m", "by_head.m", "table.m", "table.v"});
  for (const auto& [name, parameter] : parameters_of(model))
    set_gradient(parameter->value, affine(random_values(parameter->shape, 1, name), 1e3, 0));
  optimiser.step(1);
  const auto check_nearly_orthogonal = [](const Tensor& X, double scale) {   // columns of (…,M,N), M ≥ N
    const Values gram = affine(matmul(transpose(X), X), 1 / (scale * scale), 0).values<double>();
    for (size_t i = 0; i < gram.size(); ++i) {
      const size_t n = static_cast<size_t>(X.size(-1)), row = i / n % n, column = i % n;
      CHECK(std::abs(gram[i] - (row == column ? 0.9 : 0)) < 0.6);
    }
  };
  const auto parameters = parameters_of(model);
  check_nearly_orthogonal(parameters.at("tall")->value.detach(), std::sqrt(3.0));
  check_nearly_orthogonal(parameters.at("by_head")->value.detach(), 1);
  for (const double value : parameters.at("table")->value.values<double>())
    CHECK(std::abs(std::abs(value) - 0.015) < 1e-9);   // the first step of AdamW: ± its rate
}

TEST_CASE("large gradients: the norm and the clipped step are right, and what overflows is not passed over in silence") {
  struct One : nn::Module {
    One() { parameter("w", {2, 2}, nn::ParameterKind::weight, nn::Init::constant(0)); }
  };
  const auto stepped = [](const std::string& name, DType type, double g, double limit) {
    One model;
    model.initialise(1, type);
    nn::OptimiserOptions options;
    options.name = name;
    const std::unique_ptr<nn::Optimiser> optimiser = options.make(model);
    const Tensor w = parameters_of(model).at("w")->value;
    set_gradient(w, Tensor::full({2, 2}, g, type));
    const nn::Optimiser::Clip clip = optimiser->clip(limit, 1);
    optimiser->step(0.1, clip.scale);
    return std::tuple{clip.norm.item(), max(w).item(), min(w).item()};
  };
  for (const std::string name : {"adamw", "sgd", "lion", "muon"}) {
    CAPTURE(name);
    const auto [norm, high, low] = stepped(name, DType::f32, 0x1p100, 1);   // clipped: as any other gradient
    CHECK(norm == 0x1p101);
    CHECK(high == std::get<1>(stepped(name, DType::f32, 1, 1)));
    CHECK(high < 0);
    CHECK(high == low);
    const auto [infinite, nan_high, nan_low] = stepped(name, DType::f64, 0x1p600, 1);   // the sum of squares overflows
    CHECK(std::isinf(infinite));
    CHECK((std::isnan(nan_high) && std::isnan(nan_low)));
  }
  CHECK(std::isnan(std::get<1>(stepped("adamw", DType::f32, 0x1p100, 0))));   // not clipped: g² overflows
  const double of_large = std::get<1>(stepped("muon", DType::f32, 0x1p100, 0));
  CHECK(std::abs(of_large / std::get<1>(stepped("muon", DType::f32, 1, 0)) - 1) < 1e-6);
}

TEST_CASE("averaged weights are the geometric mean of the paths, and are exchanged bit by bit") {
  Kinds model;
  model.initialise(1, DType::f64);
  nn::Ema ema(model, 0.75);
  std::map<std::string, Values> expected = values_of(model, false);
  for (uint32_t step = 0; step < 5; ++step) {
    for (const auto& [name, parameter] : parameters_of(model)) {
      parameter->value = requires_grad(random_values(parameter->shape, step, name));
      const Values theta = parameter->value.values<double>();
      for (size_t i = 0; i < theta.size(); ++i) expected[name][i] = 0.75 * expected[name][i] + 0.25 * theta[i];
    }
    ema.update();
  }
  const auto weights = values_of(model, false);
  ema.exchange();
  CHECK(largest_difference(values_of(model, false), expected) <= 1e-15);
  ema.exchange();
  CHECK(values_of(model, false) == weights);
  for (const auto& [name, tensor] : ema.state()) CHECK(tensor.shape() == parameters_of(model).at(name)->shape);

  Kinds bare;
  CHECK(message_of([&] { nn::Ema(bare, 0.5); }) == "ema: weight has no value; hint: initialise the model first");
  CHECK(message_of([&] { nn::Ema(model, 1); }) == "ema: the decay must be in [0, 1), got 1");
}

TEST_CASE("the decay shrinks weights by 1 − rate·decay where the gradient is 0, and nothing else") {
  Kinds model;
  model.initialise(1, DType::f64);
  nn::AdamW optimiser(model, adamw(0.9, 0.95, 1e-8, 0.5));
  const auto before = values_of(model, false);
  for (const auto& [name, parameter] : parameters_of(model))
    if (name != "idle") set_gradient(parameter->value, Tensor::zeros(parameter->shape, DType::f64));
  optimiser.step(0.25);
  for (const auto& [name, values] : values_of(model, false))
    for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == (name == "weight" ? 0.875 : 1) * before.at(name)[i]);
}

TEST_CASE("an optimiser that does not exist is refused in code as in an experiment") {
  TwoLayers model;
  model.initialise(1, DType::f64);
  nn::OptimiserOptions options;
  options.name = "adam";
  CHECK(message_of([&] { options.make(model); }) == "adam: name 'adam' is none of: adamw, sgd, lion, muon");
}

TEST_CASE("an optimiser takes parameters of one element type") {
  Kinds model;
  model.initialise(1, DType::f64);
  nn::Parameter& last = *parameters_of(model).at("idle");
  last.value = requires_grad(last.value.detach().to(DType::f32));
  CHECK(contains_text(message_of([&] { nn::AdamW(model, {}); }), "adamw: element types differ: f64["));
}

TEST_CASE("the gradient's norm is the root of the sum of all squares") {
  Kinds model;
  model.initialise(1, DType::f64);
  nn::AdamW optimiser(model, {});
  CHECK(optimiser.gradient_norm() == 0);
  give_gradients(model, 7);
  double squares = 0;
  for (const auto& [name, parameter] : parameters_of(model)) {
    if (name == "idle") continue;
    for (const double g : gradient(parameter->value).values<double>()) squares += g * g;
  }
  CHECK(std::abs(optimiser.gradient_norm() - std::sqrt(squares)) <= 1e-14 * std::sqrt(squares));
  optimiser.clear_gradients();
  CHECK(optimiser.gradient_norm() == 0);
}

TEST_CASE("the mean gradient is clipped by min(1, c / norm)") {
  constexpr int64_t count = 5;
  for (const double share : {0.3, 0.999, 1.001, 4.0, 0.0}) {  // clip norm over the gradient's norm; 0: no limit
    Kinds model;
    model.initialise(1, DType::f64);
    nn::AdamW optimiser(model, adamw(0.5, 0.95, 1e-8, 0));
    give_gradients(model, 7);
    const double norm = optimiser.gradient_norm() / count, clip = share * norm;
    CHECK(apply_gradients(optimiser, 0.1, clip, count) == norm);
    const double factor = clip > 0 ? std::min(1.0, clip / norm) : 1;
    const auto gradients = parameters_of(model);
    for (const auto& [name, tensor] : optimiser.state()) {
      if (!name.ends_with(".m") || name == "idle.m") continue;
      const Values m = tensor.values<double>();  // (1 − β₁) g of the first step
      const Values g = gradient(gradients.at(name.substr(0, name.size() - 2))->value).values<double>();
      for (size_t i = 0; i < m.size(); ++i) CHECK(m[i] == 0.5 * (factor / count * g[i]));
    }
  }
}

TEST_CASE("a gradient that is not finite is refused before any weight changes") {
  Kinds model;
  model.initialise(1, DType::f64);
  nn::AdamW optimiser(model, {});
  optimiser.set_steps(41);
  give_gradients(model, 7);
  set_gradient(parameters_of(model).at("bias")->value, Tensor::full({4}, HUGE_VAL, DType::f64));
  const auto before = values_of(model, false);
  CHECK(message_of([&] { apply_gradients(optimiser, 0.1, 1, 5); }) ==
        "train: the norm of the gradient of step 42 is inf; hint: lower the learning rate or the clip norm");
  CHECK(values_of(model, false) == before);
}

TEST_CASE("a batch in parts gives the gradients and the step of the whole batch, however many targets each part counts") {
  TwoLayers whole;
  nn::AdamW optimiser(whole, {});
  TrainTask task = task_of(whole);
  const StepLoss loss = accumulate_gradients(task, optimiser, 0, 1, 1);
  CHECK(loss.count == 15);
  const auto gradients = values_of(whole, true);
  const double norm = apply_gradients(optimiser, 0.01, 0.1, loss.count);
  const auto weights = values_of(whole, false);
  for (const int64_t parts : {2, 4}) {
    TwoLayers model;
    nn::AdamW other(model, {});
    TrainTask cut = task_of(model);
    const StepLoss sum = accumulate_gradients(cut, other, 0, parts, 1);
    CHECK(sum.count == loss.count);
    CHECK(std::abs(sum.sum.item() - loss.sum.item()) <= 1e-12);
    CHECK(largest_difference(values_of(model, true), gradients) <= 1e-12);
    CHECK(std::abs(apply_gradients(other, 0.01, 0.1, sum.count) - norm) <= 1e-12);
    CHECK(largest_difference(values_of(model, false), weights) <= 1e-12);
  }
}

TEST_CASE("gradients of an earlier step do not stay") {
  TwoLayers model;
  nn::AdamW optimiser(model, {});
  TrainTask task = task_of(model);
  accumulate_gradients(task, optimiser, 0, 2, 1);
  const auto first = values_of(model, true);
  accumulate_gradients(task, optimiser, 1, 2, 1);
  CHECK(values_of(model, true) == first);
}

TEST_CASE("every part of every step has random numbers of its own") {
  TwoLayers model;
  nn::AdamW optimiser(model, {});
  TrainTask task = task_of(model);
  std::set<uint32_t> draws;
  task.loss = [&](int64_t, int64_t part, int64_t, const nn::Call& call) {
    CHECK(call.training);
    CHECK(call.seed == 11);
    draws.insert(call.step);
    return loss_of_rows(model, part, 1);
  };
  for (int64_t step = 0; step < 3; ++step) accumulate_gradients(task, optimiser, step, 4, 11);
  CHECK(draws.size() == 12);
}

}  // namespace tapir

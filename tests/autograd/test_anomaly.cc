// Anomaly mode: a NaN or an infinity is attributed to the op that made it, forward and backward.
#include "autograd/anomaly.h"

#include <doctest/doctest.h>

#include "autograd/hooks.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/layer_norm.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

namespace {

using Values = std::vector<double>;
Tensor leaf(const Values& values, const Shape& shape) { return requires_grad(Tensor::from(values, shape)); }
Tensor leaf(const Values& values) { return requires_grad(Tensor::from(values)); }

std::string anomaly_of(const std::function<void()>& call) {
  const AnomalyMode watching;
  try {
    call();
  } catch (const Anomaly& anomaly) {
    return anomaly.what();
  }
  return "nothing";
}

constexpr double huge = 1e200;

}  // namespace

TEST_CASE("anomaly: the op that makes the first NaN or infinity is named, with what it was given") {
  CHECK(anomaly_of([] {
    const Scope block("block.3"), mlp("mlp");
    exp(neg(log(leaf({1, 2, 4, -1, 0, 8}, {2, 3}))));
  }) == "log: forward gives f64[2,3] from 0 to 2.07944154, with 1 NaN and 1 infinite, the first at index 3; inputs: "
        "f64[2,3] from -1 to 8 (in block.3.mlp)");
  CHECK(anomaly_of([] {
    const Tensor x = leaf({4, 0});
    Tensor loss;
    {
      const Scope block("block.3");
      loss = sum(sqrt(x));
    }
    backward(loss);
  }) == "sqrt: backward gives f64[2] from 0.25 to 0.25, with 0 NaN and 1 infinite, the first at index 1 for input 0; the "
        "gradient of its output: f64[2] from 1 to 1 (in block.3)");
}

TEST_CASE("anomaly: planted in one op, it is found there") {
  const Tensor x = leaf({1, 2}), bad = leaf({huge, 2}), tiny = leaf({1e-200, 1}), zero = leaf({0, 1}),
               minus = leaf({-1, 1}), matrix = leaf({huge, 0, 0, 1}, {2, 2}), small = leaf({1 / huge, 0, 0, 1}, {2, 2}),
               most = leaf({1.7e308, 1.7e308});
  const Tensor least = Tensor::full({2}, 1e-200, DType::f64);   // a constant
  const auto overflow = [](const Tensor& y) { return affine(y, 1e150, 0); };   // gradients come back 1e150 times larger
  struct Plant {
    std::string op, direction;
    std::function<Tensor()> f;
  };
  const std::vector<Plant> plants = {
      {"log", "forward", [&] { return exp(log(minus)); }},
      {"sqrt", "forward", [&] { return square(sqrt(minus)); }},
      {"rsqrt", "forward", [&] { return mul(rsqrt(zero), x); }},
      {"reciprocal", "forward", [&] { return tanh(reciprocal(zero)); }},
      {"div", "forward", [&] { return div(x, mul(zero, x)); }},
      {"exp", "forward", [&] { return reciprocal(exp(mul(bad, x))); }},
      {"expm1", "forward", [&] { return expm1(bad); }},
      {"square", "forward", [&] { return rsqrt(square(bad)); }},
      {"mul", "forward", [&] { return tanh(mul(bad, bad)); }},
      {"affine", "forward", [&] { return affine(bad, huge, 0); }},
      {"log1p", "forward", [&] { return sigmoid(log1p(minus)); }},
      {"matmul", "forward", [&] { return matmul(matrix, matrix); }},
      {"linear", "forward", [&] { return tanh(linear(matrix, matrix, x)); }},
      {"layer_norm", "forward", [&] { return layer_norm(x, most, most); }},
      {"sqrt", "backward", [&] { return add(sqrt(zero), exp(x)); }},
      {"rsqrt", "backward", [&] { return rsqrt(affine(tiny, 1e-90, 0)); }},
      {"reciprocal", "backward", [&] { return reciprocal(tiny); }},
      {"div", "backward", [&] { return overflow(mul(least, div(x, tiny))); }},
      {"log", "backward", [&] { return overflow(log(tiny)); }},
      {"mul", "backward", [&] { return overflow(mul(bad, tiny)); }},
      {"matmul", "backward", [&] { return overflow(matmul(matrix, small)); }},
      {"affine", "backward", [&] { return overflow(overflow(overflow(affine(x, 0, 0)))); }},
  };
  for (const Plant& plant : plants) {
    CAPTURE(plant.op);
    CAPTURE(plant.direction);
    const std::string message = anomaly_of([&] {
      Tensor y;
      {
        const Scope scope("planted");
        y = plant.f();
      }
      backward(sum(y));
    });
    CAPTURE(message);
    CHECK(message.find(text(plant.op, ": ", plant.direction, " gives ")) == 0);
    CHECK(contains_text(message, "(in planted)"));
  }
}

TEST_CASE("anomaly: planted in any parameter of a model, its module is named; in a gradient too, and under recompute") {
  for (const std::string& name : causal_mechanisms())
    for (const bool recompute : {false, true}) {
      nn::TransformerOptions options = tiny_options();
      options.recompute = recompute;
      const TinyModel tiny(name, options);
      const std::vector<Tensor> values = tiny.values();
      size_t i = 0;
      tiny.model->each_parameter([&](const std::string& full, nn::Parameter& parameter) {
        CAPTURE(full);
        std::string module = full.substr(0, full.rfind('.'));
        const size_t score = module.find(".score.");   // a network whose parameters its parent uses
        if (score != std::string::npos) module = module.substr(0, score + 6);
        const Tensor broken = Tensor::full(values[i].shape(), std::nan(""), DType::f64);
        parameter.value = requires_grad(broken);
        const std::string forward = anomaly_of([&] {   // in training, where all of them are used
          nn::Effects effects;
          const nn::Call call{.training = true, .mask = {}, .recorder = {}, .effects = &effects};
          backward(effects.added_to(tiny.loss(call)));
        });
        CAPTURE(forward);
        CHECK(contains_text(forward, ": forward gives "));
        if (full == "positions.weight") CHECK(contains_text(forward, "slice: "));   // the model itself uses it
        else CHECK(contains_text(forward, "(in " + module));
        parameter.value = values[i++];
      });
      const nn::ForwardHandle plant = tiny.model->at("blocks.1.mlp.up").on_forward([](const auto&, const Tensor& y) {
        if (!y.node) return Tensor();
        static GradientHandle handle;
        handle = on_gradient(y, [](const Tensor& g) { return mul(g, Tensor::full({}, std::nan(""), g.dtype())); });
        return Tensor();
      });
      const Tensor loss = tiny.loss();
      const std::string backwards = anomaly_of([&] { backward(loss); });
      CAPTURE(backwards);
      CHECK(contains_text(backwards, recompute ? "linear: backward is given " : "mul: forward gives "));
      CHECK(contains_text(backwards, "(in blocks.1.mlp.up)"));
    }
}

TEST_CASE("anomaly: sums of finite gradients, cotangents, and what is inside of another backward") {
  const double most = std::numeric_limits<double>::max();
  const Tensor x = leaf({1, 2}), large = Tensor::full({2}, most, DType::f64), y = affine(x, 1, 0);
  CHECK(anomaly_of([&] { grad({y, y}, {x}, {large, large}); }) ==
        "affine: backward is given a gradient that is not finite: f64[2], with 0 NaN and 2 infinite, the first at index 0");
  const Tensor nan = Tensor::full({2}, NAN, DType::f64);
  CHECK(contains_text(anomaly_of([&] { grad({mul(x, x)}, {x}, {nan}); }), "mul: backward is given"));
  const Tensor row = leaf({1, 1 + 1e-14}), one = leaf({1, 1});
  const std::string inside = anomaly_of([&] {
    grad({layer_norm(row, one, one, 1e-300)}, {row}, {Tensor::full({2}, 1e300, DType::f64)}, {.create_graph = true});
  });
  CAPTURE(inside);
  CHECK(contains_text(inside, ", inside the backward of 'layer_norm'"));
}

TEST_CASE("anomaly: nobody watches outside of its life, on integers, or when all is well") {
  { const AnomalyMode watching; }
  CHECK(std::isnan(log(leaf({-1})).values<double>()[0]));
  const TinyModel tiny("score_mlp");
  CHECK(anomaly_of([&] { backward(tiny.loss()); }) == "nothing");
  CHECK(anomaly_of([] { identity(Tensor::full({2}, 3, DType::i32)); }) == "nothing");
  CHECK(anomaly_of([] { log(Tensor::zeros({0})); }) == "nothing");
}

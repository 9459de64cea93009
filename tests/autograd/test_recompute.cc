// Recompute: the same bits with less memory.
#include "autograd/recompute.h"

#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "autograd/products.h"
#include "nn/optim/optimiser.h"
#include "tensor/arena.h"
#include "tensor/in_place.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

namespace {

using Values = std::vector<double>;
Tensor leaf(const Values& values) { return requires_grad(Tensor::from(values)); }

// Weights after a few steps of AdamW with dropout, and the most memory that a step took.
struct Trained {
  std::vector<Values> weights;
  int64_t peak = 0;
};

Trained train(const std::string& mechanism, nn::TransformerOptions options, bool recompute) {
  options.layers = 6;
  options.dropout = 0.2;
  options.recompute = recompute;
  const TinyModel tiny(mechanism, options);
  nn::AdamW optimiser(*tiny.model, {});
  Trained result;
  for (uint32_t step = 0; step < 3; ++step) {
    optimiser.clear_gradients();
    nn::Effects effects;
    const nn::Call call{.training = true, .seed = 5, .step = step, .mask = {}, .recorder = {}, .effects = &effects};
    Arena::of(default_device()).reset_peak();
    const int64_t before = Arena::of(default_device()).statistics().in_use;
    const Tensor tokens = concat(std::vector<Tensor>(16, tiny.tokens()), 0),
                 targets = concat(std::vector<Tensor>(16, tiny.targets()), 0);
    backward(effects.added_to(cross_entropy(tiny.model->forward(tokens, call), targets)));
    result.peak = Arena::of(default_device()).statistics().peak - before;
    optimiser.step(0.01);
    effects.commit();
  }
  for (const Tensor& value : tiny.values()) result.weights.push_back(value.values<double>());
  return result;
}

}  // namespace

TEST_CASE("recompute: training takes less memory and gives the same bits, dropout included, with every mechanism") {
  for (const std::string& name : causal_mechanisms())
    for (const nn::TransformerOptions& options : {tiny_options(), with_other_parts(tiny_options())}) {
      INFO(name, options.tied_head ? ", of other parts" : "");
      const Trained plain = train(name, options, false), recomputed = train(name, options, true);
      CHECK(recomputed.weights == plain.weights);
      CAPTURE(plain.peak);
      CAPTURE(recomputed.peak);
      CHECK(recomputed.peak < plain.peak / 2);
    }
}

TEST_CASE("recompute: keeps nothing but the result until backward") {
  const Tensor x = requires_grad(Tensor::full({1000}, 0.1, DType::f64));
  const auto f = [](const std::vector<Tensor>& in) { return sum(exp(tanh(exp(in[0])))); };
  const int64_t before = Arena::of(default_device()).statistics().in_use;
  const Tensor y = recompute(f, {x});
  CHECK(Arena::of(default_device()).statistics().in_use - before < 8000);
  const double plain = grad({f({x})}, {x})[0].values<double>()[0];
  CHECK(grad({y}, {x})[0].values<double>() == Values(1000, plain));
  CHECK(message_of([&] { backward(y); }) ==
        "backward: the graph behind 'recompute' was freed by an earlier walk; hint: pass retain to the first walk");
}

TEST_CASE("recompute: what the function holds gets its gradient, leaf or not") {
  const Tensor x = leaf({2, 3}), w = leaf({5, 7}), held = mul(w, w);
  const Tensor y = recompute([&](const std::vector<Tensor>& in) { return mul(mul(in[0], held), w); }, {x});   // x w³
  backward(sum(y));
  CHECK(gradient(x).values<double>() == Values{125, 343});
  CHECK(gradient(w).values<double>() == Values{2 * 3 * 25, 3 * 3 * 49});
}

TEST_CASE("recompute: an input may be held too, a constant, used twice, or not at all") {
  const Tensor x = leaf({2, 3}), unused = leaf({1, 1}), c = Tensor::from(Values{10, 100});
  const auto f = [&](const std::vector<Tensor>& in) { return mul(mul(in[0], in[1]), mul(x, in[2])); };   // x³ c
  const Tensor y = recompute(f, {x, x, c, unused});
  const std::vector<Tensor> g = grad({sum(y)}, {x, unused});
  CHECK(g[0].values<double>() == Values{3 * 4 * 10, 3 * 9 * 100});
  CHECK(g[1].values<double>() == Values{0, 0});
  CHECK(recompute([](const std::vector<Tensor>& in) { return exp(in[0]); }, {c}).node == nullptr);
  const Tensor same = recompute([](const std::vector<Tensor>& in) { return in[0]; }, {x});
  CHECK(grad({same}, {x}, {c})[0].values<double>() == Values{10, 100});
  const NoGrad guard;
  CHECK(recompute(f, {x, x, c, unused}).node == nullptr);
}

TEST_CASE("recompute: derivatives of derivatives, and recompute inside recompute") {
  const Tensor w = leaf({0.7, -0.4});
  const Function inner = [&](const std::vector<Tensor>& in) { return tanh(mul(in[0], w)); };
  const Function nested = [&](const std::vector<Tensor>& in) { return sum(square(recompute(inner, {sin(in[0])}))); };
  const Function plain = [&](const std::vector<Tensor>& in) { return sum(square(inner({sin(in[0])}))); };
  const Function outer = [&](const std::vector<Tensor>& in) { return recompute(nested, in); };
  const std::vector<Tensor> x = {Tensor::from(Values{0.3, 1.1})}, v = {Tensor::from(Values{1, -2})};
  CHECK(hvp(outer, x, v)[0].values<double>() == hvp(plain, x, v)[0].values<double>());
  backward(outer({x[0]}));
  const Values through = gradient(w).values<double>();
  set_gradient(w, Tensor());
  backward(plain({x[0]}));
  CHECK(through == gradient(w).values<double>());
}

TEST_CASE("recompute: a function that is not pure, and an input that was written, are errors") {
  const Tensor x = leaf({2, 3});
  int calls = 0;
  const Tensor y = recompute([&](const std::vector<Tensor>& in) { return slice(exp(in[0]), 0, 0, ++calls); }, {x});
  CHECK(message_of([&] { grad({y}, {x}, {Tensor::from(Values{1})}); }) ==
        "recompute: the function gave f64[1] first and f64[2] when called again; hint: it must be pure");
  Tensor c = Tensor::from(Values{1, 2});
  const Tensor z = recompute([](const std::vector<Tensor>& in) { return mul(in[0], in[1]); }, {x, c});
  fill_(c, 0);
  CHECK(contains_text(message_of([&] { backward(sum(z)); }), "was written in place"));
  CHECK(message_of([] { recompute([](const std::vector<Tensor>& in) { return in[0]; }, {Tensor()}); }) ==
        "recompute: input 0 has no value");
}

TEST_CASE("recompute: what a function holds has a gradient where its result depends on it, and no zeros elsewhere") {
  const Tensor x = requires_grad(Tensor::full({3}, 2, DType::f64)), w = requires_grad(Tensor::full({3}, 5, DType::f64)),
               constant = requires_grad(Tensor::full({3}, 7, DType::f64));
  backward(sum(recompute(
      [&](const std::vector<Tensor>& in) { return add(mul(in[0], w), mul(in[0], constant).detach()); }, {x})));
  CHECK(gradient(w).values<double>() == Values(3, 2.0));
  CHECK(gradient(x).values<double>() == Values(3, 5.0));
  CHECK(!gradient(constant).defined());
}

TEST_CASE("recompute: a recorder hears every block once") {
  nn::TransformerOptions options = tiny_options();
  options.recompute = true;
  const TinyModel tiny("dot_product", options);
  int heard = 0;
  nn::Call call;
  call.recorder = [&](const std::string&, const std::string&, const Tensor&) { ++heard; };
  backward(tiny.loss(call));
  CHECK(heard == 2);
}

// The graph and the reverse walk: what is kept, freed, accumulated, differentiated again, and refused.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "attention/kernels/pair_hidden.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/graphviz.h"
#include "autograd/hooks.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/layer_norm.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "autograd/products.h"
#include "autograd/recompute.h"
#include "tensor/arena.h"
#include "tensor/in_place.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

Tensor leaf(const std::vector<double>& values) { return requires_grad(Tensor::from(values)); }
Tensor number(double value) { return requires_grad(Tensor::full({}, value, DType::f64)); }
std::vector<double> values(const Tensor& x) { return x.values<double>(); }
using Values = std::vector<double>;

}  // namespace

TEST_CASE("autograd: a chain of a million nodes is built, walked and destroyed") {
  constexpr int length = 1000000;
  const int64_t before = Arena::of(Device::cpu).statistics().in_use;
  {
    const Tensor x = requires_grad(Tensor::full({}, 3, DType::f64, Device::cpu));
    Tensor y = x;
    for (int i = 0; i < length; ++i) y = affine(y, i % 2 ? 0.5 : 2.0, 1);
    CHECK(grad({y}, {x}, {}, {.retain = true})[0].item() == 1);
    y = Tensor();   // destroys the chain without a walk having freed it
  }
  {
    const Tensor x = requires_grad(Tensor::full({}, 3, DType::f64, Device::cpu));
    Tensor y = x;
    for (int i = 0; i < length; ++i) y = mul(y, x);
    backward(y);
    CHECK(std::isinf(gradient(x).item()));
  }
  CHECK(Arena::of(Device::cpu).statistics().in_use == before);
}

TEST_CASE("autograd: a walk frees the graph, and a second one says so; retain keeps it") {
  const Tensor x = leaf({1, 2});
  const Tensor loss = sum(mul(x, x));
  backward(loss, true);
  CHECK(values(gradient(x)) == Values{2, 4});
  backward(loss);
  CHECK(values(gradient(x)) == Values{4, 8});
  CHECK(message_of([&] { backward(loss); }) ==
        "backward: the graph behind 'sum' was freed by an earlier walk; hint: pass retain to the first walk");
}

TEST_CASE("autograd: what is saved is freed with the walk") {
  const int64_t before = Arena::of(default_device()).statistics().in_use;
  const Tensor x = requires_grad(Tensor::zeros({1000}, DType::f64));
  const int64_t with_leaf = Arena::of(default_device()).statistics().in_use;
  const Tensor loss = sum(exp(exp(x)));
  CHECK(Arena::of(default_device()).statistics().in_use > with_leaf + 8000);   // the input of the second exp
  backward(loss);
  CHECK(Arena::of(default_device()).statistics().in_use < before + 3 * 9000);   // x, its gradient, the loss
}

TEST_CASE("autograd: gradients accumulate in leaves, and can be set and cleared") {
  const Tensor x = leaf({1, 2}), y = leaf({3, 4});
  CHECK(!gradient(x).defined());
  backward(sum(mul(x, y)));
  backward(sum(x));
  CHECK(values(gradient(x)) == Values{4, 5});
  CHECK(values(gradient(y)) == Values{1, 2});
  set_gradient(x, Tensor());
  CHECK(!gradient(x).defined());
  backward(sum(x));
  CHECK(values(gradient(x)) == Values{1, 1});
  CHECK(message_of([&] { gradient(mul(x, y)); }) ==
        "gradient: the tensor is no leaf; hint: make it one with requires_grad");
  CHECK(message_of([&] { set_gradient(Tensor::zeros({2}), Tensor()); }).find("set_gradient: the tensor is no leaf") == 0);
}

TEST_CASE("autograd: the gradients of two leaves never share memory") {
  const Tensor x = leaf({1, 2}), y = leaf({3, 4});
  backward(sum(add(x, y)));
  Tensor dx = gradient(x);
  scale_(dx, 10);
  CHECK(values(gradient(y)) == Values{1, 1});
}

TEST_CASE("autograd: a tensor used several times gets the sum, whatever the order") {
  const Tensor x = leaf({2, 3});
  const Tensor a = mul(x, x), b = mul(a, x);
  backward(sum(add(add(b, a), add(x, a))));
  CHECK(values(gradient(x)) == Values{3 * 4 + 4 * 2 + 1, 3 * 9 + 4 * 3 + 1});
}

TEST_CASE("autograd: nodes are walked once each, in descending creation number") {
  const Tensor x = leaf({0.3, -0.7, 1.1});
  const auto run = [&] {
    const Tensor a = tanh(x), b = sigmoid(x);
    return values(grad({sum(mul(add(a, b), mul(a, add(b, x))))}, {x})[0]);
  };
  const Values first = run();
  for (int i = 0; i < 5; ++i) CHECK(run() == first);
  const Tensor y = mul(x, x), z = mul(y, x);
  CHECK(z.node->number > y.node->number);
  CHECK(y.node->number > x.node->number);
}

TEST_CASE("autograd: grad with respect to intermediate tensors, leaves untouched") {
  const Tensor x = leaf({2});
  const Tensor a = mul(x, x), y = mul(a, a);
  const std::vector<Tensor> g = grad({y}, {a, x, y});
  CHECK(values(g[0]) == Values{8});    // dy/da = 2a
  CHECK(values(g[1]) == Values{32});   // dy/dx = 4x³
  CHECK(values(g[2]) == Values{1});
  CHECK(!gradient(x).defined());
  const Tensor other = leaf({1, 1});
  CHECK(values(grad({mul(x, x)}, {other})[0]) == Values{0, 0});
}

TEST_CASE("autograd: several outputs with cotangents") {
  const Tensor x = leaf({1, 2});
  const Tensor a = mul(x, x), b = affine(a, 3, 0);
  const std::vector<Tensor> g = grad({a, b}, {x}, {Tensor::from(Values{1, 0}), Tensor::from(Values{10, 100})});
  CHECK(values(g[0]) == Values{2 + 60, 1200});
  CHECK(message_of([&] { grad({a}, {x}); }) == "grad: an output of shape [2] needs a cotangent");
  CHECK(message_of([&] { grad({a, b}, {x}, {Tensor::from(Values{1, 0})}); }) == "grad: 2 outputs, but 1 cotangents");
  CHECK(message_of([&] { grad({mul(x, x)}, {x}, {Tensor::from(Values{1})}); }) ==
        "grad: cotangent f64[1] does not fit output f64[2]");
}

TEST_CASE("autograd: grad visits only what leads to its inputs") {
  const Tensor x = leaf({1, 2}), other = leaf({3, 4});
  const Tensor a = mul(x, x), b = exp(other), y = mul(a, b);
  CHECK(values(grad({y}, {a}, {x})[0]) == Values{std::exp(3.0), 2 * std::exp(4.0)});
  CHECK(!a.node->released);   // behind the input
  CHECK(!b.node->released);   // beside it
  CHECK(y.node->released);
  CHECK(values(grad({b, a}, {other, a}, {x, x})[1]) == Values{1, 2});
  CHECK(message_of([&] { grad({y}, {x}, {x}); }) ==
        "backward: the graph behind 'mul' was freed by an earlier walk; hint: pass retain to the first walk");
}

TEST_CASE("autograd: derivatives of x³ up to the third") {
  const Tensor x = number(2);
  const Tensor y = mul(mul(x, x), x);
  const Tensor first = grad({y}, {x}, {}, {.create_graph = true})[0];
  const Tensor second = grad({first}, {x}, {}, {.create_graph = true})[0];
  const Tensor third = grad({second}, {x}, {}, {.create_graph = true})[0];
  CHECK(first.item() == 12);
  CHECK(second.item() == 12);
  CHECK(third.item() == 6);
}

TEST_CASE("autograd: the second derivative of a fused op whose inputs depend on each other is exact") {
  // y = Σ cos(i) layer_norm(x, w = x², b = sin x): w and b are made from x, and x reaches y by three ways.
  const Values at = {0.5, -1.2, 0.8, 1.9};
  const auto gradient_at = [](const Tensor& x, bool create_graph) {
    const Tensor weights = Tensor::from(Values{1, 0.5, -0.4, -1});
    const Tensor y = sum(mul(weights, layer_norm(x, mul(x, x), sin(x), 0.1)));
    return grad({y}, {x}, {}, {.create_graph = create_graph})[0];
  };
  const Tensor x = leaf(at), g = gradient_at(x, true);
  CHECK(g.node != nullptr);
  for (int k = 0; k < 4; ++k) {
    Values unit(4, 0);
    unit[k] = 1;
    const Values row = values(grad({g}, {x}, {Tensor::from(unit)}, {.retain = true})[0]);
    for (int i = 0; i < 4; ++i) {
      const double h = 1e-4;
      Values up = at, down = at;
      up[i] += h;
      down[i] -= h;
      const double numeric =
          (values(gradient_at(leaf(up), false))[k] - values(gradient_at(leaf(down), false))[k]) / (2 * h);
      CHECK(row[i] == doctest::Approx(numeric).epsilon(1e-6));
    }
  }
}

TEST_CASE("autograd: what a formula cannot give is refused with a clear error") {
  const Tensor x = number(0.5);
  const Tensor first = grad({tanh(x)}, {x}, {}, {.create_graph = true})[0];
  const Tensor second = grad({first}, {x}, {}, {.create_graph = true})[0];
  CHECK(second.item() == doctest::Approx(-2 * std::tanh(0.5) * (1 - std::tanh(0.5) * std::tanh(0.5))));
  CHECK(message_of([&] { grad({second}, {x}); }) == "tanh: derivatives beyond the second are not available");
}

TEST_CASE("autograd: a tensor written in place after it was saved is an error, not a wrong gradient") {
  const Tensor x = leaf({1, 2}), y = leaf({3, 4});
  Tensor factor = Tensor::from(Values{5, 6});
  const Tensor loss = sum(mul(x, factor));
  scale_(factor, 2);
  CHECK(message_of([&] { backward(loss); }) ==
        "backward: a tensor saved for backward, of shape [2], was written in place; hint: write into a copy(), or "
        "after "
        "backward");
  Tensor dividend = Tensor::from(Values{1, 2});
  const Tensor quotient = div(dividend, y);
  fill_(dividend, 0);   // not saved: div keeps its divisor and its own output
  backward(sum(quotient));
  CHECK(values(gradient(y))[0] == doctest::Approx(-1.0 / 9));
}

TEST_CASE("autograd: without gradients no node is made") {
  const Tensor x = leaf({1, 2});
  {
    const NoGrad guard;
    CHECK(!grad_enabled());
    CHECK(mul(x, x).node == nullptr);
    {
      const GradMode on(true);
      CHECK(mul(x, x).node != nullptr);
    }
    CHECK(!grad_enabled());
  }
  CHECK(grad_enabled());
  const Tensor c = Tensor::from(Values{1, 2});
  CHECK(mul(c, c).node == nullptr);
  CHECK(x.detach().node == nullptr);
  CHECK(x.detach().shares_storage(x));
  backward(sum(mul(x, mul(x, x).detach())));
  CHECK(values(gradient(x)) == Values{1, 4});
  CHECK(grad({mul(x, x)}, {x}, {c})[0].node == nullptr);
}

TEST_CASE("autograd: errors name the module in forward and in backward") {
  const Tensor x = leaf({1, 2});
  Tensor factor = Tensor::from(Values{5, 6}), loss;
  {
    const Scope block("block.3"), attention("attention");
    loss = sum(mul(x, factor));
    CHECK(message_of([&] { add(x, Tensor::zeros({3}, DType::f64)); }) ==
          "add: shapes do not broadcast: [2] and [3] (in block.3.attention)");
  }
  fill_(factor, 0);
  CHECK(message_of([&] { backward(loss); }).find("(in block.3.attention)") != std::string::npos);
  CHECK(Scope::path().empty());
}

TEST_CASE("autograd: what has no gradient is refused") {
  CHECK(message_of([] { requires_grad(Tensor::zeros({2}, DType::i32)); }) == "requires_grad: needs f32 or f64, not i32");
  CHECK(message_of([] { requires_grad(Tensor()); }) == "requires_grad: the tensor has no value");
  CHECK(message_of([] { backward(leaf({1, 2})); }) ==
        "backward: the loss must have one element, its shape is [2]; hint: sum it, or use grad with a cotangent");
  CHECK(message_of([] { backward(Tensor::zeros({}, DType::f64)); }) ==
        "backward: the loss depends on nothing that requires a gradient");
}

TEST_CASE("autograd: nothing as an argument is an error that names the function and the argument") {
  const Tensor none, x = leaf({1, 2}), y = sum(square(x));
  const Function f = [](const std::vector<Tensor>& in) { return sum(square(in[0])); };
  const Function g = [](const std::vector<Tensor>&) { return Tensor(); };
  const Tensor one = Tensor::full({}, 1, DType::f64);
  CHECK(message_of([&] { requires_grad(none); }) == "requires_grad: the tensor has no value");
  CHECK(message_of([&] { backward(none); }) == "backward: the loss has no value");
  CHECK(message_of([&] { gradient(none); }) == "gradient: the tensor has no value");
  CHECK(message_of([&] { set_gradient(none, x); }) == "set_gradient: the tensor has no value");
  CHECK(message_of([&] { grad({y, none}, {x}); }) == "grad: output 1 has no value");
  CHECK(message_of([&] { grad({y}, {x, none}); }) == "grad: input 1 has no value");
  CHECK(message_of([&] { grad({y}, {x}, {none}); }) == "grad: cotangent 0 has no value");
  CHECK(message_of([&] { recompute(f, {x, none}); }) == "recompute: input 1 has no value");
  CHECK(message_of([&] { recompute(g, {x}); }) == "recompute: f returned a tensor without a value");
  CHECK(message_of([&] { vjp(f, {none}, one); }) == "vjp: input 0 has no value");
  CHECK(message_of([&] { vjp(f, {x}, none); }) == "vjp: u must be f64[] like the value of f");
  CHECK(message_of([&] { vjp(g, {x}, one); }) == "vjp: f returned a tensor without a value");
  CHECK(message_of([&] { jvp(f, {none}, {x}); }) == "jvp: input 0 has no value");
  CHECK(message_of([&] { jvp(f, {x}, {none}); }) == "jvp: tangent 0 has no value");
  CHECK(message_of([&] { jvp(g, {x}, {x.detach()}); }) == "jvp: f returned a tensor without a value");
  CHECK(message_of([&] { hvp(f, {none}, {x}); }) == "hvp: input 0 has no value");
  CHECK(message_of([&] { hvp(f, {x}, {none}); }) == "hvp: tangent 0 has no value");
  CHECK(message_of([&] { hvp(g, {x}, {x.detach()}); }) == "hvp: f returned a tensor without a value");
  CHECK(message_of([&] { gradcheck("f", f, {none}); }) == "gradcheck: input 0 of 'f' has no value");
  CHECK(message_of([&] { gradcheck("g", g, {x}); }) == "gradcheck: 'g' returned a tensor without a value");
  CHECK(message_of([&] { gradgradcheck("f", f, {none}); }) == "gradcheck: input 0 of 'f' has no value");
  CHECK(message_of([&] { auto handle = on_gradient(none, {}); }) == "on_gradient: the tensor has no value");
  CHECK(message_of([&] { to_dot(none); }) == "to_dot: the tensor has no value");
}

TEST_CASE("autograd: grad of a constant, and with respect to one, is an error unless zeros are asked for") {
  const Tensor x = leaf({1, 2}), y = sum(square(x)), c = Tensor::from(Values{3, 4}), none = sum(c), other = leaf({5});
  const std::string made = "it was made without inputs of requires_grad, or under NoGrad; or pass allow_constants";
  const std::string leafed = "make it one with requires_grad before the outputs are computed; or pass allow_constants";
  CHECK(message_of([&] { grad({y}, {x, c}); }) == "grad: input 1, f64[2], is a constant; hint: " + leafed);
  CHECK(message_of([&] { grad({y}, {x.detach()}); }) == "grad: input 0, f64[2], is a constant; hint: " + leafed);
  CHECK(message_of([&] { grad({none}, {x}); }) == "grad: output 0, f64[], is a constant; hint: " + made);
  CHECK(message_of([&] { grad({y, none}, {x}); }) == "grad: output 1, f64[], is a constant; hint: " + made);
  const std::vector<Tensor> zeros = grad({y, none}, {x, c}, {}, {.retain = true, .allow_constants = true});
  CHECK(values(zeros[0]) == Values{2, 4});
  CHECK(values(zeros[1]) == Values{0, 0});
  CHECK(values(grad({none}, {x}, {}, {.allow_constants = true})[0]) == Values{0, 0});
  CHECK(values(grad({y}, {other})[0]) == Values{0});   // it has a node, and y does not depend on it
  const Tensor slope = grad({sum(affine(x, 3, 0))}, {x}, {}, {.create_graph = true})[0];
  CHECK(contains_text(message_of([&] { grad({slope}, {x}, {c}); }), "output 0, f64[2], is a constant"));
}

TEST_CASE("autograd: at kinks the documented subgradient") {
  const Tensor x = leaf({-1, 0, 2});
  CHECK(values(grad({abs(x)}, {x}, {Tensor::from(Values{1, 1, 1})})[0]) == Values{-1, 0, 1});
  CHECK(values(grad({relu(x)}, {x}, {Tensor::from(Values{1, 1, 1})})[0]) == Values{0, 0, 1});
  const Tensor y = leaf({-1, -3, 5});
  const std::vector<Tensor> larger = grad({maximum(x, y)}, {x, y}, {Tensor::from(Values{1, 1, 1})});
  CHECK(values(larger[0]) == Values{0.5, 1, 0});
  CHECK(values(larger[1]) == Values{0.5, 0, 1});
  // Σ_k ReLU(a_k + c_k) with a = −c
  const Tensor a = requires_grad(Tensor::from(Values{1, -1}, {1, 1, 1, 2})), ones = leaf({1, 1});
  const Tensor c = requires_grad(Tensor::from(Values{-1, 1}, {1, 1, 1, 2})), weight = reshape(ones, {1, 1, 2});
  for (const Tensor& g : grad({pair_hidden(a, c, weight, {})}, {a, c, ones})) CHECK(values(g) == Values{0, 0});
  const double nan = std::nan("");
  CHECK(std::isnan(maximum(leaf({nan}), leaf({1})).item()));
  CHECK(std::isnan(minimum(leaf({1}), leaf({nan})).item()));
}

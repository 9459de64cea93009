// Products with Jacobians and Hessians, against matrices written out by hand.
#include "autograd/products.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

using Values = std::vector<double>;
Tensor vector(const Values& values) { return Tensor::from(values); }
Tensor product(const std::vector<Tensor>& x) { return mul(x[0], x[1]); }                       // y_i = a_i b_i
Tensor cubes(const std::vector<Tensor>& x) { return sum(mul(mul(x[0], x[0]), x[1])); }         // Σ a_i² b_i

}  // namespace

TEST_CASE("products: of an elementwise product") {
  const std::vector<Tensor> x = {vector({2, 3}), vector({5, 7})};
  const PushedForward pushed = jvp(product, x, {vector({1, 10}), vector({100, 1000})});
  CHECK(pushed.value.values<double>() == Values{10, 21});
  CHECK(pushed.tangent.values<double>() == Values{1 * 5 + 2 * 100, 10 * 7 + 3 * 1000});
  const PulledBack pulled = vjp(product, x, vector({1, 10}));
  CHECK(pulled.value.values<double>() == Values{10, 21});
  CHECK(pulled.gradients[0].values<double>() == Values{5, 70});
  CHECK(pulled.gradients[1].values<double>() == Values{2, 30});
  CHECK(pushed.tangent.node == nullptr);
  CHECK(pulled.gradients[0].node == nullptr);
}

TEST_CASE("products: H v of Σ a² b, whose blocks are diag(2b), diag(2a) and 0") {
  const std::vector<Tensor> x = {vector({2, 3}), vector({5, 7})}, v = {vector({1, 10}), vector({100, 1000})};
  const std::vector<Tensor> Hv = hvp(cubes, x, v);
  CHECK(Hv[0].values<double>() == Values{2 * 5 * 1 + 2 * 2 * 100, 2 * 7 * 10 + 2 * 3 * 1000});
  CHECK(Hv[1].values<double>() == Values{2 * 2 * 1, 2 * 3 * 10});
}

TEST_CASE("products: of what does not depend on an input, of linear functions, in f32, and without gradients enabled") {
  const NoGrad guard;
  const Function first = [](const std::vector<Tensor>& x) { return affine(x[0], 3, 1); };
  const std::vector<Tensor> x = {Tensor::full({2}, 2), Tensor::full({3}, 1)};
  const PushedForward pushed = jvp(first, x, {Tensor::full({2}, 1), Tensor::full({3}, 1)});
  CHECK(pushed.tangent.values<float>() == std::vector<float>{3, 3});
  CHECK(vjp(first, x, Tensor::full({2}, 1)).gradients[1].values<float>() == std::vector<float>{0, 0, 0});
  const Function total = [&](const std::vector<Tensor>& in) { return sum(first(in)); };
  CHECK(hvp(total, x, x)[0].values<float>() == std::vector<float>{0, 0});
  const Function constant = [](const std::vector<Tensor>&) { return Tensor::zeros({2}); };
  CHECK(jvp(constant, x, x).tangent.values<float>() == std::vector<float>{0, 0});
}

TEST_CASE("products: J v of a gradient is H v, and takes no third derivative") {
  const Function f = [](const std::vector<Tensor>& x) { return sum(tanh(mul(x[0], x[0]))); };
  const Function gradient_of_f = [&](const std::vector<Tensor>& x) {
    return grad({f(x)}, {x[0]}, {}, {.create_graph = true})[0];
  };
  const std::vector<Tensor> x = {vector({0.3, -0.8})}, v = {vector({1, 2})};
  const Values Hv = hvp(f, x, v)[0].values<double>(), Jv = jvp(gradient_of_f, x, v).tangent.values<double>();
  for (int i = 0; i < 2; ++i) CHECK(Jv[i] == doctest::Approx(Hv[i]).epsilon(1e-14));
}

TEST_CASE("products: what does not fit is refused") {
  const std::vector<Tensor> x = {vector({2, 3}), vector({5, 7})};
  CHECK(message_of([&] { jvp(product, x, {x[0]}); }) == "jvp: 1 tangents for 2 inputs");
  CHECK(message_of([&] { jvp(product, x, {x[0], vector({1})}); }) == "jvp: tangent 1 is f64[1], its input is f64[2]");
  CHECK(message_of([&] { hvp(cubes, x, {x[0], Tensor::zeros({2})}); }) == "hvp: tangent 1 is f32[2], its input is f64[2]");
  CHECK(message_of([&] { hvp(cubes, x, {x[0], Tensor()}); }) == "hvp: tangent 1 has no value");
  CHECK(message_of([&] { hvp(product, x, x); }) ==
        "hvp: f must give one element, its shape is [2]; hint: weigh and sum what it gives");
  CHECK(message_of([&] { vjp(product, x, vector({1})); }) == "vjp: u must be f64[2] like the value of f, got f64[1]");
  CHECK(message_of([&] { vjp(product, x, Tensor()); }) == "vjp: u must be f64[2] like the value of f");
  CHECK(message_of([&] { vjp(product, {Tensor::zeros({2}, DType::i32), x[1]}, x[0]); }) ==
        "requires_grad: needs f32 or f64, not i32");
}

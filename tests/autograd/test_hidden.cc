// What no output depends on contributes 0 to every order of derivative, though its own derivatives there are infinite or NaN.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

#include "autograd/backward.h"
#include "autograd/ops.h"
#include "tensor/scalar.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(), no_number = std::numeric_limits<double>::quiet_NaN();

struct Named {
  std::string name;
  Tensor (*f)(const Tensor& x);
};

#define TAPIR_NAMED(...) Named{#__VA_ARGS__, [](const Tensor& x) { return __VA_ARGS__; }}

const std::vector<Named>& functions() {   // of one number, and of two that are made of one
  static const std::vector<Named> all{
      TAPIR_NAMED(neg(x)), TAPIR_NAMED(exp(x)), TAPIR_NAMED(log(x)), TAPIR_NAMED(log1p(x)), TAPIR_NAMED(expm1(x)),
      TAPIR_NAMED(sqrt(x)), TAPIR_NAMED(rsqrt(x)), TAPIR_NAMED(abs(x)), TAPIR_NAMED(square(x)), TAPIR_NAMED(reciprocal(x)),
      TAPIR_NAMED(sin(x)), TAPIR_NAMED(cos(x)), TAPIR_NAMED(tanh(x)), TAPIR_NAMED(sigmoid(x)), TAPIR_NAMED(softplus(x)),
      TAPIR_NAMED(relu(x)), TAPIR_NAMED(gelu(x)), TAPIR_NAMED(gelu_tanh(x)), TAPIR_NAMED(silu(x)), TAPIR_NAMED(erf(x)),
      TAPIR_NAMED(log_sigmoid(x)), TAPIR_NAMED(mish(x)), TAPIR_NAMED(leaky_relu(x)), TAPIR_NAMED(elu(x)),
      TAPIR_NAMED(clamp(x, 0, 1)), TAPIR_NAMED(finite(x)), TAPIR_NAMED(pow(x, 0.5)), TAPIR_NAMED(pow(x, 1.5)),
      TAPIR_NAMED(pow(x, 2.5)), TAPIR_NAMED(pow(x, -1)), TAPIR_NAMED(pow(x, x)), TAPIR_NAMED(pow(x, sqrt(x))),
      TAPIR_NAMED(div(x, x)), TAPIR_NAMED(div(sqrt(x), x)), TAPIR_NAMED(mul(x, sqrt(x))), TAPIR_NAMED(mul(x, log(x))),
      TAPIR_NAMED(add(sqrt(x), x)), TAPIR_NAMED(sub(log(x), x)), TAPIR_NAMED(maximum(x, sqrt(x))),
      TAPIR_NAMED(minimum(x, sqrt(x))), TAPIR_NAMED(chain(x, rsqrt(x))), TAPIR_NAMED(affine(sqrt(x), 2, 1)),
      TAPIR_NAMED(mul(square(x), mul(x, sqrt(x)))), TAPIR_NAMED(div(reciprocal(x), mul(x, x)))};
  return all;
}

// Ways to use f: derivatives of products and chains bring slopes of slopes.
using Function1 = std::function<Tensor(const Tensor& x)>;
std::vector<std::pair<std::string, Function1>> forms_of(const Named& f) {
  return {{f.name, f.f},
          {"x " + f.name, [=](const Tensor& x) { return mul(x, f.f(x)); }},
          {f.name + "²", [=](const Tensor& x) { return square(f.f(x)); }},
          {"sqrt of " + f.name, [=](const Tensor& x) { return sqrt(f.f(x)); }},
          {f.name + " of the root", [=](const Tensor& x) { return f.f(sqrt(x)); }},
          {f.name + " / x", [=](const Tensor& x) { return div(f.f(x), x); }}};
}

// Results of which the first element of y (4) is not a part.
const std::vector<std::pair<std::string, Function1>>& hiding() {
  static const Tensor first = Tensor::from(std::vector<uint8_t>{1, 0, 0, 0}),
                      later = Tensor::from(std::vector<uint8_t>{0, 1, 1, 1});
  static const std::vector<std::pair<std::string, Function1>> all{
      {"where", [](const Tensor& y) { return where(first, Tensor::zeros({}, DType::f64), y); }},
      {"where, the other branch", [](const Tensor& y) { return where(later, y, Tensor::full({}, 3, DType::f64)); }},
      {"slice", [](const Tensor& y) { return slice(y, 0, 1, 3); }},
      {"slice and pad", [](const Tensor& y) { return pad(slice(y, 0, 1, 3), 0, 1, 0); }},
      {"index_select", [](const Tensor& y) { return index_select(y, 0, Tensor::from(std::vector<int32_t>{3, 1, 1, 2})); }},
      {"gather", [](const Tensor& y) { return gather(y, 0, Tensor::from(std::vector<int32_t>{3, 2, 1})); }},
      {"embedding",
       [](const Tensor& y) { return embedding(reshape(y, {4, 1}), Tensor::from(std::vector<int32_t>{1, 2, 3})); }},
      {"triu", [](const Tensor& y) { return triu(reshape(y, {2, 2}), 1); }},
      {"tril", [](const Tensor& y) { return tril(reshape(y, {2, 2}), -1); }},
      {"softmax with a mask",
       [](const Tensor& y) {
         const Mask mask{.causal = false, .offset = 0, .keys = Tensor::from(std::vector<uint8_t>{0, 1, 1, 1}, {1, 4})};
         return softmax(reshape(y, {1, 1, 1, 4}), mask);
       }},
      {"causal softmax",
       [](const Tensor& y) { return softmax(reshape(flip(y, 0), {1, 1, 1, 4}), {.causal = true, .offset = 2, .keys = {}}); }},
  };
  return all;
}

// The derivatives of Σ w · hide(f(x)) of the orders 1, 2 and 3; fewer where f has no more.
std::vector<std::vector<double>> derivatives(const Function1& f, const Function1& hide, const std::vector<double>& values) {
  const Tensor x = requires_grad(Tensor::from(values)), y = hide(f(x));
  std::vector<double> weights;
  for (int64_t i = 0; i < y.elements(); ++i) weights.push_back(0.5 + static_cast<double>(i));
  Tensor scalar = sum(mul(y, Tensor::from(weights, y.shape())));
  std::vector<std::vector<double>> all;
  for (int order = 1; order <= 3 && scalar.node; ++order) {
    Tensor g;
    const std::string message = message_of([&] { g = grad({scalar}, {x}, {}, {.create_graph = true})[0]; });
    if (message != "no error") {
      CHECK(contains_text(message, "derivatives beyond the second are not available"));
      CHECK(order == 3);
      break;
    }
    all.push_back(g.values<double>());
    scalar = sum(g);
  }
  return all;
}

template <class... F>
void check_listed(OpList<Unary<F>...>) {
  std::set<std::string> named;
  for (const Named& f : functions()) named.insert(f.name.substr(0, f.name.find('(')));
  for (const std::string& name : {std::string(F::name)...})
    CHECK_MESSAGE(named.contains(name), name << " is not among the functions of this file");
}

}  // namespace

TEST_CASE("hidden: every function of one number is tried") { check_listed(UnaryOps{}); }

TEST_CASE(
    "hidden: elements that no output depends on have derivatives of 0, to every order, and leave the others as they are") {
  for (const Named& named : functions())
    for (const auto& form : forms_of(named))
      for (const auto& way : hiding()) {
        const std::vector<std::vector<double>> ordinary = derivatives(form.second, way.second, {0.6, 0.3, 0.7, 1.1});
        for (const double place : {-infinity, -1.0, -0.0, 0.0, 1.0, 1e-320, 1e300, infinity, no_number}) {
          INFO(form.first, ", hidden by ", way.first, ", x = ", place);
          const std::vector<std::vector<double>> found = derivatives(form.second, way.second, {place, 0.3, 0.7, 1.1});
          REQUIRE(found.size() == ordinary.size());
          for (size_t order = 0; order < found.size(); ++order) {
            CHECK_MESSAGE(found[order][0] == 0, "order ", order + 1);
            for (size_t i = 1; i < 4; ++i)
              CHECK_MESSAGE(
                  (found[order][i] == ordinary[order][i] || (std::isnan(found[order][i]) && std::isnan(ordinary[order][i]))),
                  "order ", order + 1, ", element ", i);
          }
        }
      }
}

TEST_CASE("hidden: a factor of 0 and a dead relu hide infinite slopes from what they are multiplied by") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{0, 4})),
               w = requires_grad(Tensor::from(std::vector<double>{2, 3}));
  const Tensor zero = Tensor::from(std::vector<double>{0, 1});
  for (const Tensor& y : {mul(w, mul(zero, sqrt(x))), mul(w, relu(sub(sqrt(x), Tensor::full({}, 1, DType::f64))))}) {
    const Tensor dx = grad({sum(y)}, {x}, {}, {.create_graph = true})[0];
    CHECK(dx.values<double>() == std::vector<double>{0, 0.75});
    const std::vector<Tensor> second = grad({sum(dx)}, {x, w});
    CHECK(second[0].values<double>() == std::vector<double>{0, -3 / 32.0});
    CHECK(second[1].values<double>() == std::vector<double>{0, 0.25});
  }
}

TEST_CASE("hidden: the root of a dead relu has no slope, whatever the root's") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{-1, 4}));
  for (const bool graph : {false, true})
    CHECK(grad({sum(sqrt(relu(x)))}, {x}, {}, {.create_graph = graph})[0].values<double>() == std::vector<double>{0, 0.25});
}

TEST_CASE("hidden: at a factor of 0 that hides nothing the third derivative is what it is") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{0, 2}));
  Tensor scalar = sum(mul(x, mul(x, x)));
  for (int order = 1; order <= 3; ++order) {
    const Tensor g = grad({scalar}, {x}, {}, {.create_graph = true})[0];
    const std::vector<std::vector<double>> expected{{0, 12}, {0, 12}, {6, 6}};
    CHECK(g.values<double>() == expected[order - 1]);
    scalar = sum(g);
  }
}

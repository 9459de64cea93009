// The gradient check on trial: right functions that are hard to differentiate by steps are not accused, wrong ones all are, and
// what is said of them is right or left unsaid.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/gradcheck.h"
#include "autograd/hooks.h"
#include "autograd/operators.h"
#include "autograd/ops.h"
#include "tensor/random.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

using Inputs = std::vector<Tensor>;

struct Case {
  std::string name;
  Function f;
  Inputs inputs;
  std::string diagnosis = "";   // of wrong ones: what must be said; "": nothing but what `perhaps` allows
  std::string perhaps = "";
};

Tensor values(const std::vector<double>& x) { return Tensor::from(x); }

Tensor normal_of(const Shape& shape, double scale = 1, const char* site = "x") {
  Tensor x = Tensor::empty(shape, DType::f64);
  normal_(x, 0, scale, {.seed = 5, .step = 0, .site = site_of(site)});
  return x;
}

Tensor positive(const Shape& shape, double scale) { return affine(abs(normal_of(shape)), scale, scale / 4); }

// The value of one function with the gradient of another.
Tensor pretend(const Tensor& value, const Tensor& gradient_of) {
  return value.detach() + (gradient_of - gradient_of.detach());
}

template <class F> Function of(F f) {
  return [f](const Inputs& in) { return f(in[0]); };
}

// Made when asked for: on the default device, which main() sets.
Tensor x23() { return normal_of({2, 3}); }
Tensor x45() { return normal_of({4, 5}); }

std::vector<Case> right_ones() {
  const auto product = [](const Tensor& x) {   // of 30 factors
    Tensor y = x;
    for (int k = 1; k < 30; ++k) y = y * (x * (0.3 + 0.01 * k) + 1);
    return y;
  };
  const auto network = [](const Inputs& in) { return matmul(relu(matmul(in[0], in[1])), in[2]); };
  std::vector<Case> all;
  const auto add_case = [&](const std::string& name, auto f, const Tensor& x) { all.push_back({name, of(f), {x}}); };
  for (const double steep : {50.0, 200.0, 1000.0}) {
    add_case(text("softmax(", steep, " x)"), [steep](const Tensor& x) { return softmax(x * steep); }, x45());
    add_case(text("logsumexp(", steep, " x)"), [steep](const Tensor& x) { return logsumexp(x * steep); }, x45());
  }
  add_case("log_softmax(200 x)", [](const Tensor& x) { return log_softmax(x * 200); }, x45());
  add_case("tanh(30 x)", [](const Tensor& x) { return tanh(x * 30); }, x23());
  add_case("sigmoid(100 x)", [](const Tensor& x) { return sigmoid(x * 100); }, x23());
  add_case("exp(20 x)", [](const Tensor& x) { return exp(x * 20); }, x23());
  add_case("sin(100 x)", [](const Tensor& x) { return sin(x * 100); }, x23());
  add_case("cos(1000 x)", [](const Tensor& x) { return cos(x * 1000); }, x23());
  add_case("softplus(200 x)", [](const Tensor& x) { return softplus(x * 200); }, x23());
  add_case("erf(30 x)", [](const Tensor& x) { return erf(x * 30); }, x23());
  for (const double at : {0.0, 1e-12, 1e-9, -1e-7, 1e-5, -3e-4})
    add_case(text("relu at ", at), [](const Tensor& x) { return relu(x); }, values({at, 1, at, -2}));
  add_case("abs at 0", [](const Tensor& x) { return abs(x); }, values({0, 1, 1e-10, -2}));
  add_case("leaky_relu at 0", [](const Tensor& x) { return leaky_relu(x); }, values({0, 1, 1e-8}));
  add_case("clamp at its bounds", [](const Tensor& x) { return clamp(x, -1, 1); }, values({1, -1, 0, 1 + 1e-6}));
  add_case(
      "max of equal ones", [](const Tensor& x) { return max(x, -1); },
      Tensor::from(std::vector<double>{1, 1, 0, 2, 1, 2}, {2, 3}));
  add_case("min of nearly equal ones", [](const Tensor& x) { return min(x, -1); },
           Tensor::from(std::vector<double>{1, 1 + 1e-8, 3, 2, 2 - 1e-5, 2 + 1e-5}, {2, 3}));
  add_case(
      "smooth_l1 at its kinks", [](const Tensor& x) { return smooth_l1(x, Tensor::zeros({4}, DType::f64)); },
      values({1, -1, 0, 1 + 1e-9}));
  add_case("70,000 large numbers", [](const Tensor& x) { return x * 3; }, affine(normal_of({70000}), 1e3, 1e4));
  add_case("70,000 kinks", [](const Tensor& x) { return sum(relu(x)); }, Tensor::zeros({70000}, DType::f64));
  all.push_back({"maximum of equal ones",
                 [](const Inputs& in) { return maximum(in[0], in[1]); },
                 {values({1, 2, 3}), values({1, 2 + 1e-7, 4})}});
  all.push_back({"a network of kinks", network, {normal_of({6, 8}), normal_of({8, 64}, 1, "w"), normal_of({64, 3}, 1, "v")}});
  for (const double scale : {1e-6, 1e6}) {
    add_case(text("log at ", scale), [](const Tensor& x) { return log(x); }, positive({2, 3}, scale));
    add_case(text("sqrt at ", scale), [](const Tensor& x) { return sqrt(x); }, positive({2, 3}, scale));
    add_case(
        text("reciprocal at ", scale), [scale](const Tensor& x) { return reciprocal(x) * scale; }, positive({2, 3}, scale));
    add_case(text("square at ", scale), [](const Tensor& x) { return square(x); }, positive({2, 3}, scale));
    add_case(
        text("rms_norm at ", scale), [](const Tensor& x) { return rms_norm(x, Tensor::full({5}, 1, DType::f64), 0); },
        affine(x45(), scale, 0));
    add_case(
        text("layer_norm at ", scale),
        [](const Tensor& x) { return layer_norm(x, Tensor::full({5}, 1, DType::f64), Tensor::zeros({5}, DType::f64), 0); },
        affine(x45(), scale, 0));
  }
  add_case("sin at 1e6", [](const Tensor& x) { return sin(x); }, positive({2, 3}, 1e6));
  add_case("norm near 0", [](const Tensor& x) { return norm(x, 2, -1); }, affine(x45(), 1e-7, 0));
  add_case("a product of 30 factors", product, x23());
  add_case("log near 0", [](const Tensor& x) { return log(x); }, values({1e-3, 1e-4, 2}));
  add_case(
      "sort of nearly equal ones", [](const Tensor& x) { return max(x * x, -1) + min(x, -1); },
      Tensor::from(std::vector<double>{1, 1 - 1e-10, 3, 3}, {2, 2}));
  return all;
}

using Function1 = std::function<Tensor(const Tensor&)>;

// x / σ of rows, with and without what their statistics give to the gradient.
Tensor rms_rows(const Tensor& x, bool through) {
  const Tensor r = rsqrt(mean(square(x), -1, true));
  return x * (through ? r : r.detach());
}
Tensor layer_rows(const Tensor& x, bool through_mean, bool through_deviation) {
  const Tensor m = mean(x, -1, true), centred = x - (through_mean ? m : m.detach()), r = rsqrt(mean(square(x - m), -1, true));
  return centred * (through_deviation ? r : r.detach());
}

std::vector<Case> wrong_ones() {
  std::vector<Case> all;
  const auto one = [&](const std::string& name, const Function1& value, const Function1& gradient_of, const Tensor& x,
                       const std::string& diagnosis = "") {
    all.push_back({name, [=](const Inputs& in) { return pretend(value(in[0]), gradient_of(in[0])); }, {x}, diagnosis});
  };
  const auto two = [&](const std::string& name, const auto& value, const auto& gradient_of, const Tensor& x, const Tensor& y,
                       const std::string& diagnosis = "") {
    all.push_back(
        {name, [=](const Inputs& in) { return pretend(value(in[0], in[1]), gradient_of(in[0], in[1])); }, {x, y}, diagnosis});
  };
  const std::vector<std::pair<std::string, Function1>> functions = {
      {"sin", [](const Tensor& x) { return sin(x); }},
      {"exp", [](const Tensor& x) { return exp(x); }},
      {"tanh", [](const Tensor& x) { return tanh(x); }},
      {"gelu", [](const Tensor& x) { return gelu(x); }},
      {"softmax(2 x)", [](const Tensor& x) { return softmax(x * 2); }},
      {"log_softmax(50 x)", [](const Tensor& x) { return log_softmax(x * 50); }},
      {"square", [](const Tensor& x) { return square(x); }},
      {"sin(20 x)", [](const Tensor& x) { return sin(x * 20); }},
      {"cumsum of squares", [](const Tensor& x) { return cumsum(square(x), -1); }},
      {"relu", [](const Tensor& x) { return relu(x); }},
      {"softplus", [](const Tensor& x) { return softplus(x); }}};
  for (const auto& named : functions) {
    const Function1 f = named.second;
    one(named.first + " and 1e-4 x", f, [f](const Tensor& x) { return f(x) + x * 1e-4; }, x45());
    all.back().perhaps = "term -1/10000 g missing";
    one(named.first + " times 1.0001", f, [f](const Tensor& x) { return f(x) * 1.0001; }, x45());
    all.back().perhaps = named.first == "exp"      ? "term -1/10000 g y missing"
                         : named.first == "square" ? "term -1/5000 g x missing"
                                                   : "";
    const auto alive = std::make_shared<std::vector<GradientHandle>>();
    all.push_back({named.first + " and a constant",
                   [f, alive](const Inputs& in) {
                     const Tensor x = identity(in[0]);
                     if (x.node) alive->push_back(on_gradient(x, [](const Tensor& g) { return g + 0.1; }));
                     return f(x);
                   },
                   {x45()}, "a constant is added, 0.1"});
  }
  // The normalisations, each without what a statistic gives.
  one("rms_norm without −r y mean(g y)", [](const Tensor& x) { return rms_rows(x, true); },
      [](const Tensor& x) { return rms_rows(x, false); }, x45(), "term -1/rms(x) y mean(g y) missing");
  one("layer_norm without the deviation", [](const Tensor& x) { return layer_rows(x, true, true); },
      [](const Tensor& x) { return layer_rows(x, true, false); }, x45(), "term -1/σ(x) y mean(g y) missing");
  one("layer_norm without the mean", [](const Tensor& x) { return layer_rows(x, true, true); },
      [](const Tensor& x) { return layer_rows(x, false, true); }, x45(), "term -1/σ(x) mean(g) missing");
  one("layer_norm without both", [](const Tensor& x) { return layer_rows(x, true, true); },
      [](const Tensor& x) { return layer_rows(x, false, false); }, x45());
  one("x / |x| without the norm", [](const Tensor& x) { return x / norm(x, 2, -1, true); },
      [](const Tensor& x) { return x / norm(x, 2, -1, true).detach(); }, x45(), "term -1/|x| y sum(g y) missing");
  one("x / max without the max", [](const Tensor& x) { return x / max(abs(x), -1, true); },
      [](const Tensor& x) { return x / max(abs(x), -1, true).detach(); }, x45());
  one("softmax without the sum", [](const Tensor& x) { return softmax(x); },
      [](const Tensor& x) { return x * softmax(x).detach(); }, x45(), "term -y sum(g y) missing");
  one("group_norm, one group of two", [](const Tensor& x) { return layer_rows(reshape(x, {8, 5}), true, true); },
      [](const Tensor& x) { return layer_rows(reshape(x, {8, 5}), true, false); }, normal_of({4, 10}));
  // Arguments exchanged.
  two(
      "a b", [](const Tensor& a, const Tensor& b) { return a * b; },
      [](const Tensor& a, const Tensor& b) { return (square(a) + square(b)) * 0.5; }, x45(), normal_of({4, 5}, 1, "b"),
      "each has the gradient of the other");
  two(
      "a exp(b)", [](const Tensor& a, const Tensor& b) { return a * exp(b); },
      [](const Tensor& a, const Tensor& b) { return a * (a * exp(b)).detach() + b * exp(b).detach(); }, x45(),
      normal_of({4, 5}, 1, "b"), "each has the gradient of the other");
  two(
      "a - b", [](const Tensor& a, const Tensor& b) { return a - b; }, [](const Tensor& a, const Tensor& b) { return b - a; },
      x45(), normal_of({4, 5}, 1, "b"), "each has the gradient of the other");
  // Near kinks and at other scales.
  one("relu with a slope of 1.001", [](const Tensor& x) { return relu(x); }, [](const Tensor& x) { return relu(x) * 1.001; },
      values({1e-6, 1, -2, 0}));
  one("relu that leaks", [](const Tensor& x) { return relu(x); }, [](const Tensor& x) { return leaky_relu(x, 1e-3); },
      values({-1e-6, 1, -2, 1e-8}));
  one("max that takes the other", [](const Tensor& x) { return max(x, -1); }, [](const Tensor& x) { return min(x, -1); },
      Tensor::from(std::vector<double>{1, 1 + 1e-5, 3, 4}, {2, 2}));
  for (const double scale : {1e-6, 1e6}) {
    one(
        text("x log x at ", scale), [](const Tensor& x) { return x * log(x); },
        [](const Tensor& x) { return x * log(x) * 1.0001; }, positive({2, 3}, scale));
  }
  one(
      "exp(20 x) times 1.0001", [](const Tensor& x) { return exp(x * 20); },
      [](const Tensor& x) { return exp(x * 20) * 1.0001; }, x23());
  all.back().perhaps = "term -1/500 g y missing";
  one("one element of 70,000", [](const Tensor& x) { return square(x); },
      [](const Tensor& x) { return square(x) + pad(slice(x, 0, 12345, 1), 0, 12345, 70000 - 12346); }, normal_of({70000}));
  one(
      "every element of 70,000", [](const Tensor& x) { return square(x); }, [](const Tensor& x) { return square(x) * 1.5; },
      normal_of({70000}));
  return all;
}

}  // namespace

TEST_CASE("accusations: right functions that are hard to differentiate by steps are not accused") {
  const std::vector<Case> all = right_ones();
  CHECK(all.size() >= 40);
  for (const Case& one : all) {
    CAPTURE(one.name);
    for (const uint64_t seed : {1, 2, 3}) {
      const GradcheckResult result =
          gradcheck(one.name, one.f, one.inputs, {.seed = seed, .full_jacobian = one.inputs[0].elements() < 30});
      CHECK_MESSAGE(result.passed, result.report);
    }
  }
}

TEST_CASE("accusations: wrong functions are accused, and named right or not at all") {
  const std::vector<Case> all = wrong_ones();
  CHECK(all.size() >= 44);   // and the 16 of test_gradcheck.cc
  for (const Case& one : all) {
    CAPTURE(one.name);
    for (const uint64_t seed : {1, 2, 3}) {
      const GradcheckResult result = gradcheck(one.name, one.f, one.inputs, {.seed = seed});
      CHECK(!result.passed);
      CAPTURE(result.report);
      const bool named = contains_text(result.report, " like: ");
      const std::string& allowed = one.diagnosis.empty() ? one.perhaps : one.diagnosis;
      CHECK((named || one.diagnosis.empty()));
      CHECK((!named || (!allowed.empty() && contains_text(result.report, allowed + "\n"))));
    }
  }
}

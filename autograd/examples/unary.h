// Functions of one number, against libm.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/unary.h"

namespace tapir {

using UnaryFunction = Tensor (*)(const Tensor&);

inline OpExamples unary(const std::string& name, UnaryFunction f, double (*reference)(double), double low = -2,
                        double high = 2, double grid = 0) {
  const double near_one = grid > 0 ? 1 : 0;   // one element: where no gradient vanishes
  const Argument one{{}, 0.75 + near_one * 0.5, 1.25};
  const Function call = [f](const std::vector<Tensor>& x) { return f(x[0]); };
  OpExamples examples{.op = name, .rows = {}, .errors = {}};
  const auto row = [&](const std::string& label, const Argument& input, const Function& function) {
    examples.rows.push_back({.label = label, .function = function, .inputs = {input}, .reference = pointwise(reference)});
  };
  row("rank 2", {{3, 5}, low, high, grid}, call);
  row("rank 1", {{37}, low, high, grid}, call);
  row("rank 0", one, call);
  row("one element", {{1, 1}, one.low, one.high}, call);
  row("empty", {{2, 0, 3}, low, high, grid}, call);
  row("several ranges", {{3, 7, 3500}, low, high, grid}, call);
  return examples;
}

#define TAPIR_UNARY(Name, function, ...)                                      \
  template <> struct Examples<Unary<scalar::Name>> {                          \
    static OpExamples all() { return unary(#function, function, __VA_ARGS__); } \
  };

TAPIR_UNARY(Neg, neg, [](double x) { return -x; })
TAPIR_UNARY(Exp, exp, [](double x) { return std::exp(x); })
TAPIR_UNARY(Log, log, [](double x) { return std::log(x); }, 0.5, 4)
TAPIR_UNARY(Log1p, log1p, [](double x) { return std::log1p(x); }, -0.5, 3)
TAPIR_UNARY(Expm1, expm1, [](double x) { return std::expm1(x); })
TAPIR_UNARY(Sqrt, sqrt, [](double x) { return std::sqrt(x); }, 0.5, 4)
TAPIR_UNARY(Rsqrt, rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.5, 4)
TAPIR_UNARY(Abs, abs, [](double x) { return std::fabs(x); }, -2.25, 2.25, 0.5)
TAPIR_UNARY(Square, square, [](double x) { return x * x; })
TAPIR_UNARY(Reciprocal, reciprocal, [](double x) { return 1 / x; }, 0.5, 4)
TAPIR_UNARY(Sin, sin, [](double x) { return std::sin(x); }, -8, 8)
TAPIR_UNARY(Cos, cos, [](double x) { return std::cos(x); }, -8, 8)
TAPIR_UNARY(Tanh, tanh, [](double x) { return std::tanh(x); })
TAPIR_UNARY(Sigmoid, sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -5, 5)
TAPIR_UNARY(Softplus, softplus, [](double x) { return std::log1p(std::exp(x)); }, -5, 5)
TAPIR_UNARY(Relu, relu, [](double x) { return std::max(x, 0.0); }, -2.25, 2.25, 0.5)
TAPIR_UNARY(Gelu, gelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); })
TAPIR_UNARY(GeluTanh, gelu_tanh,
            [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); })
TAPIR_UNARY(Silu, silu, [](double x) { return x / (1 + std::exp(-x)); })
TAPIR_UNARY(Erf, erf, [](double x) { return std::erf(x); })
TAPIR_UNARY(LogSigmoid, log_sigmoid, [](double x) { return -std::log1p(std::exp(-x)); }, -5, 5)
TAPIR_UNARY(Mish, mish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }, -5, 5)
#undef TAPIR_UNARY

// Those with parameters. Grids keep away from kinks.
#define TAPIR_UNARY_WITH(Name, label, call, ...)                                                        \
  template <> struct Examples<Unary<scalar::Name>> {                                                    \
    static OpExamples all() { return unary(label, [](const Tensor& x) { return call; }, __VA_ARGS__); } \
  };

TAPIR_UNARY_WITH(LeakyRelu, "leaky_relu", leaky_relu(x, 0.2), [](double x) { return x > 0 ? x : 0.2 * x; }, -2.25, 2.25,
                 0.5)
TAPIR_UNARY_WITH(Elu, "elu", elu(x, 1.5), [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); }, -2.25, 2.25, 0.5)
#undef TAPIR_UNARY_WITH

template <> struct Examples<Unary<scalar::Clamp>> {
  static OpExamples all() {
    OpExamples examples = unary("clamp", [](const Tensor& x) { return clamp(x, -1, 1.5); },
                                [](double x) { return x < -1 ? -1 : x > 1.5 ? 1.5 : x; }, -2.25, 2.25, 0.5);
    const auto row = [&](const std::string& label, double low, double high) {
      examples.rows.push_back({.label = label,
                               .function = [=](const std::vector<Tensor>& x) { return clamp(x[0], low, high); },
                               .inputs = {{{4, 5}, -2.25, 2.25, 0.5}},
                               .reference = [=](const Arrays& in) {
                                 return build({4, 5}, [&](const Index& i) {
                                   return std::min(std::max(at(in[0], i), low), high);
                                 });
                               }});
    };
    row("no lower bound", -HUGE_VAL, 1);
    row("no upper bound", -1, HUGE_VAL);
    row("no bound", -HUGE_VAL, HUGE_VAL);
    examples.errors = {{[] { clamp(zeros({2}), 1, -1); }, {"clamp", "lower bound 1", "-1"}},
                       {[] { clamp(zeros({2}), NAN, 1); }, {"clamp", "nan"}}};
    return examples;
  }
};

template <> struct Examples<Unary<scalar::Pow>> {
  static OpExamples all() {
    OpExamples examples = unary("pow", [](const Tensor& x) { return pow(x, 3); }, [](double x) { return x * x * x; });
    const auto row = [&](const std::string& label, double p, const Argument& input, bool may_vanish = false) {
      examples.rows.push_back({.label = label,
                               .function = [=](const std::vector<Tensor>& x) { return pow(x[0], p); },
                               .inputs = {input},
                               .reference = [=](const Arrays& in) {
                                 return build(input.shape, [&](const Index& i) { return std::pow(at(in[0], i), p); });
                               },
                               .may_vanish = may_vanish});
    };
    const Argument positive{{3, 40}, 0.25, 4}, with_zero{{3, 40}, -2, 2, 0.5};
    row("root", 0.5, positive);
    row("third root", 1.0 / 3, positive);
    row("negative exponent", -1.5, positive);
    row("large exponent", 20.25, {{3, 40}, 0.25, 1.25});
    row("negative numbers, negative exponent", -3, {{40}, -4, -0.5});
    row("square, also of 0", 2, with_zero);
    row("cube, also of 0", 3, with_zero);
    row("exponent 1, also of 0", 1, with_zero);
    row("exponent 0, also of 0", 0, with_zero, true);
    return examples;
  }
};

}  // namespace tapir

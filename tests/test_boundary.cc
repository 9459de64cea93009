// The boundary set: what every op makes of 0, −0, subnormal numbers, ±∞, NaN and ties: the value, and the (sub-)gradient
// that ops.h names. The sweep adds for all ops: NaN reaches what depends on it, and nothing else.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "attention/all_ops.h"
#include "attention/expressive_weights.h"
#include "autograd/all_ops.h"
#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops.h"

using namespace tapir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
using Values = std::vector<double>;

struct Input {
  Shape shape;
  Values values;
  Input(std::initializer_list<double> line) : shape{static_cast<int64_t>(line.size())}, values(line) {}
  Input(const Values& line) : shape{static_cast<int64_t>(line.size())}, values(line) {}
  Input(const Shape& shape_, const Values& values_) : shape(shape_), values(values_) {}
};

struct Case {
  std::string label;
  std::function<Tensor(const std::vector<Tensor>&)> call;
  std::vector<Input> inputs;
  Values y;
  std::vector<Values> gradients;  // of ⟨cotangent, y⟩, for each input
  Values cotangent{};             // none: ones
};

using Cases = std::vector<Case>;

// Not defined: an op of AllOps without its cases, as `static Cases cases(double s)`, does not compile. s is the smallest
// subnormal number of the type.
template <class Op>
struct Boundary;

// ---- functions of one number: y and dy/dx at −∞, −s, −0, 0, s, ∞, NaN, then at points of their own -----------------

struct Point {
  double x, y, slope;
};

Case curve(Tensor (*f)(const Tensor&), double s, Values y, Values slopes, const std::vector<Point>& more = {},
           const std::string& label = "") {
  REQUIRE(y.size() == 7);
  REQUIRE(slopes.size() == 7);
  Values x = {-inf, -s, -0.0, 0.0, s, inf, nan};
  for (const Point& point : more) {
    x.push_back(point.x);
    y.push_back(point.y);
    slopes.push_back(point.slope);
  }
  return {label, [f](const std::vector<Tensor>& in) { return f(in[0]); }, {x}, y, {slopes}};
}

#define TAPIR_CURVE(Name, call, ...)                                        \
  template <>                                                               \
  struct Boundary<Unary<scalar::Name>> {                                    \
    static Cases cases(double s) {                                          \
      return {curve([](const Tensor& x) { return call; }, s, __VA_ARGS__)}; \
    }                                                                       \
  };

// clang-format off
TAPIR_CURVE(Neg, neg(x), {inf, s, 0.0, -0.0, -s, -inf, nan}, {-1, -1, -1, -1, -1, -1, -1})
TAPIR_CURVE(Exp, exp(x), {0, 1, 1, 1, 1, inf, nan}, {0, 1, 1, 1, 1, inf, nan})
TAPIR_CURVE(Log, log(x), {nan, nan, -inf, -inf, std::log(s), inf, nan}, {-0.0, -1 / s, -inf, inf, 1 / s, 0, nan})
TAPIR_CURVE(Log1p, log1p(x), {nan, -s, -0.0, 0, s, inf, nan}, {-0.0, 1, 1, 1, 1, 0, nan},
            {{-1, -inf, inf}, {-2, nan, -1}})
TAPIR_CURVE(Expm1, expm1(x), {-1, -s, -0.0, 0, s, inf, nan}, {0, 1, 1, 1, 1, inf, nan})
TAPIR_CURVE(Sqrt, sqrt(x), {nan, nan, -0.0, 0, std::sqrt(s), inf, nan}, {nan, nan, -inf, inf, 0.5 / std::sqrt(s), 0, nan})
TAPIR_CURVE(Rsqrt, rsqrt(x), {nan, nan, -inf, inf, 1 / std::sqrt(s), 0, nan},
            {nan, nan, -inf, -inf, -0.5 / std::sqrt(s) / s, -0.0, nan})
TAPIR_CURVE(Abs, abs(x), {inf, s, 0, 0, s, inf, nan}, {-1, -1, 0, 0, 1, 1, 0})
TAPIR_CURVE(Square, square(x), {inf, 0, 0, 0, 0, inf, nan}, {-inf, -2 * s, 0, 0, 2 * s, inf, nan})
TAPIR_CURVE(Reciprocal, reciprocal(x), {-0.0, -1 / s, -inf, inf, 1 / s, 0, nan},
            {0, -1 / s / s, -inf, -inf, -1 / s / s, 0, nan})
TAPIR_CURVE(Sin, sin(x), {nan, -s, -0.0, 0, s, nan, nan}, {nan, 1, 1, 1, 1, nan, nan})
TAPIR_CURVE(Cos, cos(x), {nan, 1, 1, 1, 1, nan, nan}, {nan, s, 0, 0, -s, nan, nan})
TAPIR_CURVE(Tanh, tanh(x), {-1, -s, -0.0, 0, s, 1, nan}, {0, 1, 1, 1, 1, 0, nan})
TAPIR_CURVE(Sigmoid, sigmoid(x), {0, 0.5, 0.5, 0.5, 0.5, 1, nan}, {0, 0.25, 0.25, 0.25, 0.25, 0, nan})
TAPIR_CURVE(Softplus, softplus(x), {0, M_LN2, M_LN2, M_LN2, M_LN2, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan})
TAPIR_CURVE(Relu, relu(x), {0, 0, 0, 0, s, inf, nan}, {0, 0, 0, 0, 1, 1, 0})
// −s/2 is a tie; Φ(−s) in float is the number after ½.
TAPIR_CURVE(Gelu, gelu(x), {0, s > 1e-300 ? -s : -0.0, -0.0, 0, 0, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan})
TAPIR_CURVE(GeluTanh, gelu_tanh(x), {0, -0.0, -0.0, 0, 0, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan},
            {{-1e30, 0, 0}, {1e30, 1e30, 1}})
TAPIR_CURVE(Silu, silu(x), {0, -0.0, -0.0, 0, 0, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan})
TAPIR_CURVE(Erf, erf(x), {-1, -s, -0.0, 0, s, 1, nan}, {0, M_2_SQRTPI, M_2_SQRTPI, M_2_SQRTPI, M_2_SQRTPI, 0, nan})
TAPIR_CURVE(LogSigmoid, log_sigmoid(x), {-inf, -M_LN2, -M_LN2, -M_LN2, -M_LN2, -0.0, nan}, {1, 0.5, 0.5, 0.5, 0.5, 0, nan})
TAPIR_CURVE(Mish, mish(x), {0, -s, -0.0, 0, s, inf, nan}, {0, 0.6, 0.6, 0.6, 0.6, 1, nan})
TAPIR_CURVE(LeakyRelu, leaky_relu(x, 0.25), {-inf, -0.0, -0.0, 0, s, inf, nan}, {0.25, 0.25, 0.25, 0.25, 1, 1, 0.25})
TAPIR_CURVE(Elu, elu(x, 2), {-2, -2 * s, -0.0, 0, s, inf, nan}, {0, 2, 2, 2, 1, 1, nan})
TAPIR_CURVE(Clamp, clamp(x, -1, 2), {-1, -s, -0.0, 0, s, 2, nan}, {0, 1, 1, 1, 1, 0, 1}, {{-1, -1, 1}, {2, 2, 1}})
// clang-format on

template <>
struct Boundary<Unary<scalar::Pow>> {
  static Cases cases(double s) {
    const auto p0 = [](const Tensor& x) { return pow(x, 0); };
    const auto p1 = [](const Tensor& x) { return pow(x, 1); };
    const auto p2 = [](const Tensor& x) { return pow(x, 2); };
    const auto p3 = [](const Tensor& x) { return pow(x, 3); };
    const auto half = [](const Tensor& x) { return pow(x, 0.5); };
    const auto minus1 = [](const Tensor& x) { return pow(x, -1); };
    const auto second = [](const Tensor& x) {  // d²/dx² x²
      const Tensor leaf = requires_grad(x.detach());
      return grad({sum(grad({sum(pow(leaf, 2))}, {leaf}, {}, {.create_graph = true})[0])}, {leaf})[0];
    };
    Cases cases = {curve(p0, s, {1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 0}, {}, "x⁰"),
                   curve(p1, s, {-inf, -s, -0.0, 0, s, inf, nan}, {1, 1, 1, 1, 1, 1, 1}, {{-2, -2, 1}}, "x¹"),
                   curve(p2, s, {inf, 0, 0, 0, 0, inf, nan}, {-inf, -2 * s, 0, 0, 2 * s, inf, nan}, {{-3, 9, -6}}, "x²"),
                   curve(p3, s, {-inf, -0.0, -0.0, 0, 0, inf, nan}, {inf, 0, 0, 0, 0, inf, nan}, {{-2, -8, 12}}, "x³"),
                   curve(half, s, {inf, nan, 0, 0, std::sqrt(s), inf, nan}, {0, nan, inf, inf, 0.5 / std::sqrt(s), 0, nan},
                         {{-1, nan, nan}}, "√x"),
                   curve(minus1, s, {-0.0, -1 / s, -inf, inf, 1 / s, 0, nan}, {-0.0, -inf, -inf, -inf, -inf, -0.0, nan},
                         {{-2, -0.5, -0.25}}, "1/x")};
    cases.push_back({"the second derivative of x²",
                     [=](const std::vector<Tensor>& in) { return second(in[0]); },
                     {{-2, -0.0, 0, s, 2}},
                     {2, 2, 2, 2, 2},
                     {{0, 0, 0, 0, 0}}});
    return cases;
  }
};

// ---- arithmetic ----------------------------------------------------------------------------------------------------

// f of one tensor, f of two
Case one(const std::string& label, Tensor (*f)(const Tensor&), const Input& x, const Values& y, const Values& dx,
         const Values& cotangent = {}) {
  return {label, [f](const std::vector<Tensor>& in) { return f(in[0]); }, {x}, y, {dx}, cotangent};
}

Case two(const std::string& label, Tensor (*f)(const Tensor&, const Tensor&), const Input& a, const Input& b,
         const Values& y, const Values& da, const Values& db) {
  return {label, [f](const std::vector<Tensor>& in) { return f(in[0], in[1]); }, {a, b}, y, {da, db}};
}

Tensor none(const Tensor& like) { return Tensor::zeros({}, like.dtype()); }
Tensor positive(const Tensor& x) {  // 1 where x > 0
  Tensor mask = Tensor::zeros(x.shape(), DType::u8);
  const std::vector<double> values = x.to(DType::f64).values<double>();
  for (int64_t i = 0; i < x.elements(); ++i) mask.data<uint8_t>()[i] = values[i] > 0;
  return mask;
}

template <>
struct Boundary<Identity> {
  static Cases cases(double s) {
    return {one("", identity, {-inf, -s, -0.0, 0, s, inf, nan}, {-inf, -s, -0.0, 0, s, inf, nan}, {1, 1, 1, 1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Add> {
  static Cases cases(double s) {
    return {two("", add, {inf, inf, -0.0, -0.0, s, nan}, {-inf, 1, 0, -0.0, -s, 1}, {nan, inf, 0, -0.0, 0, nan},
                {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Sub> {
  static Cases cases(double s) {
    return {two("", sub, {inf, inf, -0.0, 0, s, nan}, {inf, 1, 0, 0, s, 1}, {nan, inf, -0.0, 0, 0, nan}, {1, 1, 1, 1, 1, 1},
                {-1, -1, -1, -1, -1, -1})};
  }
};

template <>
struct Boundary<Mul> {
  static Cases cases(double s) {
    return {two("", mul, {0, inf, 0, s, nan}, {inf, 2, -1, 0.25, 0}, {nan, inf, -0.0, 0, nan}, {inf, 2, -1, 0.25, 0},
                {0, inf, 0, s, nan}),
            two("behind where", [](const Tensor& a, const Tensor& b) { return where(positive(a), mul(a, b), none(a)); },
                {0, 0, 2}, {inf, nan, 3}, {0, 0, 6}, {0, 0, 3}, {0, 0, 2})};
  }
};

template <>
struct Boundary<Div> {
  static Cases cases(double) {
    return {two("", div, {1, -1, 1, 0, 1, nan}, {0, 0, -0.0, 0, inf, 1}, {inf, -inf, -inf, nan, 0, nan},
                {inf, inf, -inf, inf, 0, 1}, {-inf, inf, -inf, nan, 0, nan}),
            two("behind where", [](const Tensor& a, const Tensor& b) { return where(positive(b), div(a, b), none(a)); },
                {0, 1, 6, nan}, {0, 0, 3, 0}, {0, 0, 2, 0}, {0, 0, 1.0 / 3, 0}, {0, 0, -2.0 / 3, 0})};
  }
};

template <>
struct Boundary<Affine> {
  static Cases cases(double s) {
    return {curve([](const Tensor& x) { return affine(x, 2, 0); }, s, {-inf, -2 * s, 0, 0, 2 * s, inf, nan},
                  {2, 2, 2, 2, 2, 2, 2})};
  }
};

template <>
struct Boundary<Maximum> {  // at NaN the second operand has the gradient
  static Cases cases(double s) {
    return {two("", maximum, {1, 0, inf, -inf, s, nan, 1}, {1, 0, inf, -inf, -s, 1, nan}, {1, 0, inf, -inf, s, nan, nan},
                {0.5, 0.5, 0.5, 0.5, 1, 0, 0}, {0.5, 0.5, 0.5, 0.5, 0, 1, 1})};
  }
};

template <>
struct Boundary<Minimum> {  // at NaN the first operand has the gradient
  static Cases cases(double s) {
    return {two("", minimum, {1, 0, inf, -inf, s, nan, 1}, {1, 0, inf, -inf, -s, 1, nan}, {1, 0, inf, -inf, -s, nan, nan},
                {0.5, 0.5, 0.5, 0.5, 0, 1, 1}, {0.5, 0.5, 0.5, 0.5, 1, 0, 0})};
  }
};

template <>
struct Boundary<Where> {  // hides what is infinite or NaN, and its derivative
  static Cases cases(double) {
    return {two("", [](const Tensor& a, const Tensor& b) { return where(positive(a), a, b); }, {inf, -inf, nan, 1},
                {nan, 2, inf, nan}, {inf, 2, inf, 1}, {1, 0, 0, 1}, {0, 1, 1, 0}),
            one("√0", [](const Tensor& x) { return where(positive(x), sqrt(x), none(x)); }, {0, 4, -1, nan}, {0, 2, 0, 0},
                {0, 0.25, 0, 0}),
            one("log 0", [](const Tensor& x) { return where(positive(x), log(x), none(x)); }, {0, 1, -1, nan}, {0, 0, 0, 0},
                {0, 1, 0, 0}),
            one("√0 of a product", [](const Tensor& x) { return where(positive(x), sqrt(mul(x, x)), none(x)); }, {0, 2},
                {0, 2}, {0, 1}),
            one("0^½", [](const Tensor& x) { return where(positive(x), pow(x, 0.5), none(x)); }, {0, 4, -1}, {0, 2, 0},
                {0, 0.25, 0})};
  }
};

template <>
struct Boundary<Chain> {
  static Cases cases(double) {
    return {two("", chain, {0, -0.0, 0, 1, nan}, {inf, nan, 2, inf, 0}, {0, 0, 0, inf, nan}, {inf, nan, 2, inf, 0},
                {0, 0, 0, 1, nan})};
  }
};

template <>
struct Boundary<Pow> {
  static Cases cases(double) {
    return {two("zeros", pow, {0, 0, 0, 0, 0, -0.0}, {0, 1, 2, 0.5, -1, 3}, {1, 0, 0, 0, inf, -0.0},
                {0, 1, 0, inf, -inf, 0}, {0, 0, 0, 0, -inf, 0}),
            two("negative base", pow, {-2, -2, -2, -1}, {2, 3, 0.5, inf}, {4, -8, nan, 1}, {-4, 12, nan, inf},
                {nan, nan, nan, nan}),
            two("NaN and ∞", pow, {nan, 1, nan, inf, inf}, {0, nan, 2, -1, 0}, {1, 1, nan, 0, 1}, {nan, nan, nan, -0.0, 0},
                {nan, 0, nan, 0, inf}),
            two("behind where", [](const Tensor& a, const Tensor& b) { return where(positive(a), pow(a, b), none(a)); },
                {0, 0, -1, 2}, {-1, 0.5, 0.5, 2}, {0, 0, 0, 4}, {0, 0, 0, 4}, {0, 0, 0, 4 * M_LN2})};
  }
};

// ---- matrix products: every product counts, also 0 · NaN; other rows and columns are untouched ----------------------

template <>
struct Boundary<Matmul> {
  static Cases cases(double) {
    return {
        two("", matmul, {{2, 2}, {nan, 1, 1, 2}}, {{2, 2}, {1, 0, 0, 1}}, {nan, nan, 1, 2}, {1, 1, 1, 1}, {nan, nan, 3, 3}),
        two("", matmul, {{2, 2}, {1, 0, 1, 2}}, {{2, 2}, {1, 3, inf, 1}}, {nan, 3, inf, 5}, {4, inf, 4, inf},
            {2, 2, 2, 2})};
  }
};

template <>
struct Boundary<Linear> {
  static Cases cases(double) {
    return {two("", linear, {{2, 2}, {1, 2, inf, 0}}, {{2, 2}, {1, 1, nan, 0}}, {3, nan, inf, nan}, {nan, 1, nan, 1},
                {inf, 2, inf, 2})};
  }
};

// ---- reductions ------------------------------------------------------------------------------------------------------

template <>
struct Boundary<Sum> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return sum(x, 1); }, {{4, 2}, {inf, -inf, nan, 1, -0.0, 0, s, s}},
                {nan, nan, 0, 2 * s}, {1, 1, 1, 1, 1, 1, 1, 1}),
            one("of none", [](const Tensor& x) { return sum(x); }, Input(Shape{0}, Values{}), {0}, {}),
            one("norm 1", [](const Tensor& x) { return norm(x, 1); }, {0, -0.0, s, -2}, {2}, {0, 0, 1, -1})};
  }
};

template <>
struct Boundary<SumTo> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return sum_to(x, {2}); }, {{2, 2}, {nan, 1, 2, inf}}, {nan, inf}, {1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Var> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return var(x, 1); }, {{4, 2}, {3, 3, nan, 1, 1, 3, inf, 1}}, {0, nan, 2, nan},
                {0, 0, nan, nan, -2, 2, nan, -inf})};
  }
};

template <>
struct Boundary<Extreme<1>> {  // NaN is the largest
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return max(x, 1); },
                {{6, 3}, {1, 1, 1, 0, -0.0, -1, nan, 1, 2, -inf, -inf, -inf, inf, 0, inf, -s, -1, s}},
                {1, 0, nan, -inf, inf, s},
                {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0, 0.5, 0, 0, 1}),
            one("NaN last", [](const Tensor& x) { return max(x); }, {1, 2, nan}, {nan}, {0, 0, 1}),
            one("norm ∞", [](const Tensor& x) { return norm(x, inf, 1); }, {{4, 2}, {0, -0.0, -1, 1, -inf, 0, nan, 1}},
                {0, 1, inf, nan}, {0, 0, -0.5, 0.5, -1, 0, 0, 0})};
  }
};

template <>
struct Boundary<Extreme<-1>> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return min(x, 1); },
                {{5, 3}, {1, 1, 1, 0, 0, 1, nan, 1, 2, inf, inf, inf, s, 1, -s}}, {1, 0, nan, inf, -s},
                {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0, 1})};
  }
};

template <>
struct Boundary<Norm> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return norm(x, 2, 1); }, {{5, 2}, {0, -0.0, s, 0, nan, 1, 3, -4, inf, 1}},
                {0, s, nan, 5, inf}, {0, 0, 1, 0, nan, nan, 0.6, -0.8, nan, 0}),
            one("of none", [](const Tensor& x) { return norm(x, 2); }, Input(Shape{0}, Values{}), {0}, {})};
  }
};

// ---- running totals: nothing before NaN feels it ----------------------------------------------------------------------

template <>
struct Boundary<CumSum> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return cumsum(x, 0); }, {1, nan, 2}, {1, nan, nan}, {3, 2, 1}),
            one("∞", [](const Tensor& x) { return cumsum(x, 0); }, {1, inf, -inf}, {1, inf, nan}, {3, 2, 1}),
            one("reverse", [](const Tensor& x) { return cumsum(x, 0, true); }, {1, nan, 2}, {nan, nan, 2}, {1, 2, 3})};
  }
};

template <>
struct Boundary<LogCumSumExp> {
  static Cases cases(double) {
    const auto f = [](const Tensor& x) { return logcumsumexp(x, 0); };
    return {one("−∞ alone", f, {-inf, -inf}, {-inf, -inf}, {0, 0}),
            one("−∞ first", f, {-inf, -inf, 0}, {-inf, -inf, 0}, {0, 0, 1}), one("−∞ last", f, {0, -inf}, {0, 0}, {2, 0}),
            one("∞", f, {-inf, 0, inf, 1}, {-inf, 0, inf, inf}, {0, 1, inf, 0}),
            one("NaN", f, {0, nan, 1}, {0, nan, nan}, {nan, nan, nan})};
  }
};

template <>
struct Boundary<LinearRecurrence> {
  static Cases cases(double) {
    return {two("", [](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 0); }, {0.5, 0.5, 0.5},
                {1, nan, 2}, {1, nan, nan}, {0, 1.5, nan}, {1.75, 1.5, 1}),
            two("cut by a = 0", [](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 0); }, {1, 0, 1},
                {1, 2, 3}, {1, 2, 5}, {0, 2, 2}, {1, 2, 1})};
  }
};

// ---- softmax and its kin: a row of −∞ has the weights 0 -----------------------------------------------------------------

template <>
struct Boundary<LogSumExp> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return logsumexp(x); }, {{5, 2}, {-inf, -inf, -inf, 1, inf, 0, nan, 0, 0, 0}},
                {-inf, 1, inf, nan, M_LN2}, {0, 0, 0, 1, inf, 0, nan, nan, 0.5, 0.5})};
  }
};

template <>
struct Boundary<Softmax> {
  static Cases cases(double) {
    const auto causal = [](const Tensor& x) {
      return softmax(reshape(x, {1, 1, 2, 2}), Mask{.causal = true, .offset = -1});
    };
    return {one("", [](const Tensor& x) { return softmax(x); }, {{4, 2}, {-inf, -inf, -inf, 1, nan, 0, 0, 0}},
                {0, 0, 0, 1, nan, nan, 0.5, 0.5}, {0, 0, 0, 0, nan, nan, -0.5, 0.5}, {1, 2, 1, 2, 1, 2, 1, 3}),
            one("masked row", causal, {nan, nan, 3, nan}, {0, 0, 1, 0}, {0, 0, 0, 0}, {1, 2, 3, 4})};
  }
};

template <>
struct Boundary<LogSoftmax> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return log_softmax(x); }, {{4, 2}, {-inf, -inf, -inf, 1, nan, 0, 0, 0}},
                {-inf, -inf, -inf, 0, nan, nan, -M_LN2, -M_LN2}, {1, 2, 1, -1, nan, nan, -1, 1}, {1, 2, 1, 2, 1, 2, 1, 3})};
  }
};

// ---- what moves elements moves every bit --------------------------------------------------------------------------------

template <>
struct Boundary<Reshape> {
  static Cases cases(double s) {
    return {one("",
                [](const Tensor& x) {
                  return reshape(x, {3, 2});
                },
                {nan, inf, -inf, -0.0, s, -s}, {nan, inf, -inf, -0.0, s, -s}, {1, 1, 1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Transpose> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return transpose(x); }, {{2, 2}, {nan, inf, -0.0, s}}, {nan, -0.0, inf, s},
                {1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Slice> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return slice(x, 0, 1, 2); }, {nan, -0.0, inf, nan}, {-0.0, inf}, {0, 1, 1, 0})};
  }
};

template <>
struct Boundary<Pad> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return pad(x, 0, 1, 1); }, {nan, -0.0, inf}, {0, nan, -0.0, inf, 0}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Expand> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return expand(x, {2, 2}); }, {nan, -0.0}, {nan, -0.0, nan, -0.0}, {2, 2})};
  }
};

template <>
struct Boundary<Concat> {
  static Cases cases(double) {
    const auto join = [](const Tensor& a, const Tensor& b) { return concat({a, b}, 0); };
    return {two("", join, {nan, -0.0}, {inf}, {nan, -0.0, inf}, {1, 1}, {1})};
  }
};

template <>
struct Boundary<Flip> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return flip(x, 0); }, {nan, -0.0, inf}, {inf, -0.0, nan}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Tril> {  // what is cut away is 0, NaN or not
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return tril(x); }, {{2, 2}, {nan, nan, inf, -0.0}}, {nan, 0, inf, -0.0},
                {1, 0, 1, 1})};
  }
};

template <>
struct Boundary<Triu> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return triu(x); }, {{2, 2}, {nan, inf, nan, -0.0}}, {nan, inf, 0, -0.0},
                {1, 1, 0, 1})};
  }
};

// ---- elements and rows by index -----------------------------------------------------------------------------------------

template <>
struct Boundary<Embedding> {
  static Cases cases(double) {
    return {one("",
                [](const Tensor& x) {
                  return embedding(x, Tensor::from(std::vector<int32_t>{2, 0, 2}));
                },
                {{3, 1}, {-0.0, nan, inf}}, {inf, -0.0, inf}, {1, 0, 2})};
  }
};

template <>
struct Boundary<ScatterRows> {
  static Cases cases(double) {
    return {one("",
                [](const Tensor& x) {
                  return scatter_rows(x, Tensor::from(std::vector<int32_t>{2, 0, 2}), 3);
                },
                {{3, 1}, {inf, nan, -inf}}, {nan, 0, nan}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Gather> {
  static Cases cases(double) {
    const auto pick = [](const Tensor& x) { return gather(x, 0, Tensor::from(std::vector<int32_t>{2, 0, 2})); };
    const auto sorted = [](const Tensor& x) { return sort(x).values; };
    return {one("", pick, {-0.0, nan, inf}, {inf, -0.0, inf}, {1, 0, 2}),
            one("sorted: NaN is the largest", sorted, {nan, inf, -inf, 1}, {-inf, 1, inf, nan}, {4, 3, 1, 2},
                {1, 2, 3, 4})};
  }
};

template <>
struct Boundary<ScatterAdd> {
  static Cases cases(double) {
    const auto add_at = [](const Tensor& base, const Tensor& source) {
      return scatter_add(base, 0, Tensor::from(std::vector<int32_t>{2, 0, 2}), source);
    };
    return {two("", add_at, {1, 2, 0}, {inf, nan, -inf}, {nan, 2, nan}, {1, 1, 1}, {1, 1, 1})};
  }
};

// ---- layers -------------------------------------------------------------------------------------------------------------

template <>
struct Boundary<LayerNorm> {  // a constant row is its bias, without a gradient through it
  static Cases cases(double) {
    return {{"",
             [](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2]); },
             {{{2, 2}, {3, 3, nan, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, -0.5, nan, nan},
             {{0, 0, nan, nan}, {nan, nan}, {2, 2}}}};
  }
};

template <>
struct Boundary<GroupNorm> {
  static Cases cases(double) {
    return {{"",
             [](const std::vector<Tensor>& in) { return group_norm(in[0], 1, in[1], in[2]); },
             {{{2, 2}, {3, 3, nan, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, -0.5, nan, nan},
             {{0, 0, nan, nan}, {nan, nan}, {2, 2}}}};
  }
};

template <>
struct Boundary<BatchNorm> {  // NaN stays in its channel
  static Cases cases(double) {
    return {{"",
             [](const std::vector<Tensor>& in) { return batch_norm(in[0], in[1], in[2]).y; },
             {{{2, 2}, {3, nan, 3, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, nan, 0.5, nan},
             {{0, nan, 0, nan}, {0, nan}, {2, 2}}}};
  }
};

template <>
struct Boundary<RmsNorm> {  // a row of zeros: r = 1/√ε = 1000
  static Cases cases(double) {
    return {two("", [](const Tensor& x, const Tensor& weight) { return rms_norm(x, weight); }, {{2, 2}, {0, 0, nan, 1}},
                {1, 2}, {0, 0, nan, nan}, {1000, 2000, nan, nan}, {nan, nan})};
  }
};

template <>
struct Boundary<Dropout> {  // a dropped element is 0, NaN or not
  static Cases cases(double) {
    const auto drop = [](const Tensor& x) { return dropout(x, 0.5, {.seed = 1}); };
    const std::vector<double> kept = drop(Tensor::full({7}, 1, DType::f64)).values<double>();
    Values x = {nan, nan, nan, nan, inf, -inf, -0.0}, y, dx;
    for (size_t i = 0; i < x.size(); ++i) {
      y.push_back(kept[i] == 0 ? 0 : 2 * x[i]);
      dx.push_back(kept[i]);
    }
    return {one("", drop, x, y, dx)};
  }
};

template <>
struct Boundary<CrossEntropy> {
  static Cases cases(double) {
    const auto loss = [](const Tensor& x) { return cross_entropy(x, Tensor::from(std::vector<int32_t>{1, -1, 0})); };
    return {one("a class of probability 0, and a row that does not count", loss, {{3, 2}, {-inf, 0, nan, nan, 7, 7}},
                {M_LN2}, {0, 0, 0, 0, -0.5, 0.5}),
            one("the target has probability 0",
                [](const Tensor& x) { return cross_entropy(x, Tensor::from(std::vector<int32_t>{0})); },
                {{1, 2}, {-inf, 0}}, {inf}, {-1, 1})};
  }
};

template <>
struct Boundary<PairLoss<loss::SquaredError>> {
  static Cases cases(double) {
    return {two("", squared_error, {3, -0.0, 2}, {3, 0, inf}, {inf}, {0, 0, -inf}, {0, 0, inf}),
            two("NaN", squared_error, {nan, 1}, {1, 1}, {nan}, {nan, 0}, {nan, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::L1>> {
  static Cases cases(double) {
    return {two("", l1, {1, 1, inf, -0.0}, {1, 3, 0, 0}, {inf}, {0, -1, 1, 0}, {0, 1, -1, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::SmoothL1>> {
  static Cases cases(double) {
    return {two("", [](const Tensor& x, const Tensor& t) { return smooth_l1(x, t); }, {0, 2, -inf, 0.5}, {0, 0, 0, 0},
                {inf}, {0, 1, -1, 0.5}, {0, -1, 1, -0.5})};
  }
};

template <>
struct Boundary<PairLoss<loss::BceWithLogits>> {  // a right answer of any certainty costs nothing
  static Cases cases(double) {
    return {two("", bce_with_logits, {inf, -inf, 0}, {1, 0, 0.5}, {M_LN2}, {0, 0, 0}, {-inf, inf, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::KlDiv>> {
  static Cases cases(double) {
    return {two("", kl_div, {-inf, 0, 0}, {0, 0, 1}, {0}, {0, 0, -1}, {0, 0, 1})};
  }
};

// ---- attention: a row of scores 0 has no mass, and answers with 0 ------------------------------------------------------

template <>
struct Boundary<ExpressiveWeights> {
  static Cases cases(double) {
    return {one("", [](const Tensor& z) { return expressive_weights(z, {}, false); }, {{1, 1, 2, 2}, {0, -0.0, 1, 1}},
                {0, 0, 0.5, 0.5}, {0, 0, -0.5, 0.5}, {1, 2, 1, 3})};
  }
};

// ---- the judgement ------------------------------------------------------------------------------------------------------

template <class... Ops>
Cases cases_of(OpList<Ops...>, double s) {
  Cases all;
  (void)std::initializer_list<int>{[&] {
    for (Case& c : Boundary<Ops>::cases(s)) all.push_back(std::move(c));
    return 0;
  }()...};
  return all;
}

// The same to the rounding of the type; a result below half of the smallest subnormal number may be 0. NaN is NaN.
bool agrees(double value, double expected, double epsilon, double s) {
  if (std::isnan(expected)) return std::isnan(value);
  return value == expected || std::fabs(value - expected) <= 8 * epsilon * std::fabs(expected) ||
         (std::fabs(expected) < s && value == 0);
}

template <class T>
void judge(const Case& c) {
  using Limits = std::numeric_limits<T>;
  const auto tensor = [](const Input& input) {
    std::vector<T> values;
    for (const double value : input.values) values.push_back(static_cast<T>(value));
    return Tensor::from(values, input.shape);
  };
  std::vector<Tensor> leaves;
  for (const Input& input : c.inputs) leaves.push_back(requires_grad(tensor(input)));
  const Tensor y = c.call(leaves);
  const auto check = [&](const std::string& what, const Tensor& result, const Values& expected, bool signs) {
    const std::vector<double> values = result.to(DType::f64).template values<double>();
    INFO(std::string(y.node ? y.node->name : ""), ", ", c.label, ", ",
         std::string(dtype_of<T>() == DType::f32 ? "f32" : "f64"), ", ", what);
    REQUIRE(values.size() == expected.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const double wanted = static_cast<double>(static_cast<T>(expected[i]));
      INFO("element ", i, " is ", values[i], ", expected ", wanted);
      CHECK(agrees(values[i], wanted, Limits::epsilon(), Limits::denorm_min()));
      if (signs && wanted == 0) CHECK(std::signbit(values[i]) == std::signbit(expected[i]));
    }
  };
  check("value", y, c.y, true);
  const Tensor u = c.cotangent.empty() ? Tensor::full(y.shape(), 1, y.dtype()) : reshape(tensor(c.cotangent), y.shape());
  for (const bool graph : {false, true}) {
    const std::vector<Tensor> gradients = grad({y}, leaves, {u}, {.retain = true, .create_graph = graph});
    for (size_t i = 0; i < gradients.size(); ++i)
      check(text("gradient ", i, graph ? " with a graph" : ""), gradients[i], c.gradients[i], false);
  }
}

}  // namespace

TEST_CASE("boundary: values and sub-gradients of every op at 0, −0, subnormal numbers, ±∞, NaN and ties") {
  for (const Case& c : cases_of(AllOps{}, std::numeric_limits<float>::denorm_min())) judge<float>(c);
  for (const Case& c : cases_of(AllOps{}, std::numeric_limits<double>::denorm_min())) judge<double>(c);
  for (const Case& c : cases_of(OpList<ExpressiveWeights>{}, 0)) judge<float>(c), judge<double>(c);
}

// The boundary set: what every op makes of 0, −0, subnormal, very small and very large numbers, ±∞, NaN and ties: the value,
// the (sub-)gradient that ops.h names, and second derivatives. Here: what a case is, functions of one number, arithmetic. The
// others are in boundary_ops.h and boundary_layers.h; functions of one number at all sizes are in exact_functions.h.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "autograd/backward.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"

namespace tapir::boundary {

inline constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
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
  std::vector<Values> curvature{}, directions{};

  // H v: the derivatives of Σ ⟨v, gradient⟩ over all inputs, for each input. v: directions, none: ones. A case that does not
  // say it says 0.
  Case second(std::vector<Values> H_v, std::vector<Values> v = {}) const {
    Case c = *this;
    c.curvature = std::move(H_v);
    c.directions = std::move(v);
    return c;
  }
};

using Cases = std::vector<Case>;

// Not defined: an op of AllOps without its cases, as `static Cases cases(double s)`, does not compile. s is the smallest
// subnormal number of the type.
template <class Op>
struct Boundary;

// Powers of two of the type of s: the smallest normal number, its root, and about the largest and its root.
struct Sizes {
  double small, root_small, root_large, large;
  explicit Sizes(double s)
      : small(std::ldexp(1, s > 0x1p-200 ? -126 : -1022)), root_small(std::sqrt(small)), root_large(1 / root_small),
        large(1 / small) {}
};

// ---- functions of one number: y, y′ and y″ at −∞, −s, −0, 0, s, ∞, NaN, then at points of their own ------------------

struct Point {
  double x, y, slope, second;
};

inline Case curve(Tensor (*f)(const Tensor&), double s, Values y, Values slopes, Values seconds,
                  const std::vector<Point>& more = {}, const std::string& label = "") {
  REQUIRE(y.size() == 7);
  REQUIRE(slopes.size() == 7);
  REQUIRE(seconds.size() == 7);
  Values x = {-inf, -s, -0.0, 0.0, s, inf, nan};
  for (const Point& point : more) {
    x.push_back(point.x);
    y.push_back(point.y);
    slopes.push_back(point.slope);
    seconds.push_back(point.second);
  }
  const Case values{label, [f](const std::vector<Tensor>& in) { return f(in[0]); }, {x}, y, {slopes}};
  return values.second({seconds});
}

#define TAPIR_CURVE(Name, call, ...)                                        \
  template <>                                                               \
  struct Boundary<Unary<scalar::Name>> {                                    \
    static Cases cases(double s) {                                          \
      return {curve([](const Tensor& x) { return call; }, s, __VA_ARGS__)}; \
    }                                                                       \
  };

// clang-format off
TAPIR_CURVE(Neg, neg(x), {inf, s, 0.0, -0.0, -s, -inf, nan}, {-1, -1, -1, -1, -1, -1, -1}, {0, 0, 0, 0, 0, 0, 0})
TAPIR_CURVE(Exp, exp(x), {0, 1, 1, 1, 1, inf, nan}, {0, 1, 1, 1, 1, inf, nan}, {0, 1, 1, 1, 1, inf, nan})
TAPIR_CURVE(Log, log(x), {nan, nan, -inf, -inf, std::log(s), inf, nan}, {-0.0, -1 / s, -inf, inf, 1 / s, 0, nan},
            {0, -inf, -inf, -inf, -inf, 0, nan})
TAPIR_CURVE(Log1p, log1p(x), {nan, -s, -0.0, 0, s, inf, nan}, {-0.0, 1, 1, 1, 1, 0, nan}, {0, -1, -1, -1, -1, 0, nan},
            {{-1, -inf, inf, -inf}, {-2, nan, -1, -1}})
TAPIR_CURVE(Expm1, expm1(x), {-1, -s, -0.0, 0, s, inf, nan}, {0, 1, 1, 1, 1, inf, nan}, {0, 1, 1, 1, 1, inf, nan})
TAPIR_CURVE(Sqrt, sqrt(x), {nan, nan, -0.0, 0, std::sqrt(s), inf, nan}, {nan, nan, -inf, inf, 0.5 / std::sqrt(s), 0, nan},
            {nan, nan, inf, -inf, -0.25 / std::sqrt(s) / s, 0, nan})
TAPIR_CURVE(Rsqrt, rsqrt(x), {nan, nan, -inf, inf, 1 / std::sqrt(s), 0, nan},
            {nan, nan, inf, -inf, -0.5 / std::sqrt(s) / s, -0.0, nan}, {nan, nan, -inf, inf, inf, 0, nan})
TAPIR_CURVE(Abs, abs(x), {inf, s, 0, 0, s, inf, nan}, {-1, -1, 0, 0, 1, 1, 0}, {0, 0, 0, 0, 0, 0, 0})
TAPIR_CURVE(Square, square(x), {inf, 0, 0, 0, 0, inf, nan}, {-inf, -2 * s, 0, 0, 2 * s, inf, nan}, {2, 2, 2, 2, 2, 2, 2})
TAPIR_CURVE(Reciprocal, reciprocal(x), {-0.0, -1 / s, -inf, inf, 1 / s, 0, nan},
            {0, -1 / s / s, -inf, -inf, -1 / s / s, 0, nan}, {0, -inf, -inf, inf, inf, 0, nan})
TAPIR_CURVE(Sin, sin(x), {nan, -s, -0.0, 0, s, nan, nan}, {nan, 1, 1, 1, 1, nan, nan}, {nan, s, 0, 0, -s, nan, nan})
TAPIR_CURVE(Cos, cos(x), {nan, 1, 1, 1, 1, nan, nan}, {nan, s, 0, 0, -s, nan, nan}, {nan, -1, -1, -1, -1, nan, nan})
TAPIR_CURVE(Tanh, tanh(x), {-1, -s, -0.0, 0, s, 1, nan}, {0, 1, 1, 1, 1, 0, nan}, {0, 2 * s, 0, 0, -2 * s, 0, nan})
TAPIR_CURVE(Sigmoid, sigmoid(x), {0, 0.5, 0.5, 0.5, 0.5, 1, nan}, {0, 0.25, 0.25, 0.25, 0.25, 0, nan},
            {0, 0, 0, 0, 0, 0, nan})
TAPIR_CURVE(Softplus, softplus(x), {0, M_LN2, M_LN2, M_LN2, M_LN2, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan},
            {0, 0.25, 0.25, 0.25, 0.25, 0, nan})
TAPIR_CURVE(Relu, relu(x), {0, 0, 0, 0, s, inf, nan}, {0, 0, 0, 0, 1, 1, 0}, {0, 0, 0, 0, 0, 0, 0})
// −s/2 is a tie; Φ(−s) in float is the number after ½.
TAPIR_CURVE(Gelu, gelu(x), {-0.0, -0.0, -0.0, 0, 0, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan},
            {0, M_2_SQRTPI * M_SQRT1_2, M_2_SQRTPI * M_SQRT1_2, M_2_SQRTPI * M_SQRT1_2, M_2_SQRTPI * M_SQRT1_2, 0, nan})
TAPIR_CURVE(GeluTanh, gelu_tanh(x), {0, -0.0, -0.0, 0, 0, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan},
            {0, M_2_SQRTPI * M_SQRT1_2, M_2_SQRTPI * M_SQRT1_2, M_2_SQRTPI * M_SQRT1_2, M_2_SQRTPI * M_SQRT1_2, 0, nan})
TAPIR_CURVE(Silu, silu(x), {0, -0.0, -0.0, 0, 0, inf, nan}, {0, 0.5, 0.5, 0.5, 0.5, 1, nan}, {0, 0.5, 0.5, 0.5, 0.5, 0, nan})
TAPIR_CURVE(Erf, erf(x), {-1, -s, -0.0, 0, s, 1, nan}, {0, M_2_SQRTPI, M_2_SQRTPI, M_2_SQRTPI, M_2_SQRTPI, 0, nan},
            {0, 2 * s, 0, 0, -2 * s, 0, nan})
TAPIR_CURVE(LogSigmoid, log_sigmoid(x), {-inf, -M_LN2, -M_LN2, -M_LN2, -M_LN2, -0.0, nan}, {1, 0.5, 0.5, 0.5, 0.5, 0, nan},
            {0, -0.25, -0.25, -0.25, -0.25, 0, nan})
TAPIR_CURVE(Mish, mish(x), {0, -s, -0.0, 0, s, inf, nan}, {0, 0.6, 0.6, 0.6, 0.6, 1, nan},
            {0, 0.64, 0.64, 0.64, 0.64, 0, nan})
TAPIR_CURVE(LeakyRelu, leaky_relu(x, 0.25), {-inf, -0.0, -0.0, 0, s, inf, nan}, {0.25, 0.25, 0.25, 0.25, 1, 1, 0.25},
            {0, 0, 0, 0, 0, 0, 0})
TAPIR_CURVE(Elu, elu(x, 2), {-2, -2 * s, -0.0, 0, s, inf, nan}, {0, 2, 2, 2, 1, 1, nan}, {0, 2, 2, 2, 0, 0, nan})
TAPIR_CURVE(Clamp, clamp(x, -1, 2), {-1, -s, -0.0, 0, s, 2, nan}, {0, 1, 1, 1, 1, 0, 1}, {0, 0, 0, 0, 0, 0, 0},
            {{-1, -1, 1, 0}, {2, 2, 1, 0}})
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
    return {curve(p0, s, {1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0}, {}, "x⁰"),
            curve(p1, s, {-inf, -s, -0.0, 0, s, inf, nan}, {1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 0}, {{-2, -2, 1, 0}},
                  "x¹"),
            curve(p2, s, {inf, 0, 0, 0, 0, inf, nan}, {-inf, -2 * s, 0, 0, 2 * s, inf, nan}, {2, 2, 2, 2, 2, 2, 2},
                  {{-3, 9, -6, 2}}, "x²"),
            curve(p3, s, {-inf, -0.0, -0.0, 0, 0, inf, nan}, {inf, 0, 0, 0, 0, inf, nan},
                  {-inf, -6 * s, 0, 0, 6 * s, inf, nan}, {{-2, -8, 12, -12}}, "x³"),
            curve(half, s, {inf, nan, 0, 0, std::sqrt(s), inf, nan}, {0, nan, inf, inf, 0.5 / std::sqrt(s), 0, nan},
                  {0, nan, -inf, -inf, -inf, 0, nan}, {{-1, nan, nan, nan}}, "√x"),
            curve(minus1, s, {-0.0, -1 / s, -inf, inf, 1 / s, 0, nan}, {-0.0, -inf, -inf, -inf, -inf, -0.0, nan},
                  {0, -inf, -inf, inf, inf, 0, nan}, {{-2, -0.5, -0.25, -0.25}}, "1/x")};
  }
};

// ---- arithmetic ----------------------------------------------------------------------------------------------------

// f of one tensor, f of two
inline Case one(const std::string& label, Tensor (*f)(const Tensor&), const Input& x, const Values& y, const Values& dx,
         const Values& cotangent = {}) {
  return {label, [f](const std::vector<Tensor>& in) { return f(in[0]); }, {x}, y, {dx}, cotangent};
}

inline Case two(const std::string& label, Tensor (*f)(const Tensor&, const Tensor&), const Input& a, const Input& b,
         const Values& y, const Values& da, const Values& db) {
  return {label, [f](const std::vector<Tensor>& in) { return f(in[0], in[1]); }, {a, b}, y, {da, db}};
}

inline Tensor none(const Tensor& like) { return Tensor::zeros({}, like.dtype()); }
inline Tensor positive(const Tensor& x) {  // 1 where x > 0
  std::vector<uint8_t> mask;
  for (const double value : x.detach().to(DType::f64).values<double>()) mask.push_back(value > 0);
  return Tensor::from(mask, x.shape());
}

inline Cases same_values(Tensor (*f)(const Tensor&), double s) {
  const double L = Sizes(s).large;
  return {one("", f, {-inf, -L, -s, -0.0, 0, s, L, inf, nan}, {-inf, -L, -s, -0.0, 0, s, L, inf, nan},
              {1, 1, 1, 1, 1, 1, 1, 1, 1})};
}

template <>
struct Boundary<Identity> {
  static Cases cases(double s) { return same_values(identity, s); }
};

template <>
struct Boundary<Contiguous> {
  static Cases cases(double s) { return same_values(contiguous, s); }
};

template <>
struct Boundary<Copy> {
  static Cases cases(double s) { return same_values(copy, s); }
};

template <>
struct Boundary<To> {
  static Cases cases(double s) {
    return same_values([](const Tensor& x) { return to(x, DType::f64); }, s);
  }
};

template <>
struct Boundary<Add> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {two("", add, {inf, inf, -0.0, -0.0, s, L, L, nan}, {-inf, 1, 0, -0.0, -s, -L, s, 1},
                {nan, inf, 0, -0.0, 0, 0, L, nan}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Sub> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {two("", sub, {inf, inf, -0.0, 0, s, L, L, nan}, {inf, 1, 0, 0, s, L, -L, 1}, {nan, inf, -0.0, 0, 0, 0, 2 * L, nan},
                {1, 1, 1, 1, 1, 1, 1, 1}, {-1, -1, -1, -1, -1, -1, -1, -1})};
  }
};

template <>
struct Boundary<Mul> {
  static Cases cases(double s) {
    const Sizes t(s);
    return {two("", mul, {0, inf, 0, s, nan}, {inf, 2, -1, 0.25, 0}, {nan, inf, -0.0, 0, nan}, {inf, 2, -1, 0.25, 0},
                {0, inf, 0, s, nan}).second({{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}}),
            two("sizes", mul, {t.large, t.large, t.root_large, t.root_small, s},
                {t.small, t.large, t.root_large, t.root_small, t.large}, {1, inf, t.large, t.small, s * t.large}, {t.small, t.large, t.root_large, t.root_small, t.large},
                {t.large, t.large, t.root_large, t.root_small, s}).second({{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}}),
            two("behind where", [](const Tensor& a, const Tensor& b) { return where(positive(a), mul(a, b), none(a)); },
                {0, 0, 2}, {inf, nan, 3}, {0, 0, 6}, {0, 0, 3}, {0, 0, 2}).second({{0, 0, 1}, {0, 0, 1}})};
  }
};

template <>
struct Boundary<Div> {   // H v, by a and by b: for v = (1, 0) it is 0 and −1/b², for v = (0, 1) −1/b² and 2a/b³
  static Cases cases(double s) {
    const Sizes t(s);
    const Case ends = two("", div, {1, -1, 1, 0, 1, nan}, {0, 0, -0.0, 0, inf, 1}, {inf, -inf, -inf, nan, 0, nan},
                          {inf, inf, -inf, inf, 0, 1}, {-inf, inf, -inf, nan, 0, nan});
    const Values none6(6, 0), all6(6, 1), none5(5, 0), all5(5, 1);
    const Case sizes = two("sizes", div, {t.large, t.large, t.small, t.small, t.root_small},
                           {t.large, t.root_large, t.small, t.root_small, t.root_large},
                           {1, t.root_large, 1, t.root_small, t.small},
                           {t.small, t.root_small, t.large, t.root_large, t.root_small},
                           {-t.small, -1, -t.large, -1, -t.small * t.root_small});
    return {ends.second({none6, {-inf, -inf, -inf, -inf, 0, -1}}, {all6, none6}),
            ends.second({{-inf, -inf, -inf, -inf, 0, -1}, {inf, -inf, -inf, nan, 0, nan}}, {none6, all6}),
            sizes.second({none5, {0, -t.small, -inf, -t.large, -t.small}}, {all5, none5}),
            sizes.second({{0, -t.small, -inf, -t.large, -t.small}, {0, 2 * t.root_small, inf, 2 * t.root_large, 0}},
                         {none5, all5}),
            two("behind where", [](const Tensor& a, const Tensor& b) { return where(positive(b), div(a, b), none(a)); },
                {0, 1, 6, nan}, {0, 0, 3, 0}, {0, 0, 2, 0}, {0, 0, 1.0 / 3, 0}, {0, 0, -2.0 / 3, 0})
                .second({{0, 0, -1.0 / 9, 0}, {0, 0, 1.0 / 3, 0}})};
  }
};

template <>
struct Boundary<Affine> {
  static Cases cases(double s) {
    const Sizes t(s);
    return {curve([](const Tensor& x) { return affine(x, 2, 0); }, s, {-inf, -2 * s, 0, 0, 2 * s, inf, nan},
                  {2, 2, 2, 2, 2, 2, 2}, {0, 0, 0, 0, 0, 0, 0}, {{t.large, 2 * t.large, 2, 0}, {t.small, 2 * t.small, 2, 0}})};
  }
};

template <>
struct Boundary<Maximum> {  // at NaN the second operand has the gradient
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {two("", maximum, {1, 0, inf, -inf, s, nan, 1, L, -L}, {1, 0, inf, -inf, -s, 1, nan, L, L},
                {1, 0, inf, -inf, s, nan, nan, L, L}, {0.5, 0.5, 0.5, 0.5, 1, 0, 0, 0.5, 0},
                {0.5, 0.5, 0.5, 0.5, 0, 1, 1, 0.5, 1})};
  }
};

template <>
struct Boundary<Minimum> {  // at NaN the first operand has the gradient
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {two("", minimum, {1, 0, inf, -inf, s, nan, 1, L, -L}, {1, 0, inf, -inf, -s, 1, nan, L, L},
                {1, 0, inf, -inf, -s, nan, nan, L, -L}, {0.5, 0.5, 0.5, 0.5, 0, 1, 1, 0.5, 1},
                {0.5, 0.5, 0.5, 0.5, 1, 0, 0, 0.5, 0})};
  }
};

template <>
struct Boundary<Where> {  // hides what is infinite or NaN, and its derivatives
  static Cases cases(double) {
    return {two("", [](const Tensor& a, const Tensor& b) { return where(positive(a), a, b); }, {inf, -inf, nan, 1},
                {nan, 2, inf, nan}, {inf, 2, inf, 1}, {1, 0, 0, 1}, {0, 1, 1, 0}),
            one("√0", [](const Tensor& x) { return where(positive(x), sqrt(x), none(x)); }, {0, 4, -1, nan}, {0, 2, 0, 0},
                {0, 0.25, 0, 0}).second({{0, -1.0 / 32, 0, 0}}),
            one("log 0", [](const Tensor& x) { return where(positive(x), log(x), none(x)); }, {0, 1, -1, nan}, {0, 0, 0, 0},
                {0, 1, 0, 0}).second({{0, -1, 0, 0}}),
            one("√0 of a product", [](const Tensor& x) { return where(positive(x), sqrt(mul(x, x)), none(x)); }, {0, 2},
                {0, 2}, {0, 1}),
            one("0^½", [](const Tensor& x) { return where(positive(x), pow(x, 0.5), none(x)); }, {0, 4, -1}, {0, 2, 0},
                {0, 0.25, 0}).second({{0, -1.0 / 32, 0}})};
  }
};

template <>
struct Boundary<Chain> {
  static Cases cases(double) {
    return {two("", chain, {0, -0.0, 0, 1, nan, -inf}, {inf, nan, 2, inf, 0, 0}, {0, 0, 0, inf, nan, 0},
                {inf, nan, 2, inf, 0, 0}, {0, 0, 0, 1, nan, -inf}).second({{1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}}),
            one("x √x behind where", [](const Tensor& x) { return where(positive(x), mul(x, sqrt(x)), none(x)); }, {0, -1, 4},
                {0, 0, 8}, {0, 0, 3}).second({{0, 0, 0.375}}),
            two("a root times 0", [](const Tensor& a, const Tensor& b) {
                  return mul(a, mul(to(Tensor::from(Values{0, 1}), b.dtype()), sqrt(b)));
                }, {2, 3}, {0, 4}, {0, 6}, {0, 2}, {0, 0.75}).second({{0, 0.25}, {0, 0.15625}})};
  }
};

template <>
struct Boundary<Pow> {   // H v, by a and by b, for v = (1, 0) and (0, 1)
  static Cases cases(double s) {
    const Sizes t(s);
    const Values none4(4, 0), all4(4, 1), none5(5, 0), all5(5, 1), none6(6, 0), all6(6, 1), nan4(4, nan);
    const Case zeros = two("zeros", pow, {0, 0, 0, 0, 0, -0.0}, {0, 1, 2, 0.5, -1, 3}, {1, 0, 0, 0, inf, -0.0},
                           {0, 1, 0, inf, -inf, 0}, {0, 0, 0, 0, -inf, 0});
    const Case negative = two("negative base", pow, {-2, -2, -2, -1}, {2, 3, 0.5, inf}, {4, -8, nan, 1},
                              {-4, 12, nan, -inf}, nan4);
    const Case ends = two("NaN and ∞", pow, {nan, 1, nan, inf, inf}, {0, nan, 2, -1, 0}, {1, 1, nan, 0, 1},
                          {0, nan, nan, -0.0, 0}, {nan, 0, nan, 0, inf});
    const double ln = std::log(t.large), ln_root = std::log(t.root_large);
    const Case sizes = two("sizes", pow, {t.root_large, t.large, t.root_small, t.small}, {3, 0.5, -2, 1},
                           {inf, t.root_large, t.large, t.small}, {3 * t.large, t.root_small / 2, -inf, 1},
                           {inf, t.root_large * ln, -t.large * ln_root, -t.small * ln});
    return {zeros.second({{0, 0, 2, -inf, inf, 0}, {inf, -inf, 0, -inf, inf, 0}}, {all6, none6}),
            zeros.second({{0, 0, 0, 0, inf, 0}, {0, 0, 0, 0, inf, 0}}, {none6, all6}),
            negative.second({{2, -12, nan, inf}, nan4}, {all4, none4}),
            negative.second({nan4, nan4}, {none4, all4}),
            ends.second({{0, nan, 2, 0, 0}, {nan, nan, nan, 0, 0}}, {all5, none5}),
            ends.second({{nan, 1, nan, 0, 0}, {nan, 0, nan, 0, inf}}, {none5, all5}),
            sizes.second({{6 * t.root_large, -t.root_small / t.large / 4, inf, 0},
                          {t.large * (1 + 3 * ln_root), t.root_small * (1 + ln / 2), inf, 1 - ln}}, {all4, none4}),
            sizes.second({{inf, t.root_small * (1 + ln / 2), inf, 1 - ln},
                          {inf, t.root_large * ln * ln, t.large * ln_root * ln_root, t.small * ln * ln}}, {none4, all4}),
            two("behind where", [](const Tensor& a, const Tensor& b) { return where(positive(a), pow(a, b), none(a)); },
                {0, 0, -1, 2}, {-1, 0.5, 0.5, 2}, {0, 0, 0, 4}, {0, 0, 0, 4}, {0, 0, 0, 4 * M_LN2})
                .second({{0, 0, 0, 4 * M_LN2 + 4}, {0, 0, 0, 4 * M_LN2 * M_LN2 + 2 + 4 * M_LN2}})};
  }
};

}  // namespace tapir::boundary

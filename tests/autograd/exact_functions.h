// The functions of one number from their formulas, in higher precision and with libm, which tensor/ does not use: f, f′ and f″.
// Squares and cubes of all numbers of the type below are in the range of W.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"

namespace tapir::exact {

template <class W>
struct Derivatives {
  W f, df, d2f;
};

template <class W>
struct Curve {
  std::string name;
  std::function<Tensor(const Tensor&)> call;
  std::function<Derivatives<W>(W)> at;
};

// Not defined: a function of AllOps without its row does not compile. curves<W>() has one curve for each choice of parameters.
template <class F>
struct Exact;

template <class W> inline constexpr W pi = W(3.1415926535897932384626433832795029L);
template <class W> W logistic(W x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }   // σ
template <class W> W logistic_slope(W x) { return logistic(x) * logistic(-x); }                                    // σ′
template <class W> W logistic_second(W x) { return -logistic_slope(x) * std::tanh(x / 2); }                        // σ″
template <class W> W softplus(W x) { return std::fmax(x, W(0)) + std::log1p(std::exp(-std::fabs(x))); }
template <class W> W density(W x) { return std::exp(-x * x / 2) / std::sqrt(2 * pi<W>); }                          // φ
template <class W> W distribution(W x) { return std::erfc(-x * std::sqrt(W(0.5))) / 2; }                           // Φ

// g(u(x)), and x g(u(x)), of derivatives of g by u and of u by x
template <class W> Derivatives<W> chain(Derivatives<W> g, Derivatives<W> u) {
  return {g.f, g.df * u.df, g.d2f * u.df * u.df + g.df * u.d2f};
}
template <class W> Derivatives<W> times_x(W x, Derivatives<W> g) { return {x * g.f, g.f + x * g.df, 2 * g.df + x * g.d2f}; }

template <class W> Derivatives<W> sigmoid(W x) { return {logistic(x), logistic_slope(x), logistic_second(x)}; }

// w = tanh softplus x = (z² − 1)/(z² + 1), z = 1 + eˣ, of which 1 − w = 2/(z² + 1) needs no difference
template <class W> Derivatives<W> tanh_softplus(W x) {
  const W e = std::exp(-std::fabs(x));   // z = 1 + e, or 1 + 1/e
  if (x < 0) {
    const W z = 1 + e, bottom = z * z + 1, slope = 4 * z * e / (bottom * bottom);
    return {e * (2 + e) / bottom, slope, slope * (1 + e / z - 4 * z * e / bottom)};
  }
  const W z = 1 + e, bottom = z * z + e * e, slope = 4 * z * e * e / (bottom * bottom);   // z, z² + 1 times e, e²
  return {(1 + 2 * e) / bottom, slope, slope * (1 + 1 / z - 4 * z / bottom)};
}

template <class W> Derivatives<W> power(W x, W p) {
  const auto term = [x](W factor, W exponent) { return factor == 0 ? 0 : factor * std::pow(x, exponent); };
  return {term(1, p), term(p, p - 1), term(p * (p - 1), p - 2)};
}

#define TAPIR_EXACT(Name, call, ...)                                                                                     \
  template <>                                                                                                            \
  struct Exact<scalar::Name> {                                                                                           \
    template <class W>                                                                                                   \
    static std::vector<Curve<W>> curves() {                                                                              \
      return {{#Name, [](const Tensor& x) { return call; }, [](W x) { return Derivatives<W> __VA_ARGS__; }}};              \
    }                                                                                                                    \
  };

// clang-format off
TAPIR_EXACT(Neg, neg(x), {-x, -1, 0})
TAPIR_EXACT(Exp, exp(x), {std::exp(x), std::exp(x), std::exp(x)})
TAPIR_EXACT(Log, log(x), {std::log(x), 1 / x, -1 / x / x})
TAPIR_EXACT(Log1p, log1p(x), {std::log1p(x), 1 / (1 + x), -1 / ((1 + x) * (1 + x))})
TAPIR_EXACT(Expm1, expm1(x), {std::expm1(x), std::exp(x), std::exp(x)})
TAPIR_EXACT(Sqrt, sqrt(x), {std::sqrt(x), 1 / (2 * std::sqrt(x)), -1 / (4 * x * std::sqrt(x))})
TAPIR_EXACT(Rsqrt, rsqrt(x), {1 / std::sqrt(x), -1 / (2 * x * std::sqrt(x)), 3 / (4 * x * x * std::sqrt(x))})
TAPIR_EXACT(Abs, abs(x), {std::fabs(x), W(x > 0) - W(x < 0), 0})
TAPIR_EXACT(Square, square(x), {x * x, 2 * x, 2})
TAPIR_EXACT(Reciprocal, reciprocal(x), {1 / x, -1 / (x * x), 2 / (x * x * x)})
TAPIR_EXACT(Sin, sin(x), {std::sin(x), std::cos(x), -std::sin(x)})
TAPIR_EXACT(Cos, cos(x), {std::cos(x), -std::sin(x), -std::cos(x)})
TAPIR_EXACT(Tanh, tanh(x), {std::tanh(x), 4 * logistic_slope(2 * x), 8 * logistic_second(2 * x)})
TAPIR_EXACT(Sigmoid, sigmoid(x), (sigmoid<W>(x)))
TAPIR_EXACT(Softplus, softplus(x), {softplus<W>(x), logistic(x), logistic_slope(x)})
TAPIR_EXACT(Relu, relu(x), {std::fmax(x, W(0)), W(x > 0), 0})
TAPIR_EXACT(Gelu, gelu(x), {x * distribution(x), distribution(x) + x * density(x), density(x) * (2 - x * x)})
TAPIR_EXACT(GeluTanh, gelu_tanh(x), (times_x<W>(x, chain<W>(
            sigmoid(std::sqrt(8 / pi<W>) * (x + W(0.044715L) * x * x * x)),
            {0, std::sqrt(8 / pi<W>) * (1 + 3 * W(0.044715L) * x * x), std::sqrt(8 / pi<W>) * 6 * W(0.044715L) * x}))))
TAPIR_EXACT(Silu, silu(x), (times_x<W>(x, sigmoid<W>(x))))
TAPIR_EXACT(Erf, erf(x), {std::erf(x), 2 / std::sqrt(pi<W>) * std::exp(-x * x), -4 / std::sqrt(pi<W>) * x * std::exp(-x * x)})
TAPIR_EXACT(LogSigmoid, log_sigmoid(x), {-softplus<W>(-x), logistic(-x), -logistic_slope(x)})
TAPIR_EXACT(Mish, mish(x), (times_x<W>(x, tanh_softplus<W>(x))))
TAPIR_EXACT(LeakyRelu, leaky_relu(x, 0.25), {x > 0 ? x : x / 4, W(x > 0 ? 1 : 0.25), 0})
TAPIR_EXACT(Clamp, clamp(x, -1, 2), {std::fmin(std::fmax(x, W(-1)), W(2)), W(x >= -1 && x <= 2), 0})
// clang-format on

template <>
struct Exact<scalar::Elu> {
  template <class W>
  static std::vector<Curve<W>> curves() {
    std::vector<Curve<W>> curves;
    for (const double alpha : {1.0, 0x1p-120, 0x1p120})
      curves.push_back({"Elu", [=](const Tensor& x) { return elu(x, alpha); }, [=](W x) {
                          const W slope = alpha * std::exp(x);
                          return x > 0 ? Derivatives<W>{x, 1, 0} : Derivatives<W>{alpha * std::expm1(x), slope, slope};
                        }});
    return curves;
  }
};

template <>
struct Exact<scalar::Pow> {
  template <class W>
  static std::vector<Curve<W>> curves() {
    std::vector<Curve<W>> curves;
    for (const double p : {-7.0, -2.0, -1.0, -0.5, -0x1p-20, 0.0, 0x1p-20, 1.0 / 3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 100.25})
      curves.push_back({"Pow " + std::to_string(p), [=](const Tensor& x) { return pow(x, p); },
                        [=](W x) { return power<W>(x, p); }});
    return curves;
  }
};

}  // namespace tapir::exact

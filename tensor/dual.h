// Dual numbers v + d ε with ε² = 0: a function evaluated on (x, 1) returns its value and its exact derivative.
// They nest: Dual<Dual<T>> carries second derivatives. Comparisons look at the value only.
#pragma once
#include <concepts>
#include <type_traits>

#include "tensor/scalar_math.h"

namespace tapir::math {

template <class T>
struct Dual {
  T v, d;

  Dual() = default;
  HD constexpr Dual(T value, T derivative = T(0)) : v(value), d(derivative) {}
  template <class Number>
    requires(std::is_arithmetic_v<Number> && !std::same_as<Number, T>)
  HD constexpr explicit Dual(Number number) : v(T(number)), d(T(0)) {}

  HD_INLINE friend Dual operator-(Dual a) { return {-a.v, -a.d}; }
  HD_INLINE friend Dual operator+(Dual a, Dual b) { return {a.v + b.v, a.d + b.d}; }
  HD_INLINE friend Dual operator-(Dual a, Dual b) { return {a.v - b.v, a.d - b.d}; }
  HD_INLINE friend Dual operator*(Dual a, Dual b) { return {a.v * b.v, a.v * b.d + a.d * b.v}; }
  HD_INLINE friend Dual operator/(Dual a, Dual b) {
    const T y = a.v / b.v;
    return {y, (a.d - y * b.d) / b.v};
  }

  HD_INLINE friend bool operator==(Dual a, Dual b) { return a.v == b.v; }
  HD_INLINE friend bool operator!=(Dual a, Dual b) { return a.v != b.v; }
  HD_INLINE friend bool operator<(Dual a, Dual b) { return a.v < b.v; }
  HD_INLINE friend bool operator>(Dual a, Dual b) { return a.v > b.v; }
  HD_INLINE friend bool operator<=(Dual a, Dual b) { return a.v <= b.v; }
  HD_INLINE friend bool operator>=(Dual a, Dual b) { return a.v >= b.v; }
};

// Each function f below is f(v) + f′(v) d ε.

template <class T>
HD_INLINE Dual<T> select(bool condition, Dual<T> yes, Dual<T> no) {
  return {select(condition, yes.v, no.v), select(condition, yes.d, no.d)};
}

template <class T>
HD_INLINE Dual<T> sign(Dual<T> x) {
  return {sign(x.v), T(0)};
}

template <class T>
HD_INLINE Dual<T> abs(Dual<T> x) {
  return {abs(x.v), sign(x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> sqrt(Dual<T> x) {
  const T y = sqrt(x.v);
  return {y, T(0.5) / y * x.d};
}

template <class T>
HD_INLINE Dual<T> exp(Dual<T> x) {
  const T y = exp(x.v);
  return {y, y * x.d};
}

template <class T>
HD_INLINE Dual<T> expm1(Dual<T> x) {
  return {expm1(x.v), exp(x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> log(Dual<T> x) {
  return {log(x.v), x.d / x.v};
}

template <class T>
HD_INLINE Dual<T> log1p(Dual<T> x) {
  return {log1p(x.v), x.d / (T(1) + x.v)};
}

// σ′(x) = σ(x) σ(−x)
template <class T>
HD_INLINE Dual<T> sigmoid(Dual<T> x) {
  const T y = sigmoid(x.v);
  return {y, y * sigmoid(-x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> softplus(Dual<T> x) {
  return {softplus(x.v), sigmoid(x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> tanh(Dual<T> x) {
  const T y = tanh(x.v);
  return {y, (T(1) - y) * (T(1) + y) * x.d};
}

// φ′(x) = −x φ(x)
template <class T>
HD_INLINE Dual<T> normal_density(Dual<T> x) {
  const T y = normal_density(x.v);
  return {y, -x.v * y * x.d};
}

// Φ′(x) = φ(x)
template <class T>
HD_INLINE Dual<T> normal_distribution(Dual<T> x) {
  return {normal_distribution(x.v), normal_density(x.v) * x.d};
}

// gelu′(x) = Φ(x) + x φ(x)
template <class T>
HD_INLINE T gelu_slope(T x) {
  return normal_distribution(x) + gated(x, normal_density(x));
}

template <class T>
HD_INLINE Dual<T> gelu(Dual<T> x) {
  return {gelu(x.v), gelu_slope(x.v) * x.d};
}

// tanh′(softplus) σ
template <class T>
HD_INLINE Dual<T> tanh_softplus(Dual<T> x) {
  const T y = tanh_softplus(x.v);
  return {y, (T(1) - y) * (T(1) + y) * sigmoid(x.v) * x.d};
}

// (xᵖ)′ = p xᵖ⁻¹, and 0 for p = 0
template <class T>
HD_INLINE Dual<T> pow(Dual<T> x, double p) {
  return {math::pow(x.v, p), select(p == 0, T(0), T(p) * math::pow(x.v, p - 1)) * x.d};
}

// erf′(x) = 2/√π e^(−x²)
template <class T>
HD_INLINE Dual<T> erf(Dual<T> x) {
  return {erf(x.v), T(1.1283791670955125739) * exp(-x.v * x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> cos(Dual<T> x);

template <class T>
HD_INLINE Dual<T> sin(Dual<T> x) {
  return {sin(x.v), cos(x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> cos(Dual<T> x) {
  return {cos(x.v), -sin(x.v) * x.d};
}

}  // namespace tapir::math

namespace tapir {
using math::Dual;
}  // namespace tapir

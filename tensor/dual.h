// Dual numbers v + d ε with ε² = 0: a function evaluated on (x, 1) returns its value and its exact derivative.
// They nest: Dual<Dual<T>> carries second derivatives. Comparisons look at the value only.
#pragma once
#include <concepts>
#include <type_traits>

#include "tensor/normal.h"
#include "tensor/scalar_math.h"
#include "tensor/sine.h"

namespace tapir::math {

template <class T>
struct Dual;

template <class T>
HD_INLINE Dual<T> gated(Dual<T> x, Dual<T> gate);

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
  // A derivative of 0 takes no part, whatever its factor: constants have one.
  HD_INLINE friend Dual operator*(Dual a, Dual b) { return {a.v * b.v, gated(a.v, b.d) + gated(b.v, a.d)}; }
  HD_INLINE friend Dual operator/(Dual a, Dual b) {
    const T y = a.v / b.v;
    return {y, (a.d - gated(y, b.d)) / b.v};
  }

  HD_INLINE friend bool operator==(Dual a, Dual b) { return a.v == b.v; }
  HD_INLINE friend bool operator!=(Dual a, Dual b) { return a.v != b.v; }
  HD_INLINE friend bool operator<(Dual a, Dual b) { return a.v < b.v; }
  HD_INLINE friend bool operator>(Dual a, Dual b) { return a.v > b.v; }
  HD_INLINE friend bool operator<=(Dual a, Dual b) { return a.v <= b.v; }
  HD_INLINE friend bool operator>=(Dual a, Dual b) { return a.v >= b.v; }
};

// The product, where a part of the gate that is 0 takes no part.
template <class T>
HD_INLINE Dual<T> gated(Dual<T> x, Dual<T> gate) {
  return {gated(x.v, gate.v), gated(x.v, gate.d) + gated(x.d, gate.v)};
}

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
  return {y, gated(x.d, y)};
}

template <class T>
HD_INLINE Dual<T> exp_times(double factor, Dual<T> x) {
  const T y = exp_times(factor, x.v);
  return {y, gated(x.d, y)};
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

// σ″ = −σ′ tanh(x/2)
template <class T>
HD_INLINE Dual<T> sigmoid_slope(Dual<T> x) {
  const T y = sigmoid_slope(x.v);
  return {y, gated(-tanh(T(0.5) * x.v) * x.d, y)};
}

template <class T>
HD_INLINE Dual<T> sigmoid(Dual<T> x) {
  return {sigmoid(x.v), gated(x.d, sigmoid_slope(x.v))};
}

template <class T>
HD_INLINE Dual<T> sigmoid_and_slope(Dual<T> u, Dual<T> d) {
  return sigmoid(u) + gated(d, sigmoid_slope(u));
}

template <class T>
HD_INLINE Dual<T> softplus(Dual<T> x) {
  return {softplus(x.v), sigmoid(x.v) * x.d};
}

// tanh′ = 1/cosh² = 4 σ′(2x), relatively exact, as 1 − tanh² is not
template <class T>
HD_INLINE T tanh_slope(T x) {
  return T(4) * sigmoid_slope(T(2) * x);
}

template <class T>
HD_INLINE Dual<T> tanh_slope(Dual<T> x) {
  const T y = tanh_slope(x.v);
  return {y, gated(T(-2) * tanh(x.v) * x.d, y)};
}

template <class T>
HD_INLINE Dual<T> tanh(Dual<T> x) {
  return {tanh(x.v), tanh_slope(x.v) * x.d};
}

// φ′(x) = −x φ(x)
template <class T>
HD_INLINE Dual<T> normal_density(Dual<T> x) {
  const T y = normal_density(x.v);
  return {y, -gated(x.v * x.d, y)};
}

// Φ′(x) = φ(x)
template <class T>
HD_INLINE Dual<T> normal_distribution(Dual<T> x) {
  return {normal_distribution(x.v), normal_density(x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> gelu_slope(Dual<T> x) {
  return normal_distribution(x) + gated(x, normal_density(x));
}

template <class T>
HD_INLINE Dual<T> gelu(Dual<T> x) {
  return {gelu(x.v), gelu_slope(x.v) * x.d};
}

// w″/w′ = 1 + k/z − 4 k z/(p + q), z = 1 + n, k = n for x < 0, else 1; n, p, q as in tanh_softplus
template <class T>
HD_INLINE Dual<T> tanh_softplus_slope(Dual<T> x) {
  const T y = tanh_softplus_slope(x.v), n = exp(-abs(x.v)), z = T(1) + n, k = select(x.v < T(0), n, T(1));
  return {y, gated((T(1) + k / z - T(4) * k * z / select(x.v < T(0), z * z + T(1), z * z + n * n)) * x.d, y)};
}

template <class T>
HD_INLINE Dual<T> tanh_softplus(Dual<T> x) {
  return {tanh_softplus(x.v), tanh_softplus_slope(x.v) * x.d};
}

template <class T>
HD_INLINE Dual<T> mish_slope(Dual<T> x) {
  return tanh_softplus(x) + gated(x, tanh_softplus_slope(x));
}

template <int k = 0, class T>
HD_INLINE Dual<T> pow(Dual<T> x, double p) {
  return {math::pow<k>(x.v, p), math::pow<k + 1>(x.v, p) * x.d};
}

// erf′(x) = 2/√π e^(−x²)
template <class T>
HD_INLINE Dual<T> erf(Dual<T> x) {
  return {erf(x.v), T(1.1283791670955125739) * exp(-x.v * x.v) * x.d};
}

template <bool bounded = false, class T>
HD_INLINE Dual<T> cos(Dual<T> x);

template <bool bounded = false, class T>
HD_INLINE Dual<T> sin(Dual<T> x) {
  return {sin<bounded>(x.v), cos<bounded>(x.v) * x.d};
}

template <bool bounded, class T>
HD_INLINE Dual<T> cos(Dual<T> x) {
  return {cos<bounded>(x.v), -sin<bounded>(x.v) * x.d};
}

}  // namespace tapir::math

namespace tapir {
using math::Dual;
}  // namespace tapir

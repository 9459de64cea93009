// The scalar functions: every f with its derivative df, for float, double and dual numbers alike.
//
// df(x, y) takes y = f(x), which saves an evaluation where the derivative is a function of it. df on Dual<T>, with y = f on
// Dual<T>, carries the second derivative. At a kink df is the subgradient named there; the second derivative is 0.
// Parameters are fields, and f and df then members.
#pragma once
#include "tensor/dual.h"
#include "tensor/normal.h"
#include "tensor/scalar_math.h"

namespace tapir::scalar {

// y = −x;  dy/dx = −1
struct Neg {
  static constexpr const char* name = "neg";
  template <class T> HD_INLINE static T f(T x) { return -x; }
  template <class T> HD_INLINE static T df(T, T) { return T(-1); }
};

// y = eˣ;  dy/dx = y
struct Exp {
  static constexpr const char* name = "exp";
  template <class T> HD_INLINE static T f(T x) { return math::exp(x); }
  template <class T> HD_INLINE static T df(T, T y) { return y; }
};

// y = log x;  dy/dx = 1/x
struct Log {
  static constexpr const char* name = "log";
  template <class T> HD_INLINE static T f(T x) { return math::log(x); }
  template <class T> HD_INLINE static T df(T x, T) { return T(1) / x; }
};

// y = log(1 + x);  dy/dx = 1/(1 + x)
struct Log1p {
  static constexpr const char* name = "log1p";
  template <class T> HD_INLINE static T f(T x) { return math::log1p(x); }
  template <class T> HD_INLINE static T df(T x, T) { return T(1) / (T(1) + x); }
};

// y = eˣ − 1;  dy/dx = eˣ (not y + 1, which loses the lower tail)
struct Expm1 {
  static constexpr const char* name = "expm1";
  template <class T> HD_INLINE static T f(T x) { return math::expm1(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::exp(x); }
};

// y = √x;  dy/dx = 1/(2y), infinite at 0
struct Sqrt {
  static constexpr const char* name = "sqrt";
  template <class T> HD_INLINE static T f(T x) { return math::sqrt(x); }
  template <class T> HD_INLINE static T df(T, T y) { return T(0.5) / y; }
};

// y = 1/√x;  dy/dx = −y³/2
struct Rsqrt {
  static constexpr const char* name = "rsqrt";
  template <class T> HD_INLINE static T f(T x) { return T(1) / math::sqrt(x); }
  template <class T> HD_INLINE static T df(T, T y) { return T(-0.5) * y * y * y; }
};

// y = |x|;  dy/dx = sign x, 0 at 0
struct Abs {
  static constexpr const char* name = "abs";
  template <class T> HD_INLINE static T f(T x) { return math::abs(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::sign(x); }
};

// y = x²;  dy/dx = 2x
struct Square {
  static constexpr const char* name = "square";
  template <class T> HD_INLINE static T f(T x) { return x * x; }
  template <class T> HD_INLINE static T df(T x, T) { return x + x; }
};

// y = 1/x;  dy/dx = −y²
struct Reciprocal {
  static constexpr const char* name = "reciprocal";
  template <class T> HD_INLINE static T f(T x) { return T(1) / x; }
  template <class T> HD_INLINE static T df(T, T y) { return -y * y; }
};

// y = tanh x;  dy/dx = 1/cosh² x (not 1 − y², which loses the tails)
struct Tanh {
  static constexpr const char* name = "tanh";
  template <class T> HD_INLINE static T f(T x) { return math::tanh(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::tanh_slope(x); }
};

// y = σ(x) = 1/(1 + e⁻ˣ);  dy/dx = σ(x) σ(−x)
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  template <class T> HD_INLINE static T f(T x) { return math::sigmoid(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::sigmoid_slope(x); }
};

// y = log(1 + eˣ);  dy/dx = σ(x)
struct Softplus {
  static constexpr const char* name = "softplus";
  template <class T> HD_INLINE static T f(T x) { return math::softplus(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::sigmoid(x); }
};

// y = max(x, 0), NaN stays NaN;  dy/dx = 1 where x > 0, else 0 (also at 0)
struct Relu {
  static constexpr const char* name = "relu";
  template <class T> HD_INLINE static T f(T x) { return math::select(x <= T(0), T(0), x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::select(x > T(0), T(1), T(0)); }
};

// y = x Φ(x), Φ the standard normal distribution function;  dy/dx = Φ(x) + x φ(x)   (Hendrycks & Gimpel 2016)
struct Gelu {
  static constexpr const char* name = "gelu";
  template <class T> HD_INLINE static T f(T x) { return math::gelu(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::gelu_slope(x); }
};

// y = ½ x (1 + tanh u) = x s, s = σ(2u), u = √(2/π) (x + 0.044715 x³);  dy/dx = s + x σ′(2u) 2u′
// (the tanh form of the same paper)
struct GeluTanh {
  static constexpr const char* name = "gelu_tanh";
  template <class T> HD_INLINE static T twice_u(T x) { return T(1.5957691216057308) * x * (T(1) + T(0.044715) * x * x); }
  template <class T> HD_INLINE static T f(T x) { return math::gated(x, math::sigmoid(twice_u(x))); }
  template <class T> HD_INLINE static T df(T x, T) {
    const T slope = T(1.5957691216057308) * (T(1) + T(0.134145) * x * x);
    return math::sigmoid_and_slope(twice_u(x), x * slope);
  }
};

// y = x σ(x);  dy/dx = σ + x σ′
struct Silu {
  static constexpr const char* name = "silu";
  template <class T> HD_INLINE static T f(T x) { return math::gated(x, math::sigmoid(x)); }
  template <class T> HD_INLINE static T df(T x, T) { return math::sigmoid_and_slope(x, x); }
};

// y = erf x;  dy/dx = 2/√π e^(−x²)
struct Erf {
  static constexpr const char* name = "erf";
  template <class T> HD_INLINE static T f(T x) { return math::erf(x); }
  template <class T> HD_INLINE static T df(T x, T) { return T(1.1283791670955125739) * math::exp(-x * x); }
};

// y = sin x;  dy/dx = cos x
template <bool bounded> struct SinOf {
  template <class T> HD_INLINE static T f(T x) { return math::sin<bounded>(x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::cos<bounded>(x); }
};

// y = cos x;  dy/dx = −sin x
template <bool bounded> struct CosOf {
  template <class T> HD_INLINE static T f(T x) { return math::cos<bounded>(x); }
  template <class T> HD_INLINE static T df(T x, T) { return -math::sin<bounded>(x); }
};

// Of angles up to the largest_angle of their type (scalar_math.h); OfAll takes the others too.
struct Sin : SinOf<true> {
  static constexpr const char* name = "sin";
  using OfAll = SinOf<false>;
};
struct Cos : CosOf<true> {
  static constexpr const char* name = "cos";
  using OfAll = CosOf<false>;
};

// y = log σ(x) = −log(1 + e⁻ˣ);  dy/dx = σ(−x)
struct LogSigmoid {
  static constexpr const char* name = "log_sigmoid";
  template <class T> HD_INLINE static T f(T x) { return -math::softplus(-x); }
  template <class T> HD_INLINE static T df(T x, T) { return math::sigmoid(-x); }
};

// y = x tanh(log(1 + eˣ)) = x w;  dy/dx = w + x w′   (Misra 2019)
struct Mish {
  static constexpr const char* name = "mish";
  template <class T> HD_INLINE static T f(T x) { return math::gated(x, math::tanh_softplus(x)); }
  template <class T> HD_INLINE static T df(T x, T) { return math::mish_slope(x); }
};

// y = x where x > 0, else s x;  dy/dx = 1 where x > 0, else s (also at 0)   (Maas et al. 2013)
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  double slope;
  template <class T> HD_INLINE T f(T x) const { return math::select(x > T(0), x, T(slope) * x); }
  template <class T> HD_INLINE T df(T x, T) const { return math::select(x > T(0), T(1), T(slope)); }
};

// y = x where x > 0, else α (eˣ − 1);  dy/dx = 1 where x > 0, else α eˣ (also at 0)   (Clevert et al. 2015)
struct Elu {
  static constexpr const char* name = "elu";
  double alpha;
  template <class T> HD_INLINE T f(T x) const { return math::select(x > T(0), x, T(alpha) * math::expm1(x)); }
  template <class T> HD_INLINE T df(T x, T) const { return math::select(x > T(0), T(1), math::exp_times(alpha, x)); }
};

// y = min(max(x, low), high), NaN stays NaN;  dy/dx = 0 where x < low or x > high, else 1 (also at both)
struct Clamp {
  static constexpr const char* name = "clamp";
  double low, high;
  template <class T> HD_INLINE T f(T x) const {
    return math::select(x < T(low), T(low), math::select(x > T(high), T(high), x));
  }
  template <class T> HD_INLINE T df(T x, T) const {
    return math::select(x < T(low), T(0), math::select(x > T(high), T(0), T(1)));
  }
};

// y = xᵖ;  dy/dx = p xᵖ⁻¹, 0 for p = 0
struct Pow {
  static constexpr const char* name = "pow";
  double exponent;
  template <class T> HD_INLINE T f(T x) const { return math::pow(x, exponent); }
  template <class T> HD_INLINE T df(T x, T) const { return math::pow<1>(x, exponent); }
};

}  // namespace tapir::scalar

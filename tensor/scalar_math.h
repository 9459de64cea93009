// exp, log, tanh and kin as branch-free polynomials, so that a plain loop over them vectorises.
//
// Every result has the same bits with every compiler and vector width: all roundings are written out (explicit fma; compile
// with -ffp-contract=off), choices are selects. Loops vectorise with -O3 -fno-trapping-math -fno-math-errno
// and hardware FMA.
// Infinities, NaN, −0 and subnormal numbers go through as IEEE 754 asks, unless a function says otherwise.
//
// Polynomials: minimax fits (Remez exchange in 220-bit arithmetic, weight = relative error of the result), lowest power
// first. "ulp": the largest error that tests/tensor/test_scalar.cc finds, in units in the last place, float / double.
#pragma once
#include <cmath>
#include <concepts>
#include <cstdint>

#include "tensor/hd.h"

namespace tapir::math {

template <class T>
struct Format;  // the layout of IEEE 754 numbers, and constants split as high + low part

template <>
struct Format<float> {
  using Word = std::uint32_t;
  static constexpr int fraction_bits = 23, bias = 127;
  static constexpr float infinity = __builtin_huge_valf(), smallest_normal = 0x1p-126f, epsilon = 0x1p-23f;
  static constexpr float integer_magic = 0x1.8p23f;  // x + magic rounds x to an integer, in the low bits of the sum
  static constexpr float biased_magic = integer_magic + bias;
  static constexpr float log2_e = 1.44269502f, ln2_high = 0.693147182f, ln2_low = -1.90465421e-9f;
  static constexpr float exp_lowest = -104, exp_highest = 89;  // beyond: 0 and infinity
  static constexpr float most_exp = 193;   // between the smallest number and the largest
  static constexpr float sqrt_half = 0.707106769f;
  static constexpr float two_over_pi = 0.636619747f;
  static constexpr float half_pi_high = 1.57079637f, half_pi_middle = -4.37113883e-8f, half_pi_low = -1.71512451e-15f;
  static constexpr float largest_angle = 1e5f;
};

template <>
struct Format<double> {
  using Word = std::uint64_t;
  static constexpr int fraction_bits = 52, bias = 1023;
  static constexpr double infinity = __builtin_huge_val(), smallest_normal = 0x1p-1022, epsilon = 0x1p-52;
  static constexpr double integer_magic = 0x1.8p52, biased_magic = integer_magic + bias;
  static constexpr double log2_e = 1.4426950408889634, ln2_high = 0.6931471805599453, ln2_low = 2.3190468138462996e-17;
  static constexpr double exp_lowest = -746, exp_highest = 710, most_exp = 1455;
  static constexpr double sqrt_half = 0.7071067811865476;
  static constexpr double two_over_pi = 0.6366197723675814;
  static constexpr double half_pi_high = 1.5707963267948966, half_pi_middle = 6.123233995736766e-17;
  static constexpr double half_pi_low = -1.4973849048591698e-33;
  static constexpr double largest_angle = 1e9;
};

template <class T>
inline constexpr bool is_float = std::same_as<T, float>;

template <std::floating_point T>
HD_INLINE typename Format<T>::Word bits(T x) {
  return __builtin_bit_cast(typename Format<T>::Word, x);
}

template <std::floating_point T>
HD_INLINE T from_bits(typename Format<T>::Word word) {
  return __builtin_bit_cast(T, word);
}

// c₀ + x (c₁ + x (c₂ + …)), Horner's rule
template <class T>
HD_INLINE T polynomial(T, T c) {
  return c;
}
template <class T, class... Rest>
HD_INLINE T polynomial(T x, T c, Rest... rest) {
  return std::fma(x, polynomial(x, rest...), c);
}

template <std::floating_point T>
HD_INLINE T select(bool condition, T yes, T no) {
  return condition ? yes : no;
}

template <std::floating_point T>
HD_INLINE T abs(T x) {
  return std::fabs(x);
}

// correctly rounded
template <std::floating_point T>
HD_INLINE T sqrt(T x) {
  return std::sqrt(x);
}

// −1, 0, +1; 0 for ±0 and NaN
template <std::floating_point T>
HD_INLINE T sign(T x) {
  return select(x > 0, T(1), select(x < 0, T(-1), T(0)));
}

// x clamped to [lowest, highest]; NaN stays NaN
template <std::floating_point T>
HD_INLINE T clamp(T x, T lowest, T highest) {
  const T above = x < lowest ? lowest : x;
  return x > highest ? highest : above;   // both ask about x: compilers copy code where one asks the other
}

// x · gate for a gate that reaches 0 faster than x grows: 0 where the gate is 0, also at x = ∞
template <class T>
HD_INLINE T gated(T x, T gate) {
  return select(gate == T(0), T(0), x * gate);
}

// 2ⁿ for an integer n in [−bias + 1, bias]: the low bits of the word hold n + bias
template <std::floating_point T>
HD_INLINE T power_of_two(typename Format<T>::Word biased_n) {
  return from_bits<T>(biased_n << Format<T>::fraction_bits);
}

// m 2ⁿ for n in [−2 bias + 2, 2 bias] and 1 ≤ m < 2, by halves of n, so that subnormal results are rounded once
template <std::floating_point T>
HD_INLINE T times_power_of_two(T m, typename Format<T>::Word biased_n) {
  const auto both = biased_n + Format<T>::bias, half = both >> 1;
  return m * power_of_two<T>(half) * power_of_two<T>(both - half);
}

// factor m 2ⁿ for n in [−4 bias + 4, 4 bias], by quarters
template <std::floating_point T>
HD_INLINE T times_any_power_of_two(T m, typename Format<T>::Word biased_n, T factor) {
  const auto all = biased_n + 3 * Format<T>::bias, quarter = all >> 2;
  const T power = power_of_two<T>(quarter);
  return m * power * factor * power * power * power_of_two<T>(all - 3 * quarter);
}

// x = n ln 2 + r with |r| ≤ ½ ln 2: n + bias in the low bits of a word, and expm1(r)
template <class T>
struct ExpParts {
  typename Format<T>::Word biased_n;
  T expm1_r;
};

template <std::floating_point T>
HD_INLINE ExpParts<T> exp_parts(T x) {
  using F = Format<T>;
  const T shifted = std::fma(x, F::log2_e, F::biased_magic), n = shifted - F::biased_magic;
  const T r = std::fma(n, -F::ln2_low, std::fma(n, -F::ln2_high, x));
  T p;  // (eʳ − 1 − r) / r²
  if constexpr (is_float<T>)
    p = polynomial(r, 0.49999997f, 0.166665405f, 0.0416672118f, 0.00836684555f, 0.00138824829f);
  else
    p = polynomial(r, 0.5, 0.16666666666666677, 0.041666666666666498, 0.0083333333333212283, 0.0013888888888965267,
                   0.00019841269887295234, 2.4801587168757238e-05, 2.7557242896789478e-06, 2.7557404243361472e-07,
                   2.5109537673187914e-08, 2.0875329406039423e-09);
  return {bits(shifted), std::fma(r * r, p, r)};
}

// eˣ = 2ⁿ (1 + expm1 r)
// ulp: 1.0 / 1.0
template <std::floating_point T>
HD_INLINE T exp(T x) {
  const ExpParts<T> parts = exp_parts(clamp(x, Format<T>::exp_lowest, Format<T>::exp_highest));
  return times_power_of_two(parts.expm1_r + T(1), parts.biased_n);
}

// factor eˣ, or factor e^(x + low) for a low part of x below its last place. The factor comes between the quarters of 2ⁿ, so that
// it brings back what eˣ alone loses as a subnormal or infinite number.
template <std::floating_point T>
HD_INLINE T exp_times(double factor, T x) {
  const ExpParts<T> parts = exp_parts(clamp(x, -Format<T>::most_exp, Format<T>::most_exp));
  return times_any_power_of_two(parts.expm1_r + T(1), parts.biased_n, static_cast<T>(factor));
}

HD_INLINE double exp_times(double factor, double x, double low) {
  const ExpParts<double> parts = exp_parts(clamp(x, -Format<double>::most_exp, Format<double>::most_exp));
  return times_any_power_of_two(std::fma(parts.expm1_r + 1, low, parts.expm1_r) + 1, parts.biased_n, factor);
}

// eˣ − 1 = 2 (h expm1 r + (h − ½)), h = 2ⁿ⁻¹
// ulp: 1.6 / 1.7
template <std::floating_point T>
HD_INLINE T expm1(T x) {
  const ExpParts<T> parts = exp_parts(clamp(x, T(is_float<T> ? -18 : -40), Format<T>::exp_highest));
  const T h = power_of_two<T>(parts.biased_n - 1);
  const T y = T(2) * std::fma(h, parts.expm1_r, h - T(0.5));
  return std::fabs(x) < T(0.25) * Format<T>::epsilon ? x : y;
}

// x = 2ᵏ m with √½ ≤ m < √2, for x > 0
template <class T>
struct LogParts {
  T k, m;
};

template <std::floating_point T>
HD_INLINE LogParts<T> log_parts(T x) {
  using F = Format<T>;
  using Word = typename F::Word;
  constexpr int shift = F::fraction_bits;
  constexpr T two_to_shift = T(Word(1) << shift);
  const bool subnormal = x < F::smallest_normal;
  const T scale = subnormal ? two_to_shift : T(1), k_of_one = two_to_shift + (subnormal ? T(F::bias + shift) : T(F::bias));
  const Word moved = bits(x * scale) + (bits(T(1)) - bits(F::sqrt_half));  // its exponent steps at √½ 2ᵏ
  const Word fraction = moved & ((Word(1) << shift) - 1);
  const T k = from_bits<T>((moved >> shift) | bits(two_to_shift)) - k_of_one;  // integer → T without conversion
  return {k, from_bits<T>(fraction + bits(F::sqrt_half))};
}

// log(1 + f) − f for 1 + f in [√½, √2]
template <std::floating_point T>
HD_INLINE T log1p_minus_argument(T f) {
  if constexpr (is_float<T>) {  // f² P(f)
    return f * f * polynomial(f, -0.499999881f, 0.333333254f, -0.250015825f, 0.200019732f, -0.166090831f, 0.141818255f,
                              -0.132429898f, 0.129044294f, -0.076217711f);
  } else {  // log(1 + f) = 2 artanh s, s = f / (2 + f); 2s = f − f²/2 + s f²/2; 2 artanh s = 2s + s³ P(s²)
    const T s = f / (T(2) + f), z = s * s, half_square = T(0.5) * f * f;
    const T p = polynomial(z, 0.66666666666667351, 0.39999999999411096, 0.28571428743262406, 0.22222198475993993,
                           0.18183569739930922, 0.15313903242587365, 0.14797507669045395);
    return std::fma(s, std::fma(z, p, half_square), -half_square);
  }
}

// log x = k ln 2 + log m
// ulp: 0.8 / 0.8
template <std::floating_point T>
HD_INLINE T log(T x) {
  using F = Format<T>;
  const LogParts<T> parts = log_parts(x);
  const T f = parts.m - T(1);
  const T y = std::fma(parts.k, F::ln2_high, f + std::fma(parts.k, F::ln2_low, log1p_minus_argument(f)));
  const T at_infinity = x > T(0) ? x : T(0) / T(0), special = x == T(0) ? -F::infinity : at_infinity;
  return bits(x) - 1 < bits(F::infinity) - 1 ? y : special;   // positive and finite?
}

// log(1 + x): as log of the rounded sum u, plus (1 + x − u) / u; from x itself where k = 0
// ulp: 0.8 / 0.8
template <std::floating_point T>
HD_INLINE T log1p(T x) {
  using F = Format<T>;
  const T u = T(1) + x;
  const T x_of_u = u - T(1);
  const T lost = (T(1) - (u - x_of_u)) + (x - x_of_u);  // 1 + x − u exactly
  const LogParts<T> parts = log_parts(u);
  const bool direct = parts.k == T(0);
  const T f = direct ? x : parts.m - T(1);
  const T correction = direct ? T(0) : lost / u;
  const T low = std::fma(parts.k, F::ln2_low, correction) + log1p_minus_argument(f);
  const T y = std::fma(parts.k, F::ln2_high, f + low);
  const T at_most_minus_one = x == T(-1) ? -F::infinity : T(0) / T(0);
  const bool as_is = !(x < F::infinity) | (std::fabs(x) < T(0.25) * F::epsilon);  // infinite, NaN or too small to change
  const T above = as_is ? x : y;
  return x <= T(-1) ? at_most_minus_one : above;
}

// A number as the sum of two: low is below the last place of high.
struct TwoParts {
  double high, low;
};

// log x for 0 < x < ∞ to 65 bits: log x = k ln 2 + log m, log m = 2 artanh s = 2s (1 + z/3 + z²/5 + …),
// s = (m − 1)/(m + 1), z = s². Sums of two numbers as Dekker (1971) has them; below 2⁻¹² of the result one number will do.
HD_INLINE TwoParts log_in_two_parts(double x) {
  using F = Format<double>;
  const LogParts<double> parts = log_parts(x);
  const double f = parts.m - 1, bottom = 1 + parts.m, bottom_low = parts.m - (bottom - 1);
  const double s = f / bottom, s_low = (std::fma(-s, bottom, f) - s * bottom_low) / bottom;
  const double z = s * s, z_low = std::fma(s, s, -z) + 2 * s * s_low;
  const double tail = z * z * polynomial(z, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19,
                                         1.0 / 21, 1.0 / 23, 1.0 / 25);
  constexpr double third = 1.0 / 3, third_low = 1.8503717077085942e-17;
  const double z_third = z * third, z_third_low = std::fma(z, third, -z_third) + z * third_low + z_low * third;
  const double u = z_third + tail, u_low = (z_third - u) + tail + z_third_low;
  const double product = 2 * s * u, product_low = std::fma(2 * s, u, -product) + 2 * (s * u_low + s_low * u);
  const double k_ln2 = parts.k * F::ln2_high, k_ln2_low = std::fma(parts.k, F::ln2_high, -k_ln2) + parts.k * F::ln2_low;
  const double first = k_ln2 + 2 * s, first_low = (k_ln2 - first) + 2 * s;
  const double sum = first + product, sum_low = (first - sum) + product;
  return {sum, ((sum_low + first_low) + (k_ln2_low + 2 * s_low)) + product_low};
}

// The k-th derivative of xᵖ, p (p − 1) … (p − k + 1) xᵖ⁻ᵏ, with |x|ᵖ⁻ᵏ = e^((p − k) log |x|), and the sign that an odd integer
// exponent leaves; NaN for other p and finite x < 0. As IEEE 754 asks, x⁰ = 1ᵖ = 1 even for NaN. Where the first factor is 0
// so is the derivative.
// ulp of xᵖ: 0.5 / 1.2
template <int k = 0, std::floating_point T>
HD_INLINE T pow(T x, double p) {
  using Word = Format<double>::Word;
  double factor = 1;
  for (int i = 0; i < k; ++i) factor *= p - i;
  const double exponent = p - k, a = std::fabs(static_cast<double>(x));
  double magnitude;
  if constexpr (is_float<T>) {
    magnitude = factor * exp(exponent * log(a));
  } else {
    const TwoParts two = log_in_two_parts(a);
    const double high = exponent * (a == 0 ? -Format<double>::infinity : a < Format<double>::infinity ? two.high : a);
    double low = std::fma(exponent, two.high, -high) + exponent * two.low;
    if constexpr (k > 0) {
      const double p_of_exponent = exponent + k, lost = (p - p_of_exponent) + ((p_of_exponent - exponent) - k);
      low = std::fma(lost, two.high, low);   // p − k − exponent
    }
    magnitude = exp_times(factor, high, std::fabs(high) < 1024 ? low : 0.0);
  }
  magnitude = a == 1 ? factor : magnitude;   // also where p is infinite
  // Masks and not selects: g++ 12 vectorises no select by a condition on p alone.
  const Word whole = std::floor(p) == p, odd = whole & Word((std::floor(0.5 * p) != 0.5 * p) ^ (k % 2 != 0));
  const Word sign = bits(static_cast<double>(x)) & (odd << 63), not_whole = whole - 1;
  const Word invalid = x < T(0) && a < Format<double>::infinity ? not_whole : Word(0);   // all bits set: NaN
  const Word y = (bits(magnitude) ^ sign) | invalid;
  if constexpr (k == 0) return static_cast<T>(p == 0 ? 1.0 : from_bits<double>(y));
  const Word constant = 0 - Word((exponent == 0) | (factor == 0));
  return static_cast<T>(from_bits<double>((bits(factor) & constant) | (y & ~constant)));
}

// σ(x) = 1 / (1 + e⁻ˣ) = (x ≥ 0 ? 1 : e) / (1 + e), e = e^−|x|
// ulp: 2.3 / 2.3
template <std::floating_point T>
HD_INLINE T sigmoid(T x) {
  const T e = exp(-std::fabs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

// σ and σ′ = e/(1 + e)², e = e^−|x|, relatively exact on both sides, as 1 − σ is not
template <class T>
struct SigmoidParts {
  T value, slope;
};

template <std::floating_point T>
HD_INLINE SigmoidParts<T> sigmoid_parts(T x) {
  const T e = exp(-std::fabs(x)), u = T(1) / (T(1) + e);
  return {(x < T(0) ? e : T(1)) * u, e * u * u};
}

template <std::floating_point T>
HD_INLINE T sigmoid_slope(T x) {
  return sigmoid_parts(x).slope;
}

// σ(u) + d σ′(u), for d = x u′ the derivative of x σ(u)
template <std::floating_point T>
HD_INLINE T sigmoid_and_slope(T u, T d) {
  const SigmoidParts<T> parts = sigmoid_parts(u);
  return parts.value + gated(d, parts.slope);
}

// log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)
// ulp: 1.5 / 1.5
template <std::floating_point T>
HD_INLINE T softplus(T x) {
  const T y = log1p(exp(-std::fabs(x)));
  return (x > T(0) ? x : T(0)) + y;
}

// w = tanh(log(1 + eˣ)) = (2n + a)/(2n + a + 2b) with n = e^−|x|: a = 1, b = n² for x ≥ 0;  a = n², b = 1 below
// w′ = 4 b k (1 + n)/(2n + a + 2b)², k = 1 for x ≥ 0, n below
// ulp of w: 3.0 / 2.7
template <class T>
struct TanhSoftplusParts {
  T value, slope;
};

template <std::floating_point T>
HD_INLINE TanhSoftplusParts<T> tanh_softplus_parts(T x) {
  const T n = exp(-std::fabs(x)), square = n * n;
  const bool below = x < T(0);
  const T a = below ? square : T(1), b = below ? T(1) : square, top = std::fma(T(2), n, a), u = T(1) / std::fma(T(2), b, top);
  return {top * u, T(4) * b * (below ? n : T(1)) * (T(1) + n) * (u * u)};
}

template <std::floating_point T>
HD_INLINE T tanh_softplus(T x) {
  const T n = exp(-std::fabs(x));
  const T p = x < T(0) ? std::fma(n, n, n + n) : T(1) + (n + n), q = x < T(0) ? T(2) : T(2) * n * n;
  return p / (p + q);
}

template <std::floating_point T>
HD_INLINE T tanh_softplus_slope(T x) {
  return tanh_softplus_parts(x).slope;
}

// mish′ = w + x w′
template <std::floating_point T>
HD_INLINE T mish_slope(T x) {
  const TanhSoftplusParts<T> parts = tanh_softplus_parts(x);
  return parts.value + gated(x, parts.slope);
}

// tanh a = e/(e + 2) for a = |x|, e = expm1(2a) = h expm1 r + (h − 1), h = 2ⁿ; for e > 2 the same as 1 − 2/(e + 2), which
// is monotone; 1 from a = 10 (float), 20 (double) on
// ulp: 2.4 / 2.2
template <std::floating_point T>
HD_INLINE T tanh(T x) {
  const T a = std::fabs(x), one_from = T(is_float<T> ? 10 : 20);
  const ExpParts<T> parts = exp_parts(T(2) * (a > one_from ? one_from : a));
  const T h = power_of_two<T>(parts.biased_n), e = std::fma(h, parts.expm1_r, h - T(1));
  const T bottom = e + T(2), u = T(1) / bottom, rounded = e * u, quotient = std::fma(u, std::fma(-rounded, bottom, e), rounded);
  return std::copysign(e > T(2) ? std::fma(T(-2), u, T(1)) : quotient, x);
}

}  // namespace tapir::math

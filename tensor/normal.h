// The normal distribution and what is made of it, gelu and erf, as scalar_math.h has the others: polynomials without branches.
#pragma once
#include "tensor/scalar_math.h"

namespace tapir::math {

// e^(t²/2) Φ(−t) for 0 ≤ t ≤ 40, Φ the standard normal distribution function: P(q) / (t + K), q = (t − K) / (t + K).
// The change of variable is that of Shepherd and Laframboise, Math. Comp. 36 (1981). Φ(−40) underflows.
HD_INLINE double scaled_normal_tail(double t) {
  constexpr double K = 6;
  const double u = 1 / (t + K), rounded_q = std::fma(-2 * K, u, 1.0);
  const double residual = std::fma(-rounded_q, t, std::fma(rounded_q + 1, -K, t));  // t − K − q (t + K)
  const double q = std::fma(u, residual, rounded_q);
  return u * polynomial(q, 0.77735177189336224, -0.70100902959086553, 0.56896889181478394, -0.41390358577559033,
                        0.26797424584164053, -0.15268023206449768, 0.075171915669340228, -0.030985315507516386,
                        0.010029820635168024, -0.0021316052108734094, 3.2870062297542784e-05, 0.00018136042042611193,
                        -6.4752218494400286e-05, 1.0755933904428503e-06, 6.7970904532312066e-06, -1.7997088917669064e-06,
                        -4.3115779509237307e-07, 3.1035168960694274e-07, 9.8875541542022627e-09, -4.3028144943069602e-08,
                        8.5444734769767551e-12, 4.7515233554867341e-09, 7.037946548835321e-10);
}

// min(|x|, limit), and limit for NaN. Bits compare like numbers, and compilers make no branch of it.
template <std::floating_point T>
HD_INLINE T size_up_to(T limit, T x) {
  const auto size = bits(std::fabs(x)), most = bits(limit);
  return from_bits<T>(size < most ? size : most);
}

// t = |x|, at most where e = e^(−t²/2) underflows; Φ(−t) = e tail and φ(t) = e density
template <class T>
struct NormalParts {
  T t, e, tail, density;
};

// The rounding error of t² is put back.
HD_INLINE NormalParts<double> normal_parts(double x) {
  const double t = size_up_to(40.0, x), square = t * t, lost = std::fma(t, t, -square);
  const double rounded = exp(-0.5 * square), e = std::fma(rounded, -0.5 * lost, rounded);
  return {t, e, scaled_normal_tail(t), 0.39894228040143267794};
}

// The same in float for gelu, of fewest instructions: 2ⁿ⁺ʳ = 2^(−½ log₂e t²), where what the rounding of log₂e changes is in
// the polynomial. 2³² keeps what is in between from being subnormal.
HD_INLINE NormalParts<float> normal_parts(float x) {
  using F = Format<float>;
  constexpr float K = 3.75f, scale = 0x1p-32f, magic = F::biased_magic + 32;
  constexpr float minus_half_log2_e = -0.5f * F::log2_e, log2_e_error = -6.67488e-9f;   // ½ ln 2 (its float − log₂e)
  const float t = size_up_to(14.5f, x), square = t * t, lost = std::fma(t, t, -square);
  const float shifted = std::fma(square, minus_half_log2_e, magic), n = shifted - magic;
  const float r = std::fma(lost, minus_half_log2_e, std::fma(square, minus_half_log2_e, -n));
  const float e = power_of_two<float>(bits(shifted)) *
                  polynomial(r, 1.0f, 0.693147182f, 0.240226462f, 0.0555032864f, 0.00961848907f, 0.00133999321f, 0.000153458226f);
  const float v = 2 * K / (t + K), q = 1.0f - v;   // exactly
  const float p = polynomial(q, 0.100039199f * scale, -0.0784251317f * scale, 0.04705856f * scale, -0.0202028435f * scale,
                             0.00499895215f * scale, 0.000159908872f * scale, -0.000556149986f * scale,
                             6.76369091e-05f * scale, 5.90088275e-05f * scale);
  constexpr float density = 0.398942280f * scale;
  return {t, e, v * p, std::fma(density, square * log2_e_error, density)};
}

// ulp: 2.3 / 2.8
template <std::floating_point T>
HD_INLINE T normal_density(T x) {
  const NormalParts<T> parts = normal_parts(x);
  return x == x ? parts.e * parts.density : x;
}

// Φ(x) = ½ erfc(−x / √2); the lower tail keeps its relative accuracy
// ulp: 6.1 / 5.4
template <std::floating_point T>
HD_INLINE T normal_distribution(T x) {
  const NormalParts<T> parts = normal_parts(x);
  const T tail = parts.e * parts.tail, y = x < T(0) ? tail : T(1) - tail;
  return x == x ? y : x;
}

// x Φ(x) = max(x, 0) − |x| Φ(−|x|)
// ulp: 6.2 / 5.6
template <std::floating_point T>
HD_INLINE T gelu(T x) {
  const NormalParts<T> parts = normal_parts(x);
  return std::fma(-(parts.t * parts.e), parts.tail, x < T(0) ? T(-0.0) : x);
}

// gelu′(x) = Φ(x) + x φ(x)
template <std::floating_point T>
HD_INLINE T gelu_slope(T x) {
  const NormalParts<T> parts = normal_parts(x);
  const T tail = parts.e * parts.tail, y = (x < T(0) ? tail : T(1) - tail) + gated(x, parts.e * parts.density);
  return x == x ? y : x;
}

// erf a = a + a (2/√π − 1 + a² P(a²)) for a = |x| < ¾; 1 − e^(−a Q(a)) above (float), 1 − 2 Φ(−√2 a) (double)
// ulp: 1.0 / 1.7
template <std::floating_point T>
HD_INLINE T erf(T x) {
  const T a = std::fabs(x), z = a * a;
  T p, above;
  if constexpr (is_float<T>) {
    p = polynomial(z, 0.128379166f, -0.37612626f, 0.112834372f, -0.0268370826f, 0.00511871791f, -0.000677774893f);
    const float b = a > 4 ? 4 : a;
    const ExpParts<float> parts = exp_parts(-b * polynomial(b, 1.12853491f, 0.635647595f, 0.105356567f, -0.0229516253f,
                                                            0.00323445164f, -0.000216379733f));
    const float power = power_of_two<float>(parts.biased_n);
    above = (1 - power) - power * parts.expm1_r;
  } else {
    p = polynomial(z, 0.1283791670955126, -0.37612638903183726, 0.1128379167095296, -0.026866170644487188,
                   0.0052239776159423166, -0.00085483262166938972, 0.00012055290507110536,
                   -1.4924216306133473e-05, 1.6430945749645986e-06, -1.5941984816800121e-07, 1.1478535875416755e-08);
    const double b = a > 6 ? 6 : a;
    above = 1 - 2 * exp(-b * b) * scaled_normal_tail(1.4142135623730950488 * b);
  }
  return std::copysign(a < T(0.75) ? std::fma(a, p, a) : above, x);
}

}  // namespace tapir::math

// sin and cos of all finite angles, to the rounding of their type.
#pragma once
#include "tensor/scalar_math.h"

namespace tapir::math {

// x = n π/2 + r with |r| ≤ π/4, and the quadrant n mod 4
template <class T>
struct Angle {
  T r;
  typename Format<T>::Word quadrant;
};

// For |x| ≤ largest_angle, by three parts of π/2 (Cody and Waite).
template <std::floating_point T>
HD_INLINE Angle<T> bounded_angle(T x) {
  using F = Format<T>;
  const T shifted = std::fma(x, F::two_over_pi, F::integer_magic), n = shifted - F::integer_magic;
  return {std::fma(n, -F::half_pi_low, std::fma(n, -F::half_pi_middle, std::fma(n, -F::half_pi_high, x))), bits(shifted) & 3};
}

// For all finite |x| ≥ 1 (Payne and Hanek, 1983): x = m 2ᵉ, m an integer of 53 bits. Of 2/π only the 192 bits from weight
// 2^(1−e) on matter, since those above give m 2ᵉ multiples of 4; m times them, modulo 2¹⁹², is x 2/π mod 4, in units of
// 2⁻¹⁹⁰. No double is nearer to a multiple of π/2 than 2⁻⁶², so that 128 bits of the fraction hold r to double precision.
HD inline Angle<double> large_angle(double x) {
  using F = Format<double>;
  if (!(std::fabs(x) < F::infinity)) return {x - x, 0};
  constexpr std::uint32_t two_over_pi[] = {   // two words of 0, then the bits of 2/π
      0,          0,          0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
      0xb7246e3a, 0x424dd2e0, 0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484, 0xe99c7026, 0xb45f7e41,
      0x3991d639, 0x835339f4, 0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f, 0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7,
      0x4f463f66, 0x9e5fea2d, 0x7527bac7, 0xebe5f17b, 0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046};
  const std::uint64_t word = bits(std::fabs(x)), m = (word & ((std::uint64_t(1) << 52) - 1)) | (std::uint64_t(1) << 52);
  const int e = static_cast<int>(word >> 52) - 1075, first = e + 62;   // of the 192 bits
  std::uint32_t product[6] = {};                                       // highest word first
  for (int half = 0; half < 2; ++half) {
    std::uint64_t carry = 0;
    for (int i = 5; i >= half; --i) {
      const std::uint32_t* at = two_over_pi + first / 32 + i;
      const std::uint64_t both = static_cast<std::uint64_t>(at[0]) << 32 | at[1];
      carry += product[i - half] + static_cast<std::uint32_t>(m >> (32 * half)) * (both << (first % 32) >> 32);
      product[i - half] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
  }
  const bool down = (product[0] >> 29 & 1) != 0;   // fraction ≥ ½: the next quadrant, and r < 0
  const std::uint64_t quadrant = (product[0] >> 30) + down;
  double part[4];                                  // of the fraction's size, exactly
  double unit = 0x1p-30;
  for (int i = 0; i < 4; ++i, unit *= 0x1p-32) {
    const std::uint32_t digits = down ? ~product[i] : product[i];
    part[i] = unit * (i == 0 ? digits & 0x3fffffff : digits);
  }
  const double high = part[0] + part[1], low = (part[1] - (high - part[0])) + (part[2] + part[3]);
  const double r = std::fma(high, F::half_pi_high, std::fma(high, F::half_pi_middle, low * F::half_pi_high));
  return {(x < 0) != down ? -r : r, (x < 0 ? 4 - quadrant : quadrant) & 3};
}

// Bounded: a form without branches for |x| ≤ largest_angle (1e5 in float, 1e9 in double), so that loops vectorise.
template <bool bounded, std::floating_point T>
HD_INLINE Angle<T> angle(T x) {
  if (bounded || std::fabs(x) <= Format<T>::largest_angle) return bounded_angle(x);
  const Angle<double> large = large_angle(x);
  return {static_cast<T>(large.r), static_cast<typename Format<T>::Word>(large.quadrant)};
}

template <class T>
struct SineParts {
  T sine, cosine;
};

template <std::floating_point T>
HD_INLINE SineParts<T> sine_parts(T r) {
  const T z = r * r;
  T p, q;  // sin r = r + r³ P(r²), cos r = 1 − r²/2 + r⁴ Q(r²)
  if constexpr (is_float<T>) {
    p = polynomial(z, -0.166666538f, 0.00833208393f, -0.000195043205f);
    q = polynomial(z, 0.0416666456f, -0.00138872431f, 2.44238927e-05f);
  } else {
    p = polynomial(z, -0.16666666666666624, 0.00833333333332004, -0.00019841269827855135, 2.7557312999534155e-06,
                   -2.5050647773687971e-08, 1.5890307397762763e-10);
    q = polynomial(z, 0.041666666666666581, -0.0013888888888870916, 2.4801587287420472e-05, -2.7557313742727748e-07,
                   2.087563881223789e-09, -1.1355205301448979e-11);
  }
  return {std::fma(r * z, p, r), std::fma(z, std::fma(z, q, T(-0.5)), T(1))};
}

// sin r, cos r, −sin r, −cos r by quadrant
// ulp: 1.5 / 1.5
template <bool bounded = false, std::floating_point T>
HD_INLINE T sin(T x) {
  const Angle<T> a = angle<bounded>(x);
  const SineParts<T> parts = sine_parts(a.r);
  const T size = (a.quadrant & 1) != 0 ? parts.cosine : parts.sine;
  const T y = (a.quadrant & 2) != 0 ? -size : size;
  return x == T(0) ? x : y;
}

// cos r, −sin r, −cos r, sin r by quadrant
// ulp: 1.5 / 1.4
template <bool bounded = false, std::floating_point T>
HD_INLINE T cos(T x) {
  const Angle<T> a = angle<bounded>(x);
  const SineParts<T> parts = sine_parts(a.r);
  const T size = (a.quadrant & 1) != 0 ? parts.sine : parts.cosine;
  return ((a.quadrant + 1) & 2) != 0 ? -size : size;
}

}  // namespace tapir::math

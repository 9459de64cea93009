// Precision of matrix products in f32: operands are rounded, so that a product of two numbers is exact in f32, and summed in
// f32. The same on every device, so the CPU predicts the numbers of a GPU. Products in f64 are never rounded.
#pragma once
#include <cstdint>
#include <ostream>

#include "tensor/hd.h"

namespace tapir {

enum class Precision : uint8_t { f32, tf32, bf16 };

constexpr const char* name_of(Precision precision) {
  constexpr const char* names[] = {"f32", "tf32", "bf16"};
  return names[static_cast<int>(precision)];
}

inline std::ostream& operator<<(std::ostream& out, Precision precision) { return out << name_of(precision); }

// Of all products from now on, those of backward passes too: f32 at first.
void set_precision(Precision precision);
Precision precision();

// The bits of the float nearest to x whose last `dropped` bits are zero; of two, the one with an even bit before these
// (IEEE 754, roundTiesToEven). Beyond the largest it is infinite; NaN stays NaN.
template <int dropped>
HD constexpr uint32_t rounded_bits(float x) {
  constexpr uint32_t unit = 1u << dropped, quiet = 0x00400000, infinity = 0x7f800000;
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const bool nan = (bits & 0x7fffffff) > infinity;
  return (nan ? bits | quiet : bits + (unit / 2 - 1) + (bits >> dropped & 1)) & ~(unit - 1);
}

// TensorFloat-32: a float of which tensor cores read sign, 8 bits of exponent and 10 of significand.
struct Tf32 {
  float value;
  HD constexpr explicit Tf32(float x) : value(__builtin_bit_cast(float, rounded_bits<13>(x))) {}
  HD constexpr operator float() const { return value; }
};

// bfloat16: the first half of a float, 7 bits of significand.
struct Bf16 {
  uint16_t bits;
  HD constexpr explicit Bf16(float x) : bits(static_cast<uint16_t>(rounded_bits<16>(x) >> 16)) {}
  HD constexpr operator float() const { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
};

}  // namespace tapir

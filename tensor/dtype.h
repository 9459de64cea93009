// Element types. There is no implicit promotion: an op that is given two of them throws an error that names both.
#pragma once
#include <cstdint>
#include <ostream>
#include <type_traits>

#include "tensor/error.h"

namespace tapir {

enum class DType : uint8_t { f32, f64, i32, u8 };

template <class T> constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, double>) return DType::f64;
  else if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  else static_assert(std::is_same_v<T, uint8_t>, "tensors hold float, double, int32_t or uint8_t");
  if constexpr (std::is_same_v<T, uint8_t>) return DType::u8;
}

constexpr int64_t size_of(DType type) { return type == DType::f64 ? 8 : type == DType::u8 ? 1 : 4; }

constexpr const char* name_of(DType type) {
  constexpr const char* names[] = {"f32", "f64", "i32", "u8"};
  return names[static_cast<int>(type)];
}

inline std::ostream& operator<<(std::ostream& out, DType type) { return out << name_of(type); }

// Calls body(T{}) with T = float or double; throws an Error that names `op` for other types.
template <class Body>
decltype(auto) with_float(const char* op, DType type, Body&& body) {
  if (type == DType::f32) return body(float{});
  require(type == DType::f64, op, [&] { return text("needs f32 or f64, not ", type); });
  return body(double{});
}

// Calls body(T{}) with the C++ type of any element type.
template <class Body>
decltype(auto) with_type(DType type, Body&& body) {
  switch (type) {
    case DType::f32: return body(float{});
    case DType::f64: return body(double{});
    case DType::i32: return body(int32_t{});
    case DType::u8: break;
  }
  return body(uint8_t{});
}

}  // namespace tapir

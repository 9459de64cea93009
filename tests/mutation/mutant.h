// What a mutated copy of a source calls (mutate.h).
#pragma once
#include <concepts>
#include <vector>

#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor affine(const Tensor& x, Number factor, Number shift);   // autograd/ops/arithmetic.h

namespace mutation {

inline constinit int active = -1;          // the mutant that lives, −1: none
inline constinit int* reached = nullptr;   // 1 for each mutant whose place has been evaluated

[[gnu::cold]] inline bool mutant(int number) {
  reached[number] = 1;
  return number == active;
}

// A result that is wrong by 10⁻⁴; a whole number is wrong by 1, a truth value by itself.
template <class T>
T scaled(T x) {
  if constexpr (std::same_as<T, bool>) return !x;
  else if constexpr (std::integral<T>) return x + T(1);
  else if constexpr (std::same_as<T, Tensor>) return x.defined() ? affine(x, 1.0001, 0) : x;
  else if constexpr (requires { T(1.0001) * x; }) return T(1.0001) * x;
  else return x;
}

template <>
inline std::vector<Tensor> scaled(std::vector<Tensor> all) {
  for (Tensor& x : all) x = scaled(x);
  return all;
}

}  // namespace mutation
}  // namespace tapir

// A row of examples evaluated, and results compared bit for bit.
#pragma once
#include <cstring>

#include "autograd/backward.h"
#include "autograd/examples/example.h"

namespace tapir {

struct Result {
  Tensor y;
  std::vector<Tensor> gradients;   // of ⟨u, y⟩ with a fixed u
};

inline Result evaluate(const Example& row, const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> leaves = requires_grad(inputs);
  const Tensor y = row.function(leaves);
  std::vector<double> u;
  for (int64_t i = 0; i < y.elements(); ++i) u.push_back(static_cast<double>(i * 7919 % 1021) / 512 - 1);
  return {y, grad({y}, leaves, {Tensor::from(u, y.shape()).to(y.dtype())})};
}

// On any devices.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.detach().contiguous().to(Device::cpu), y = b.detach().contiguous().to(Device::cpu);
  return with_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return std::memcmp(x.data<T>(), y.data<T>(), static_cast<size_t>(x.elements()) * sizeof(T)) == 0;
  });
}

}  // namespace tapir

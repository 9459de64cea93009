// The check of index tensors that come from a user.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

// Throws an Error named after `op` unless `indices` is i32, on `device`, with 0 ≤ index < size: it tells the first that is
// not, and its position in row-major order.
inline void require_indices(const char* op, const Tensor& given, int64_t size, Device device) {
  require(given.dtype() == DType::i32, op, [&] { return text("indices must be i32, got ", given.dtype()); });
  require(given.device() == device, op, [&] { return text("indices are on ", given.device(), ", the others on ", device); });
  const Tensor indices = given.contiguous().on_host();
  const int32_t* index = indices.data<int32_t>();
  const int64_t count = indices.elements();
  for (int64_t i = 0; i < count; ++i)
    require(index[i] >= 0 && index[i] < size, op,
            [&] { return text("index ", index[i], " at position ", i, " is outside of 0 … ", size - 1); });
}

}  // namespace tapir

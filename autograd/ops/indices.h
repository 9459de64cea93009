// The check of index tensors that come from a user.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

// Throws an Error named after `op` unless `given` is i32, where x is.
inline void require_index_type(const char* op, const Tensor& given, const Tensor& x) {
  require_defined(op, "the index tensor", given);
  require(given.dtype() == DType::i32, op, [&] { return text("indices must be i32, got ", given.dtype(), given.shape()); });
  require(given.device() == x.device(), op,
          [&] { return text("indices are on ", given.device(), ", the others on ", x.device()); });
}

// And unless 0 ≤ index < size: it tells the first that is not, its position in row-major order, and the shape of x.
inline void require_indices(const char* op, const Tensor& given, int64_t size, const Tensor& x) {
  require_index_type(op, given, x);
  const Tensor indices = given.contiguous().on_host();
  const int32_t* index = indices.data<int32_t>();
  const int64_t count = indices.elements();
  for (int64_t i = 0; i < count; ++i)
    require(index[i] >= 0 && index[i] < size, op, [&] {
      return text("index ", index[i], " at position ", i, " of ", given.shape(), " is outside of 0 … ", size - 1, ", given ",
                  x.shape());
    });
}

}  // namespace tapir

// Rows by index: indices i32 of any shape (…).
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor embedding(const Tensor& table, const Tensor& indices);                 // (V,C), (…) → (…,C)
Tensor scatter_rows(const Tensor& rows, const Tensor& indices, Count size);   // (…,C), (…) → (size,C): equal ones add up

struct Embedding;
struct ScatterRows;
using EmbeddingOps = OpList<Embedding, ScatterRows>;
template <OneOf<EmbeddingOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

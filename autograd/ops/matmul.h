// Matrix products.
#pragma once
#include "autograd/op_list.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor matmul(const Tensor& a, const Tensor& b);                              // (…,M,K) (…,K,N) → (…,M,N); batch broadcasts
Tensor linear(const Tensor& x, const Tensor& weight);                         // (…,I) (O,I) → (…,O)      y = x Wᵀ
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);     // bias (O):                y = x Wᵀ + b

struct Matmul;
struct Linear;
using MatmulOps = OpList<Matmul, Linear>;
template <OneOf<MatmulOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

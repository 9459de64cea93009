// Arithmetic with broadcasting.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor identity(const Tensor& x);                                             // y = x, a new node
Tensor contiguous(const Tensor& x);                                           // y = x, row-major in memory
Tensor copy(const Tensor& x);                                                 // y = x, in memory of its own
Tensor to(const Tensor& x, DType type);                                       // y = x as f32 or f64
Tensor add(const Tensor& a, const Tensor& b);                                 // y = a + b
Tensor sub(const Tensor& a, const Tensor& b);                                 // y = a − b
Tensor mul(const Tensor& a, const Tensor& b);                                 // y = a b
Tensor div(const Tensor& a, const Tensor& b);                                 // y = a / b
Tensor affine(const Tensor& x, Number factor, Number shift);                  // y = factor x + shift; both may be infinite
Tensor maximum(const Tensor& a, const Tensor& b);                             // at a tie each gets half of the gradient
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);      // condition (u8): y = a where not 0, else b
Tensor pow(const Tensor& a, const Tensor& b);                                 // aᵇ; da is 0 for b = 0, db for a = 0 ≤ b
Tensor chain(const Tensor& g, const Tensor& slope);                           // g slope; 0 if g = 0, or slope = 0 and g = ±∞

struct Identity;
struct Contiguous;
struct Copy;
struct To;
struct Add;
struct Sub;
struct Mul;
struct Div;
struct Affine;
struct Maximum;
struct Minimum;
struct Where;
struct Chain;
struct Pow;
using ArithmeticOps = OpList<Identity, Contiguous, Copy, To, Add, Sub, Mul, Div, Affine, Maximum, Minimum, Where, Chain,
                             Pow>;
template <OneOf<ArithmeticOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

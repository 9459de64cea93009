// Signs for tensors: an operator calls the function of its name, and beside a number, which becomes one of the tensor's type,
// affine. Broadcasting, errors and gradients are those of the function.
//
// There is no ==: a Tensor is a handle, and whoever compares two may mean the handles, the values or a condition, which is
// equal(a, b). Nor are there += and its kin, which say nothing of whether memory is written. A condition is no bool:
// `if (a < b)` does not compile; 0 < x < 1 does, and is refused, since it would compare a condition with 1.
#pragma once
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/unary.h"

namespace tapir {

inline Tensor operator-(const Tensor& x) { return neg(x); }
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }

inline Tensor operator+(const Tensor& x, Number number) { return affine(x, 1, number); }
inline Tensor operator+(Number number, const Tensor& x) { return affine(x, 1, number); }
inline Tensor operator-(const Tensor& x, Number number) { return affine(x, 1, -number); }
inline Tensor operator-(Number number, const Tensor& x) { return affine(x, -1, number); }
inline Tensor operator*(const Tensor& x, Number number) { return affine(x, number, -0.0); }   // + −0 keeps −0
inline Tensor operator*(Number number, const Tensor& x) { return affine(x, number, -0.0); }
Tensor operator/(const Tensor& x, Number number);   // by div: affine(x, 1/number, 0) and affine(reciprocal(x), number, 0) round
Tensor operator/(Number number, const Tensor& x);   // twice, and their first step may overflow where the quotient does not

inline Tensor operator<(const Tensor& a, const Tensor& b) { return less(a, b); }
inline Tensor operator<=(const Tensor& a, const Tensor& b) { return less_equal(a, b); }
inline Tensor operator>(const Tensor& a, const Tensor& b) { return greater(a, b); }
inline Tensor operator>=(const Tensor& a, const Tensor& b) { return greater_equal(a, b); }
Tensor operator<(const Tensor& x, Number number);   // throws Error where x is u8
Tensor operator<=(const Tensor& x, Number number);
Tensor operator>(const Tensor& x, Number number);
Tensor operator>=(const Tensor& x, Number number);
inline Tensor operator<(Number number, const Tensor& x) { return x > number; }
inline Tensor operator<=(Number number, const Tensor& x) { return x >= number; }
inline Tensor operator>(Number number, const Tensor& x) { return x < number; }
inline Tensor operator>=(Number number, const Tensor& x) { return x <= number; }

}  // namespace tapir

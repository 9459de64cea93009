// Running totals along an axis.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor cumsum(const Tensor& x, Axis axis, Flag reverse = false);              // y_t = Σ_{s ≤ t} x_s; reverse: s ≥ t
Tensor logcumsumexp(const Tensor& x, Axis axis);                              // y_t = log Σ_{s ≤ t} exp x_s
// y_t = a_t y_{t−1} + b_t, from y_{−1} = 0; reverse: y_t = a_t y_{t+1} + b_t. a and b of one shape
Tensor linear_recurrence(const Tensor& a, const Tensor& b, Axis axis, Flag reverse = false);

struct CumSum;
struct LogCumSumExp;
struct LinearRecurrence;
using ScanOps = OpList<CumSum, LogCumSumExp, LinearRecurrence>;
template <OneOf<ScanOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

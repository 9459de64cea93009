// Sums and means.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor sum(const Tensor& x);                                                  // of all elements, rank 0
Tensor sum(const Tensor& x, Axis axis, Flag keep = false);                    // keep: the axis stays, with extent 1
Tensor mean(const Tensor& x);                                                 // of no element: NaN
Tensor mean(const Tensor& x, Axis axis, Flag keep = false);
Tensor sum_to(const Tensor& x, const Shape& shape);                           // the adjoint of expand

struct Sum;
struct Mean;
struct SumTo;
using SumOps = OpList<Sum, Mean, SumTo>;
template <OneOf<SumOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

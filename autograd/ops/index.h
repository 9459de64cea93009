// Elements by index: indices i32; an Error tells the first one out of range, and its place.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// In three axes, with axis = 1: y[i][k][j] = x[i][indices[i][k][j]][j]. Beside the axis the indices have the shape of x.
Tensor gather(const Tensor& x, Axis axis, const Tensor& indices);
Tensor index_select(const Tensor& x, Axis axis, const Tensor& indices);       // indices (K): … = x[i][indices[k]][j]
// y = base, then y[i][indices[i][k][j]][j] += source[i][k][j] in the order of k, whatever the threads; adjoint of gather.
Tensor scatter_add(const Tensor& base, Axis axis, const Tensor& indices, const Tensor& source);

struct Sorted {
  Tensor values, indices;   // values = gather(x, axis, indices); the indices are i32 and have no gradient
};
Sorted sort(const Tensor& x, Axis axis = -1, Flag descending = false);        // stable; NaN counts as the largest number
Sorted topk(const Tensor& x, Count k, Axis axis = -1);                        // the k largest, as sorted descending
// Where the largest and the smallest stand along the axis, which stays with extent 1 if `keep`: i32, without a node. The
// order is that of sort: of equal ones the first, and NaN counts as the largest number.
Tensor argmax(const Tensor& x, Axis axis, Flag keep = false);
Tensor argmin(const Tensor& x, Axis axis, Flag keep = false);

struct Gather;
struct ScatterAdd;
using IndexOps = OpList<Gather, ScatterAdd>;
template <OneOf<IndexOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

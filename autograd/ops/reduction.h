// Reductions of all elements, or along an axis, which stays with extent 1 if `keep`.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor var(const Tensor& x);                                                  // Σ (x − mean)²/(n − 1)
Tensor var(const Tensor& x, Axis axis, Number correction = 1, Flag keep = false);   // Σ (x − mean)²/(n − correction > 0)
Tensor max(const Tensor& x);                                                  // equal largest share the gradient equally
Tensor max(const Tensor& x, Axis axis, Flag keep = false);
Tensor min(const Tensor& x);
Tensor min(const Tensor& x, Axis axis, Flag keep = false);
Tensor norm(const Tensor& x, Number p);                                       // p = 1, 2, ∞; gradient 0 at the zero vector
Tensor norm(const Tensor& x, Number p, Axis axis, Flag keep = false);

struct Var;
template <int sign> struct Extreme;
struct Norm;
using ReductionOps = OpList<Var, Extreme<1>, Extreme<-1>, Norm>;
template <OneOf<ReductionOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

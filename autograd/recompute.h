// Recompute (Chen et al. 2016, "Training deep nets with sublinear memory cost"): memory for time. What f computes on its
// way is not kept for backward; backward runs f again.
#pragma once
#include "autograd/backward.h"

namespace tapir {

// f(inputs), and its derivatives of any order. Of all that f computes only the result stays; the graph of f exists while
// its backward runs. A training step costs one more f; n blocks keep n inputs and one block's graph.
//
// f must be pure: it is called again later, in the same module path. Dropout draws the same numbers. Tensors that f holds,
// such as parameters, get their gradients too. Bits are those without recompute, unless f and other ops share a tensor:
// the terms of its gradient are then added in another order.
// Throws Error, in backward, if the second call gives another shape, and if an input was written in place in between.
Tensor recompute(const Function& f, const std::vector<Tensor>& inputs);

}  // namespace tapir

// Hooks on tensors: a function that sees, and may replace, the gradient that arrives at a tensor. A hook lives as long as
// its handle; hooks of one tensor are called in the order of their making, each with what the one before returned.
#pragma once
#include <memory>

#include "autograd/node.h"

namespace tapir {

using GradientHandle = std::shared_ptr<const GradientHook>;

// `hook` is called once in each walk that comes by, with the whole gradient of `x`, before a leaf accumulates it, grad()
// returns it or an op passes it on. What it returns must have x's shape and type (else the walk throws Error). Under
// create_graph its ops are recorded. Throws Error if `x` needs no gradient.
[[nodiscard]] GradientHandle on_gradient(const Tensor& x, GradientHook hook);

}  // namespace tapir

// The reverse walk: from outputs to inputs through the nodes, in descending creation number.
#pragma once
#include <functional>
#include <vector>

#include "tensor/tensor.h"

namespace tapir {

using Function = std::function<Tensor(const std::vector<Tensor>&)>;   // of tensors, made of ops

struct WalkOptions {
  bool retain = false;         // keep the graph for another walk; without it every node frees what it saved
  bool create_graph = false;   // record the gradients' own graph, for higher derivatives; implies retain
  bool allow_constants = false;   // of grad: an input without a node has gradient 0, an output without a graph adds nothing
};

// Makes `value` (f32 or f64) a leaf: backward() will accumulate its gradient. Throws Error for integer types.
Tensor requires_grad(const Tensor& value);
std::vector<Tensor> requires_grad(const std::vector<Tensor>& values);   // each

// ∂loss/∂leaf is added to the gradient of every leaf that `loss` depends on. Throws Error unless `loss` has one element and
// a graph that was not freed. There is no create_graph here: a gradient that lives in a leaf would keep its own graph.
void backward(const Tensor& loss, bool retain = false);

// The gradient accumulated in a leaf, undefined if there is none. Throws Error if `leaf` is not a leaf.
Tensor gradient(const Tensor& leaf);
// An undefined value clears it. Throws Error unless the value has the leaf's shape, type and device, and no graph.
void set_gradient(const Tensor& leaf, const Tensor& value);

// Σ_o ⟨cotangent_o, ∂output_o/∂input⟩ for each input, any tensor with a node; zeros where nothing depends on it.
// Visits only what leads to inputs, touches no leaf. One-element outputs need no cotangent. Throws Error on a freed graph, and
// for an input or an output that is a constant, unless the options allow it.
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         std::vector<Tensor> cotangents = {}, WalkOptions options = {});

// As grad, but the walk ends at the inputs: the partial derivatives of an expression inside an op. Hooks of the inputs are
// not called. Undefined where nothing depends on an input.
std::vector<Tensor> grad_until(const Tensor& output, const std::vector<Tensor>& inputs, const Tensor& cotangent,
                               WalkOptions options);

}  // namespace tapir

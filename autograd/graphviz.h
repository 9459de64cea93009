// The graph behind a tensor as text for graphviz: dot -Tsvg graph.dot > graph.svg
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace tapir {

// DOT of all nodes that `output` was made from: a box for each op with its name and output shape, an ellipse for each leaf,
// one cluster inside the other for module paths, arrows along the computation. Constants have no node. `leaves` names
// leaves: "blocks.0.mlp.up.weight" puts the leaf "weight" into the cluster of its module. Nodes are numbered from 0 in the
// order of their creation, so equal computations give equal text. Throws Error if `output` has no graph.
std::string to_dot(const Tensor& output, const std::vector<std::pair<std::string, Tensor>>& leaves = {});

}  // namespace tapir

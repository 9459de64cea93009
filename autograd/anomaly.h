// Anomaly mode: the first NaN or infinity that an op or its backward makes is an error that names the op.
//
//   const AnomalyMode watching;
//   log: forward gives f64[3] from 0 to 0.693147181, with 1 NaN and 0 infinite, the first at index 2; inputs: f64[3] from
//   -1 to 2 (in blocks.0.mlp)
#pragma once
#include <string>

#include "autograd/node.h"

namespace tapir {

struct Anomaly : Error {
  using Error::Error;
};

// While it lives, each output and each gradient on this thread is read once more. Without it an op pays one branch.
//
// Throws Anomaly from the op, or from the walk, with direction (forward or backward), shapes, counts and ranges of what
// came out and of what went in, and the module path; inside a composite or a recomputed function, also what it is part of.
class AnomalyMode final : public Observer {
  void applied(const char* op, const std::vector<Tensor>& inputs, const Tensor& y) override;
  void arrived(const Node& node, const Tensor& g) override;
  void went_back(const Node& node, const Tensor& g, const std::vector<Tensor>& gradients) override;
};

}  // namespace tapir

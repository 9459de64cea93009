// Dropout.
#pragma once
#include "nn/call.h"
#include "nn/module.h"

namespace tapir::nn {

struct Dropout : Module {   // off unless call.training
  explicit Dropout(double p);   // throws Error unless 0 ≤ p < 1
  Tensor forward(const Tensor& x, const Call& call) const;

  double p;
};

}  // namespace tapir::nn

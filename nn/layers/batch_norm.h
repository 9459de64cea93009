// Batch normalisation of the last axis. Letters: … any axes, C channels, n = x.elements()/C.
#pragma once
#include "nn/call.h"
#include "nn/module.h"

namespace tapir::nn {

// Training normalises with the statistics of the batch, evaluation with running ones, which training moves by `momentum`:
// r ← (1 − momentum) r + momentum · statistic, of the variance with n − 1 in its denominator.      Ioffe & Szegedy 2015
struct BatchNorm : Module {
  // Throws Error unless epsilon ≥ 0 and 0 ≤ momentum ≤ 1.
  explicit BatchNorm(int64_t width, double epsilon = 1e-5, double momentum = 0.1);
  Tensor forward(const Tensor& x, const Call& call) const;   // (…,C) → (…,C); training throws Error unless n > 1

  double epsilon, momentum;
  Parameter &weight, &bias;   // (C), at first 1 and 0
  Buffer &mean, &variance;    // (C), at first 0 and 1
};

}  // namespace tapir::nn

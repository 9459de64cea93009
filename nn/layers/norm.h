// Norms along the last axis. Letters: … any axes, C channels.
#pragma once
#include "nn/module.h"

namespace tapir::nn {

struct Norm : Module {   // along the last axis
  virtual Tensor forward(const Tensor& x) const = 0;   // (…,C) → (…,C)
};

struct LayerNorm : Norm {   // y = w (x − mean x)/√(var x + ε) + b      Ba et al. 2016; throws Error for ε < 0
  explicit LayerNorm(int64_t width, double epsilon = 1e-5, bool with_bias = true);
  Tensor forward(const Tensor& x) const override;

  double epsilon;
  Parameter& weight;   // (C)
  Parameter* bias;     // (C); null without
};

struct RmsNorm : Norm {   // y = w x / √(mean x² + ε)      Zhang & Sennrich 2019, eq. 4; throws Error for ε < 0
  explicit RmsNorm(int64_t width, double epsilon = 1e-6);
  Tensor forward(const Tensor& x) const override;

  double epsilon;
  Parameter& weight;   // (C)
};

// "layer" or "rms", which has no bias in any case; else Error.
std::unique_ptr<Norm> make_norm(const std::string& kind, int64_t width, bool with_bias = true);

}  // namespace tapir::nn

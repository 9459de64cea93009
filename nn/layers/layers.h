// The layers of a transformer. Letters: … any axes, I inputs, O outputs, C channels, V rows of a table.
#pragma once
#include "nn/call.h"
#include "nn/module.h"

namespace tapir::nn {

struct Linear : Module {   // y = x Wᵀ + b
  Linear(int64_t in, int64_t out, bool with_bias, const Init& weight_init, const Init& bias_init = Init::constant(0),
         ParameterKind kind = ParameterKind::weight);
  Tensor forward(const Tensor& x) const;   // (…,I) → (…,O)

  Parameter& weight;   // (O,I)
  Parameter* bias;     // (O); null without
};

struct Embedding : Module {   // y = table[index]
  Embedding(int64_t rows, int64_t width, const Init& init);
  Tensor forward(const Tensor& indices) const;   // i32 (…) → (…,C)

  Parameter& weight;   // (V,C)
};

struct Norm : Module {   // along the last axis
  virtual Tensor forward(const Tensor& x) const = 0;   // (…,C) → (…,C)
};

struct LayerNorm : Norm {   // Ba et al. 2016
  explicit LayerNorm(int64_t width, double epsilon = 1e-5);
  Tensor forward(const Tensor& x) const override;

  double epsilon;
  Parameter &weight, &bias;   // (C)
};

struct RmsNorm : Norm {   // y = w x / √(mean x² + ε)      Zhang & Sennrich 2019, eq. 4
  explicit RmsNorm(int64_t width, double epsilon = 1e-6);
  Tensor forward(const Tensor& x) const override;

  double epsilon;
  Parameter& weight;   // (C)
};

std::unique_ptr<Norm> make_norm(const std::string& kind, int64_t width);   // "layer" or "rms", else Error

struct Dropout : Module {   // off unless call.training
  explicit Dropout(double p);   // throws Error unless 0 ≤ p < 1
  Tensor forward(const Tensor& x, const Call& call) const;

  double p;
};

}  // namespace tapir::nn

// A linear layer. Letters: … any axes, I inputs, O outputs.
#pragma once
#include "nn/module.h"

namespace tapir::nn {

struct Linear : Module {   // y = x Wᵀ + b
  Linear(int64_t in, int64_t out, bool with_bias, const Init& weight_init, const Init& bias_init = Init::constant(0),
         ParameterKind kind = ParameterKind::weight);
  Linear(Parameter& shared, bool with_bias);   // W is that of another layer, which outlives this one, and has its name
  Tensor forward(const Tensor& x) const;   // (…,I) → (…,O)

  Parameter& weight;   // (O,I)
  Parameter* bias;     // (O); null without
};

}  // namespace tapir::nn

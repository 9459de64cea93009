// TokenMixer: what every attention implements. It owns its projections; transformer blocks hold one and know no mechanism.
#pragma once
#include "nn/call.h"
#include "nn/module.h"

namespace tapir::nn {

class TokenMixer : public Module {
 public:
  // x (B,T,C) queries come from it, context (B,S,C) keys and values: x itself for self-attention. Returns (B,T,C).
  virtual Tensor forward(const Tensor& x, const Tensor& context, const Call& call) = 0;

  // Whether call.positions may be this.
  virtual bool accepts(Positions positions) const { return positions == Positions::none; }
};

}  // namespace tapir::nn

// A bias of places: what is added to the score of a pair for where its two tokens stand. It may learn; each layer that has one
// owns it.
//
// Letters: B batch, H heads, T queries, S keys.
#pragma once
#include <memory>

#include "nn/token_mixer.h"

namespace tapir {

class PositionBias : public nn::Module {
 public:
  // (H,T,S), of the type and on the device of the scores E (B,H,T,S). Query t stands at offset + t, key s at s.
  virtual Tensor forward(const Tensor& E, int64_t offset) const = 0;
};

// That of shape.positions, which are a bias (else Error).
std::unique_ptr<PositionBias> make_position_bias(const nn::MixerShape& shape);

// |offset + t − s|, (T,S), for scores E (B,H,T,S) and of their type.
Tensor distances(const Tensor& E, int64_t offset);

}  // namespace tapir

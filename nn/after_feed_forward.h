// What a mixer may be besides: a layer behind the feed-forward network of its block.
#pragma once
#include "nn/token_mixer.h"

namespace tapir::nn {

class AfterFeedForward {
 public:
  virtual ~AfterFeedForward() = default;

  // z (B,N,C), what the feed-forward network gives → (B,N,C), what goes on to the residual sum. call.mask.keys, u8 (B,N): which
  // tokens are there.
  virtual Tensor after_feed_forward(const Tensor& z, const Call& call) = 0;
};

// z, or what the mixer makes of it.
inline Tensor after_feed_forward(TokenMixer& mixer, const Tensor& z, const Call& call) {
  auto* const layer = dynamic_cast<AfterFeedForward*>(&mixer);
  return layer ? layer->after_feed_forward(z, call) : z;
}

}  // namespace tapir::nn

// Encoder, and encoder with decoder (Vaswani et al. 2017, section 3.1). Letters: B batch, S source tokens, T target tokens,
// C width, V vocabulary of the target.
#pragma once
#include "nn/models/transformer.h"

namespace tapir::nn {

// Every token sees every other that is there.
class Encoder : public TransformerStack {
 public:
  // Throws what TransformerStack does, and Error for options of a head, which there is none of.
  Encoder(const TransformerOptions& options, const MixerMaker& mixer);

  // (B,S,C). tokens i32 (B,S), S ≤ context; call.mask.keys hides padded ones.
  Tensor forward(const Tensor& tokens, const Call& call) const;
};

// Each token sees those before it, and through cross-attention the whole memory.
class Decoder : public TransformerStack {
 public:
  Decoder(const TransformerOptions& options, const MixerMaker& mixer, const MixerMaker& cross);

  // (B,T,C). tokens i32 (B,T), T ≤ context. The call's mask is made causal; padding comes last, so it needs no mask.
  Tensor forward(const Tensor& tokens, const Memory& memory, const Call& call) const;
};

// An encoder of the source, a decoder of the target that reads it, and a head to the target's vocabulary. Vocabularies,
// contexts and layers may differ, the width may not.
class EncoderDecoder : public Module {
 public:
  // `mixer` makes self-attention of both, `cross` that from target to source. Throws Error when widths differ, and what
  // TransformerStack does.
  EncoderDecoder(const TransformerOptions& source, const TransformerOptions& target, const MixerMaker& mixer,
                 const MixerMaker& cross);

  // Logits (B,T,V) of the next target token. source i32 (B,S), target i32 (B,T); call.mask.keys, u8 (B,S), hides padded
  // source tokens.
  Tensor forward(const Tensor& source, const Tensor& target, const Call& call) const;

 private:
  Encoder& encoder_;
  Decoder& decoder_;
  Linear& head_;
};

}  // namespace tapir::nn

#include "nn/models/encoder_decoder.h"

namespace tapir::nn {

Encoder::Encoder(const TransformerOptions& options, const MixerMaker& mixer) : TransformerStack("encoder", options) {
  require(!options.tied_head && !options.head_bias, "encoder", [] { return "has no head that could be tied or have a bias"; },
          "of an encoder with a decoder, the target's options say it");
  add_blocks(false, mixer);
}

Tensor Encoder::forward(const Tensor& tokens, const Call& call) const {
  const Scope scope = enter();
  return leave(run(tokens, call), tokens);
}

Decoder::Decoder(const TransformerOptions& options, const MixerMaker& mixer, const MixerMaker& cross)
    : TransformerStack("decoder", options) {
  add_blocks(true, mixer, cross);
}

Tensor Decoder::forward(const Tensor& tokens, const Memory& memory, const Call& call) const {
  const Scope scope = enter();
  Call causal = call;
  causal.mask = {.causal = true, .offset = 0, .keys = {}};
  return leave(run(tokens, causal, memory), tokens);
}

EncoderDecoder::EncoderDecoder(const TransformerOptions& source, const TransformerOptions& target, const MixerMaker& mixer,
                               const MixerMaker& cross)
    : encoder_(child<Encoder>("encoder", source, mixer)), decoder_(child<Decoder>("decoder", target, mixer, cross)),
      head_(adopt("head", decoder_.make_head())) {
  require(source.width == target.width, "encoder-decoder",
          [&] { return text("widths differ: ", source.width, " of the source, ", target.width, " of the target"); });
}

Tensor EncoderDecoder::forward(const Tensor& source, const Tensor& target, const Call& call) const {
  const Scope scope = enter();
  const Tensor memory = encoder_.forward(source, call);
  return leave(head_.forward(decoder_.forward(target, {memory, call.mask.keys}, call)), source, target);
}

}  // namespace tapir::nn

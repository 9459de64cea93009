// An encoder of series of numbers: every sample, or patch of samples, becomes a token, and is judged by what attention makes of
// it. Any mixer can be in the blocks. Letters: B batch, T samples, Q and P numbers of a sample, p samples of a patch, N = T/p
// tokens, C width.
//
//   embed           a patch side by side, (B,N,pQ) → (B,N,C)
//   positions       (N,C), added, of positions = "learned"
//   blocks, norm    nn/blocks.h
//   head            (B,N,C) → (B,N,pP), which are P numbers of each sample
#pragma once
#include "nn/blocks.h"

namespace tapir::nn {

struct SeriesTransformerOptions : BlockOptions {
  int64_t patch = 1;
  std::string positions = "learned";

  void fields(FieldVisitor& visit) override {
    visit("patch", patch, "samples of a token; must divide those of a series", between(1, 1 << 12));
    BlockOptions::fields(visit);
    visit("positions", positions, "vectors added to the token vectors, or places that attention itself knows of",
          Choices{"learned", "sinusoidal", "rotary", "alibi", "kerple_log", "fire", "t5", "none"});
  }
};

class SeriesTransformer : public Module {
 public:
  // `samples`: T, `in`: Q, `out`: P. Throws Error for options that are not allowed, for patches that do not divide the series,
  // and what Blocks throws.
  SeriesTransformer(const SeriesTransformerOptions& options, int64_t samples, int64_t in, int64_t out, const MixerMaker& mixer);

  // (B,T,Q) → (B,T,P). A recorder hears "patch" first, i32 (1): p.
  Tensor forward(const Tensor& series, const Call& call) const;

 private:
  const int64_t samples_, in_, out_, tokens_;
  Linear& embed_;
  Parameter* positions_;   // (N,C); null unless learned
  const Tensor waves_;     // (N,C), of positions = "sinusoidal"; else undefined
  Dropout& dropout_;
  Blocks& blocks_;
  Norm& norm_;
  Linear& head_;
};

}  // namespace tapir::nn

// A transformer between functions (Cao 2021, arXiv 2105.14995): a linear map of every point, blocks without norms of their
// own, and a decoder of spectral convolutions. Any mixer can be in the blocks; it is told where the points stand. Letters: B
// batch, n equidistant points of a circle or a torus, d coordinates of a point, Q and P numbers of a function at a point, C
// width.
//
//   lift            (B,n,Q) → (B,n,C)
//   blocks          nn/blocks.h
//   decoder.K       SiLU of a spectral convolution, C → decoder_width, the others decoder_width → decoder_width
//   hidden, out     out(SiLU(hidden(x))), decoder_width → decoder_width → P
#pragma once
#include <vector>

#include "nn/blocks.h"
#include "nn/layers/spectral_convolution.h"

namespace tapir::nn {

struct OperatorTransformerOptions : BlockOptions {
  int64_t modes = 16;
  int64_t decoder_layers = 2;
  int64_t decoder_width = 48;

  OperatorTransformerOptions() {   // the paper's of Burgers' equation
    width = 96;
    layers = 4;
    heads = 1;
    hidden = 192;
    norm = "none";
    activation = "relu";
    attention_bias = true;
  }

  void fields(FieldVisitor& visit) override {
    BlockOptions::fields(visit);
    visit.only(norm != "none", "norm is not \"none\"", {"norm_kind"});   // other models have a last norm
    visit("modes", modes, "Fourier modes of a spectral convolution", between(1, 1 << 16));
    visit("decoder_layers", decoder_layers, "spectral convolutions behind the blocks", between(1, 1024));
    visit("decoder_width", decoder_width, "channels of the decoder", between(1, 1 << 16));
  }
};

class OperatorTransformer : public Module {
 public:
  // `in`: Q, `dimensions`: d, `out`: P. Throws Error for options that are not allowed, and what Blocks and SpectralConvolution
  // throw.
  OperatorTransformer(const OperatorTransformerOptions& options, int64_t in, int64_t dimensions, int64_t out,
                      const MixerMaker& mixer);

  // A function (B,n,Q) at places (B,n,d) → (B,n,P). Throws what SpectralConvolution throws.
  Tensor forward(const Tensor& function, const Tensor& places, const Call& call) const;

 private:
  Linear& lift_;
  Dropout& dropout_;
  Blocks& blocks_;
  std::vector<SpectralConvolution*> decoder_;
  Linear &hidden_, &out_;
};

}  // namespace tapir::nn

// The Fourier neural operator (Li et al. 2021, arXiv 2010.08895), the control without attention: spectral convolutions of a
// function and its places. Letters: B batch, n equidistant points of a circle or a torus, d coordinates of a point, Q and P
// numbers of a function at a point, C width.
//
//   lift            of the function and the places, (B,n,Q+d) → (B,n,C)
//   layers.K        spectral convolutions C → C, and ReLU but behind the last
//   hidden, out     out(ReLU(hidden(x))), C → 2 C → P
#pragma once
#include <vector>

#include "nn/fields.h"
#include "nn/layers/spectral_convolution.h"

namespace tapir::nn {

struct FnoOptions : Options {   // the paper's of Burgers' equation
  int64_t width = 64;
  int64_t layers = 4;
  int64_t modes = 16;

  void fields(FieldVisitor& visit) override {
    visit("width", width, "channels", between(1, 1 << 16));
    visit("layers", layers, "spectral convolutions", between(1, 1024));
    visit("modes", modes, "Fourier modes of a spectral convolution", between(1, 1 << 16));
  }
};

class Fno : public Module {
 public:
  // `in`: Q, `dimensions`: d, `out`: P. Throws Error for options that are not allowed, and what SpectralConvolution throws.
  Fno(const FnoOptions& options, int64_t in, int64_t dimensions, int64_t out);

  // A function (B,n,Q) at places (B,n,d) → (B,n,P). Throws what SpectralConvolution throws.
  Tensor forward(const Tensor& function, const Tensor& places) const;

 private:
  Linear& lift_;
  std::vector<SpectralConvolution*> layers_;
  Linear &hidden_, &out_;
};

}  // namespace tapir::nn

// A convolution with a kernel on the whole circle, given by its lowest Fourier modes, and a linear map of every point (Li
// et al. 2021, arXiv 2010.08895, eq. 4 and fig. 2): a layer that is the same function on grids of any number of points.
// Letters: B batch, n equidistant points, I inputs, O outputs, m modes.
#pragma once
#include "nn/layers/linear.h"

namespace tapir::nn {

//   y = irfft(R rfft(x)) + x Wᵀ + b,   R_k complex (I,O) for k < m, 0 for all higher modes
struct SpectralConvolution : Module {
  // `init`: of real and imaginary parts of R. Throws Error unless all are positive.
  SpectralConvolution(int64_t in, int64_t out, int64_t modes, const Init& init);

  Tensor forward(const Tensor& x) const;   // (B,n,I) → (B,n,O); throws Error unless n points have so many modes, ⌊n/2⌋ + 1 ≥ m

  Parameter& weight;   // R (m,I,2,O), real and imaginary parts
  Linear& local;       // W, b
};

}  // namespace tapir::nn

// A convolution with a kernel on the whole circle, or torus, given by its lowest Fourier modes, and a linear map of every point
// (Li et al. 2021, arXiv 2010.08895, eq. 4 and fig. 2): a layer that is the same function on grids of any number of points.
// Letters: B batch, d dimensions, n = sᵈ equidistant points, of a square row by row, I inputs, O outputs, m modes, M = m or 2m²
// of all dimensions.
#pragma once
#include "nn/layers/linear.h"

namespace tapir::nn {

//   y = F⁻¹(R F x) + x Wᵀ + b,   R_k complex (I,O) for modes k of F, 0 for all higher ones
// F: of a circle rfft with 0 ≤ k < m; of a torus with 0 ≤ k < m along rows and −m ≤ k < m from row to row.
struct SpectralConvolution : Module {
  // `init`: of real and imaginary parts of R. Throws Error unless all are positive, and for more than two dimensions.
  SpectralConvolution(int64_t in, int64_t out, int64_t modes, int64_t dimensions, const Init& init);

  // (B,n,I) → (B,n,O); throws Error unless n = sᵈ and s points have so many modes, ⌊s/2⌋ + 1 ≥ m, of a torus 2m ≤ s
  Tensor forward(const Tensor& x) const;

  Parameter& weight;   // R (M,I,2,O), real and imaginary parts; of a torus M = m · 2m, first modes along rows, then those from
                       // row to row, 0 … m − 1, −m … −1
  Linear& local;       // W, b

 private:
  const int64_t modes_, dimensions_;
};

}  // namespace tapir::nn

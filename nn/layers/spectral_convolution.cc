#include "nn/layers/spectral_convolution.h"

#include <cmath>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/fourier.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace tapir::nn {
namespace {

int64_t all_modes(int64_t modes, int64_t dimensions) { return dimensions == 1 ? modes : 2 * modes * modes; }

int64_t side_of(int64_t n, int64_t dimensions) {   // s of n = sᵈ, or 0
  const int64_t s = dimensions == 1 ? n : std::llround(std::sqrt(static_cast<double>(n)));
  return dimensions == 1 || s * s == n ? s : 0;
}

// Complex modes −m ≤ k < m of s complex values as one product (2s,4m) of pairs: X_k = Σ_j x_j e^(−2πi jk/s). Transposed and
// divided by s it is the way back.
Tensor waves(int64_t s, int64_t m) {
  std::vector<double> all(2 * s * 4 * m);
  for (int64_t j = 0; j < s; ++j)
    for (int64_t k = 0; k < 2 * m; ++k) {
      const int64_t turns = j * (k < m ? k : k - 2 * m) % s;
      const double angle = 2 * std::numbers::pi * static_cast<double>(turns) / static_cast<double>(s);
      double* const pair = all.data() + 2 * j * 4 * m + 2 * k;
      pair[0] = pair[4 * m + 1] = std::cos(angle);
      pair[1] = -std::sin(angle);
      pair[4 * m] = std::sin(angle);
    }
  return Tensor::from(all, {2 * s, 4 * m}, Device::cpu);
}

}  // namespace

SpectralConvolution::SpectralConvolution(int64_t in, int64_t out, int64_t modes, int64_t dimensions, const Init& init)
    : weight((require(in > 0 && out > 0 && modes > 0, "spectral convolution",
                      [&] { return text("inputs, outputs and modes must be positive, got ", in, ", ", out, ", ", modes); }),
              require(dimensions == 1 || dimensions == 2, "spectral convolution",
                      [&] { return text("expected 1 or 2 dimensions, got ", dimensions); }),
              parameter("weight", {all_modes(modes, dimensions), in, 2, out}, ParameterKind::weight, init))),
      local(child<Linear>("local", in, out, true, Init::fan_in(in), Init::fan_in(in))),
      modes_(modes), dimensions_(dimensions) {}

Tensor SpectralConvolution::forward(const Tensor& x) const {
  const Scope scope = enter();
  const int64_t m = modes_, M = weight.shape[0], I = weight.shape[1], O = weight.shape[3];
  const bool torus = dimensions_ == 2;
  const int64_t s = x.rank() == 3 ? side_of(x.size(1), dimensions_) : 0;
  require(
      x.rank() == 3 && x.size(2) == I && s / 2 + 1 >= m && (!torus || 2 * m <= s), "spectral convolution",
      [&] {
        return torus ? text("x must be (B,n,", I, ") with n a square of at least ", 2 * m, " points a side for ", m,
                            " modes, got ", x.shape())
                     : text("x must be (B,n,", I, ") with the ", m, " modes that n/2 + 1 points have, got ", x.shape());
      },
      "take fewer modes, or more points");
  const int64_t B = x.size(0), n = x.size(1);
  Tensor X = transpose(x);   // (B,I,n)
  Tensor across;             // (2s,4m)
  if (torus) {
    across = waves(s, m).to(x.dtype()).to(x.device());
    const Tensor along = slice(rfft(reshape(X, {B, I, s, s})), 3, 0, m);   // (B,I,s,m,2)
    X = reshape(matmul(reshape(permute(along, {0, 1, 3, 2, 4}), {B, I, m, 2 * s}), across), {B, I, M, 2});
  } else {
    X = slice(rfft(X), 2, 0, m);   // (B,I,M,2)
  }
  // One product for both parts of both factors: rows are Re X and Im X, columns Re R and Im R.
  const Tensor rows = reshape(permute(X, {2, 3, 0, 1}), {M, 2 * B, I});
  const Tensor all = reshape(matmul(rows, reshape(weight.value, {M, I, 2 * O})), {M, 2, B, 2, O});
  const auto part = [&](int64_t of_X, int64_t of_R) {
    return reshape(slice(slice(all, 1, of_X, 1), 3, of_R, 1), {M, B, O});
  };
  Tensor Y = stack({sub(part(0, 0), part(1, 1)), add(part(0, 1), part(1, 0))}, 3);   // (M,B,O,2)
  Y = permute(Y, {1, 2, 0, 3});                                                      // (B,O,M,2)
  if (torus) {
    const Tensor back = affine(transpose(across), 1 / static_cast<double>(s), 0);
    Y = permute(reshape(matmul(reshape(Y, {B, O, m, 4 * m}), back), {B, O, m, s, 2}), {0, 1, 3, 2, 4});
  }
  const Tensor y = irfft(pad(Y, torus ? 3 : 2, 0, s / 2 + 1 - m), s);   // (B,O,s) or (B,O,s,s)
  return leave(add(transpose(reshape(y, {B, O, n})), local.forward(x)), x);
}

}  // namespace tapir::nn

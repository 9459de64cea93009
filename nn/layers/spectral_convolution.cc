#include "nn/layers/spectral_convolution.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/fourier.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace tapir::nn {

SpectralConvolution::SpectralConvolution(int64_t in, int64_t out, int64_t modes, const Init& init)
    : weight((require(in > 0 && out > 0 && modes > 0, "spectral convolution",
                      [&] { return text("inputs, outputs and modes must be positive, got ", in, ", ", out, ", ", modes); }),
              parameter("weight", {modes, in, 2, out}, ParameterKind::weight, init))),
      local(child<Linear>("local", in, out, true, Init::fan_in(in), Init::fan_in(in))) {}

Tensor SpectralConvolution::forward(const Tensor& x) const {
  const Scope scope = enter();
  const int64_t m = weight.shape[0], I = weight.shape[1], O = weight.shape[3];
  require(
      x.rank() == 3 && x.size(2) == I && x.size(1) / 2 + 1 >= m, "spectral convolution",
      [&] { return text("x must be (B,n,", I, ") with the ", m, " modes that n/2 + 1 points have, got ", x.shape()); },
      "take fewer modes, or more points");
  const int64_t B = x.size(0), n = x.size(1);
  const Tensor X = slice(rfft(transpose(x)), 2, 0, m);   // (B,I,m,2)
  // One product for both parts of both factors: rows are Re X and Im X, columns Re R and Im R.
  const Tensor rows = reshape(permute(X, {2, 3, 0, 1}), {m, 2 * B, I});
  const Tensor all = reshape(matmul(rows, reshape(weight.value, {m, I, 2 * O})), {m, 2, B, 2, O});
  const auto part = [&](int64_t of_X, int64_t of_R) {
    return reshape(slice(slice(all, 1, of_X, 1), 3, of_R, 1), {m, B, O});
  };
  const Tensor Y = stack({sub(part(0, 0), part(1, 1)), add(part(0, 1), part(1, 0))}, 3);   // (m,B,O,2)
  const Tensor y = irfft(pad(permute(Y, {1, 2, 0, 3}), 2, 0, n / 2 + 1 - m), n);           // (B,O,n)
  return leave(add(transpose(y), local.forward(x)), x);
}

}  // namespace tapir::nn

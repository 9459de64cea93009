// Real Fourier transforms. Letters: θ = 2π jk/n; c_k = 1 for the frequencies that are their own mirror images, k = 0 and
// k = n/2, and 2 for the others, each of which stands for two.
//   Re X_k = Σ_j x_j cos θ,  Im X_k = −Σ_j x_j sin θ          x_j = 1/n Σ_k c_k (Re X_k cos θ − Im X_k sin θ)
// With these matrices:
//   rfft:   dx_j = Σ_k (Re G_k cos θ − Im G_k sin θ) = irfft(G n/c)_j
//   irfft:  Re dX_k = c_k/n Σ_j g_j cos θ,  Im dX_k = −c_k/n Σ_j g_j sin θ:  dX = rfft(g) c/n
#include "autograd/ops/fourier.h"

#include <algorithm>
#include <limits>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "tensor/fft.h"

namespace tapir {
namespace {

// The factor of each frequency, (⌊n/2⌋+1,2), for both of its parts, so that products run along whole rows: `own` where c_k = 1,
// else `paired`.
Tensor factors(int64_t n, double own, double paired, const Tensor& like) {
  std::vector<double> values((n / 2 + 1) * 2, paired);
  values[0] = own;   // its imaginary part, and that of n/2, has no part in a real signal
  if (n % 2 == 0) values[n] = own;
  return Tensor::from(values, {n / 2 + 1, 2}, Device::cpu).to(like.dtype()).to(like.device());
}

// Throws an Error named after `op`, which was given this shape, unless tensor/fft.h takes so many rows of n numbers.
void require_rows(const char* op, int64_t rows, int64_t n, const Shape& shape) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  require(std::max(rows, n) <= most, op,
          [&] { return text("takes at most ", most, " rows of as many numbers, got ", rows, " of ", n, ": shape ", shape); });
}

}  // namespace

struct Rfft {
  static constexpr const char* name = "rfft";
  int64_t n = 0;
  Tensor forward(const Tensor& x_) {
    require(x_.rank() >= 1 && x_.size(-1) >= 1, name,
            [&] { return text("needs elements along the last axis, got shape ", x_.shape()); });
    n = x_.size(-1);
    const int64_t rows = x_.elements() / n;
    require_rows(name, rows, n, x_.shape());
    Shape shape = x_.shape().with(-1, n / 2 + 1);
    shape.push_back(2);
    const Tensor X = Tensor::empty(shape, x_.dtype(), x_.device()), x = x_.contiguous();
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      real_transform(x.device(), rows, n, x.data<T>(), X.data<T>());
    });
    return X;
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const auto all = static_cast<double>(n);
    return {irfft(mul(g, factors(n, all, all / 2, g)), n)};
  }
};
Tensor rfft(const Tensor& x) { return apply(Rfft{}, x); }

struct Irfft {
  static constexpr const char* name = "irfft";
  int64_t n;
  Tensor forward(const Tensor& X_) {
    require(n >= 1 && X_.rank() >= 2 && X_.size(-1) == 2 && X_.size(-2) == n / 2 + 1, name,
            [&] { return text("needs shape (…,⌊n/2⌋+1,2) and n ≥ 1, got ", X_.shape(), " and n = ", n); });
    const int64_t rows = X_.elements() / X_.size(-2) / 2;
    require_rows(name, rows, n, X_.shape());
    const Tensor X = X_.contiguous(), x = Tensor::empty(X.shape().without(-1).with(-1, n), X.dtype(), X.device());
    with_float(name, X.dtype(), [&](auto zero) {
      using T = decltype(zero);
      inverse_real_transform(X.device(), rows, n, X.data<T>(), x.data<T>());
    });
    return x;
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const auto all = static_cast<double>(n);
    return {mul(rfft(g), factors(n, 1 / all, 2 / all, g))};
  }
};
Tensor irfft(const Tensor& X, Count n) { return apply(Irfft{n}, X); }

}  // namespace tapir

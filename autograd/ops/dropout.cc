// Dropout (Srivastava et al. 2014). No mask is stored: element i draws Philox at (key, i) again whenever it is needed.
#include "autograd/apply.h"
#include "autograd/ops.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

// Elements 4·block … 4·block + 3 share one draw of Philox.
template <class T> struct DropBlock {
  const T* x;
  T* y;
  int64_t n;
  float p;
  T factor;
  RandomKey key;
  HD void operator()(int64_t block) const {
    const Philox4 bits = random_block(key, static_cast<uint64_t>(block));
    for (int lane = 0; lane < 4; ++lane) {
      const int64_t i = 4 * block + lane;
      if (i < n) y[i] = uniform(bits[lane]) < p ? T(0) : x[i] * factor;
    }
  }
};

}  // namespace

// y_i = x_i kept_i / (1 − p);  dx_i = g_i kept_i / (1 − p): the same linear map
struct Dropout {
  static constexpr const char* name = "dropout";
  double p;
  RandomKey key;
  Tensor forward(const Tensor& x_) {
    require(p >= 0 && p < 1, name, [&] { return text("the probability must be in [0, 1), got ", p); });
    const Tensor x = x_.contiguous(), y = Tensor::empty(x.shape(), x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each(
          x.device(), (x.elements() + 3) / 4,
          DropBlock<T>{x.data<T>(), y.data<T>(), x.elements(), static_cast<float>(p), static_cast<T>(1 / (1 - p)), key});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {dropout(g, p, key)}; }
};
Tensor dropout(const Tensor& x, double p, const RandomKey& key) { return p == 0 ? x : apply(Dropout{p, key}, x); }

}  // namespace tapir

#include "tensor/windows.h"

#include <numeric>

namespace tapir {

Line line_of(const Windows& w) { return {w.count(), -w.padding, w.stride, w.kernel, w.dilation, 0, 1, 0, 1}; }

// For one r the t that count are k0, k0 + s/γ, …, γ = gcd(s, d), and a step of t is one of −d/γ in y: taken from the last to the first.
Line line_of_adjoint(const Windows& w, int64_t r) {
  const int64_t common = std::gcd(w.stride, w.dilation), step = w.stride / common, tried = std::min(step, w.kernel);
  int64_t k0 = 0;
  while (k0 < tried && (r + w.padding - k0 * w.dilation) % w.stride != 0) ++k0;
  const int64_t taps = k0 < tried ? (w.kernel - k0 + step - 1) / step : 0, last = k0 + (taps - 1) * step;
  return {(w.size - r + w.stride - 1) / w.stride, (r + w.padding - last * w.dilation) / w.stride, 1, taps, w.dilation / common,
          last, -step, r, w.stride};
}

}  // namespace tapir

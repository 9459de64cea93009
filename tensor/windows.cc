#include "tensor/windows.h"

#include <numeric>

namespace tapir {

WindowLine line_of(const AxisWindows& w) { return {w.count(), -w.padding, w.stride, w.kernel, w.dilation, 0, 1, 0, 1}; }

// Places h = r, r + s, … meet the t = k, k + s/γ, …, γ = gcd(s, d), where k d ≡ r + p (mod s). A step of t is one of −d/γ in
// y: they are taken from the last to the first.
std::vector<WindowLine> lines_of_adjoint(const AxisWindows& w) {
  const int64_t common = std::gcd(w.stride, w.dilation), step = w.stride / common;
  std::vector<WindowLine> lines;
  for (int64_t k = 0; k < std::min(step, w.kernel); ++k) {
    const int64_t r = ((k * w.dilation - w.padding) % w.stride + w.stride) % w.stride;
    if (r >= w.size) continue;
    const int64_t taps = (w.kernel - k + step - 1) / step, last = k + (taps - 1) * step;
    lines.push_back({(w.size - r + w.stride - 1) / w.stride, (r + w.padding - last * w.dilation) / w.stride, 1, taps,
                     w.dilation / common, last, -step, r, w.stride});
  }
  return lines;
}

}  // namespace tapir

// Windows that slide along an axis: of convolutions, patches and pooling.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "tensor/error.h"

namespace tapir {

// Window i has the places i · stride − padding + t · dilation, t < kernel. Beyond the axis there is padding.
struct AxisWindows {
  int64_t size = 1, kernel = 1, stride = 1, padding = 0, dilation = 1;

  int64_t reach() const { return (kernel - 1) * dilation + 1; }   // places from a window's first to its last
  int64_t count() const { return (size + 2 * padding - reach()) / stride + 1; }
};

struct Plane {   // the axes of an image
  AxisWindows rows, columns;
};

// One axis of  y(out + i out_step) = Σ_t x(first + i step + t tap_step) w(kernel + t kernel_step),  i < count, t < taps.
struct WindowLine {
  int64_t count, first, step, taps, tap_step, kernel, kernel_step, out, out_step;

  int64_t before() const { return std::max<int64_t>(0, -first); }   // places that it reads beside an axis of `size`
  int64_t after(int64_t size) const {
    return std::max<int64_t>(0, first + (count - 1) * step + (taps - 1) * tap_step + 1 - size);
  }
};

WindowLine line_of(const AxisWindows& w);   // y(i) = Σ_t x(i stride − padding + t dilation) w(t)

// The adjoint, x(h) = Σ_t y((h + padding − t dilation)/stride) w(t) where that is whole: a line each for those h = r, r +
// stride, …, r < stride, that have a t.
std::vector<WindowLine> lines_of_adjoint(const AxisWindows& w);

// Throws an Error named after `op`, which ends with the text of(), unless kernel, stride and dilation are at least 1, a window
// reaches over fewer than 2³¹ places, and the padding is in [0, (kernel − 1) dilation], so that no window lies beside the axis.
// The size is not looked at.
template <class Of>
void require_window(const char* op, const AxisWindows& w, const Of& of) {
  const auto within = [&](const char* name, int64_t value, int64_t low, int64_t high) {
    require(low <= value && value <= high, op,
            [&] { return text(name, " must be in [", low, ", ", high, "], got ", value, "; ", of()); });
  };
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  within("kernel", w.kernel, 1, limit);
  within("stride", w.stride, 1, limit);
  within("dilation", w.dilation, 1, w.kernel > 1 ? limit / (w.kernel - 1) : limit);
  within("padding", w.padding, 0, w.reach() - 1);
}

// The same, and that the axis is there and a window fits.
template <class Of>
void require_windows(const char* op, const AxisWindows& w, const Of& of) {
  require_window(op, w, of);
  require(w.size >= 1 && w.size + 2 * w.padding >= w.reach(), op, [&] {
    return text("a window of ", w.kernel, " with dilation ", w.dilation, " does not fit on ", w.size, " places with padding ",
                w.padding, "; ", of());
  });
}

}  // namespace tapir

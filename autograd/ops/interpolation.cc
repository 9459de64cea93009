// Values between the elements along an axis. Letters: N blocks before the axis, n elements along it in x and m in y, C columns
// behind it.
#include "autograd/ops/interpolation.h"

#include <algorithm>

#include "autograd/apply.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

HD_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
HD_INLINE int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }

// Where the m elements of y lie among the n of x, as exact fractions: o at (step o + shift)/unit, kept within 0 … n − 1.
struct Places {
  int64_t n, m, step, shift, unit;

  Places(int64_t n_, int64_t m_, bool align_corners)
      : n(n_), m(m_), step(align_corners ? n - 1 : 2 * n), shift(align_corners ? 0 : n - m),
        unit(align_corners ? larger(1, m - 1) : 2 * m) {}

  HD int64_t place(int64_t o) const { return smaller(larger(step * o + shift, 0), (n - 1) * unit); }   // times unit

  // The weight of x_i in y_o, whose place is less than 1 away: 1 − their distance.
  template <class T> HD T weight(int64_t i, int64_t place) const {
    const int64_t distance = place < i * unit ? i * unit - place : place - i * unit;
    return T(unit - distance) / T(unit);
  }

  // x_i has a weight in y_o for first(i) ≤ o < last(i).
  HD int64_t first(int64_t i) const { return i == 0 ? 0 : beyond((i - 1) * unit); }
  HD int64_t last(int64_t i) const { return i == n - 1 ? m : beyond((i + 1) * unit - 1); }

 private:
  // The first o with step o + shift > p, at most m. Called for n > 1 alone, where step > 0.
  HD int64_t beyond(int64_t p) const { return p < shift ? 0 : smaller(m, (p - shift) / step + 1); }
};

// y_o = w x_i + (1 − w) x_{i+1}; where the weight of the latter is 0 it is not read.
template <class T> struct InterpolateRow {
  const T* x;
  T* y;
  Places places;
  int64_t columns;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t place = places.place(row % places.m), i = place / places.unit;
    const T* before = x + (row / places.m * places.n + i) * columns;
    T* out = y + row * columns;
    if (place == i * places.unit) {
      team.each(columns, [&](int64_t c) { out[c] = before[c]; });
    } else {
      const T *after = before + columns, w = places.template weight<T>(i, place), v = places.template weight<T>(i + 1, place);
      team.each(columns, [&](int64_t c) { out[c] = w * before[c] + v * after[c]; });
    }
  }
};

// x_i = Σ_o w_oi y_o, in the order of o
template <class T> struct InterpolateAdjointRow {
  const T* y;
  T* x;
  Places places;
  int64_t columns;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t i = row % places.n;
    const T* from = y + row / places.n * places.m * columns;
    T* out = x + row * columns;
    team.each(columns, [&](int64_t c) { out[c] = T(0); });
    for (int64_t o = places.first(i); o < places.last(i); ++o) {
      const T *line = from + o * columns, w = places.template weight<T>(i, places.place(o));
      team.each(columns, [&](int64_t c) { out[c] += w * line[c]; });
    }
  }
};

constexpr int64_t most = int64_t{1} << 30;   // elements along the axis: places are exact in 64 bits

void require_sizes(const char* op, const Tensor& x, int axis, int64_t to) {
  const int64_t from = x.size(axis);
  require(from >= 1 && from <= most && to >= 1 && to <= most, op, [&] {
    return text("sizes must be from 1 to ", most, ": from ", from, " to ", to, " elements along axis ", axis, " of shape ",
                x.shape());
  });
}

// Runs Kernel over (N, to, C).
template <template <class> class Kernel>
Tensor along_axis(const char* op, const Tensor& from, int axis, int64_t to, bool align_corners, bool adjoint) {
  require_sizes(op, from, axis, to);
  const int64_t extent = from.size(axis);
  const Tensor dense = from.contiguous(), result = Tensor::empty(from.shape().with(axis, to), from.dtype(), from.device());
  int64_t columns = 1;
  for (int a = axis + 1; a < from.rank(); ++a) columns *= from.size(a);
  const Places places = adjoint ? Places(to, extent, align_corners) : Places(extent, to, align_corners);
  with_float(op, from.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (result.elements() > 0)
      for_each_row(result.device(), result.elements() / columns, columns,
                   Kernel<T>{dense.data<T>(), result.data<T>(), places, columns});
  });
  return result;
}

}  // namespace

// y_o = Σ_i w_oi x_i, of which two are not 0;  dx_i = Σ_o w_oi g_o
struct Interpolate {
  static constexpr const char* name = "interpolate";
  int axis;
  int64_t size;
  bool align_corners;
  int64_t extent = 0;
  Tensor forward(const Tensor& x) {
    axis = normal_axis(name, axis, x.shape());
    extent = x.size(axis);
    return along_axis<InterpolateRow>(name, x, axis, size, align_corners, false);
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    return {interpolate_adjoint(g, axis, extent, align_corners)};
  }
};
Tensor interpolate(const Tensor& x, Axis axis, Count size, Flag align_corners) {
  return apply(Interpolate{axis, size, align_corners}, x);
}

// x_i = Σ_o w_oi y_o;  dy_o = Σ_i w_oi g_i
struct InterpolateAdjoint {
  static constexpr const char* name = "interpolate_adjoint";
  int axis;
  int64_t size;
  bool align_corners;
  int64_t extent = 0;
  Tensor forward(const Tensor& y) {
    axis = normal_axis(name, axis, y.shape());
    extent = y.size(axis);
    return along_axis<InterpolateAdjointRow>(name, y, axis, size, align_corners, true);
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {interpolate(g, axis, extent, align_corners)}; }
};
Tensor interpolate_adjoint(const Tensor& y, Axis axis, Count size, Flag align_corners) {
  return apply(InterpolateAdjoint{axis, size, align_corners}, y);
}

// First along the axis that leaves less to do along the other.
Tensor bilinear(const Tensor& x, Count height, Count width, Flag align_corners) {
  const Called called("bilinear");
  require_same_kind("bilinear", {&x});
  require(x.rank() == 4, "bilinear", [&] { return text("images must be (B,H,W,C), got shape ", x.shape()); });
  require_sizes("bilinear", x, 1, height);
  require_sizes("bilinear", x, 2, width);
  const bool wide_first = static_cast<double>(x.size(1)) * width <= static_cast<double>(height) * x.size(2);
  const Tensor half = wide_first ? interpolate(x, 2, width, align_corners) : interpolate(x, 1, height, align_corners);
  return wide_first ? interpolate(half, 1, height, align_corners) : interpolate(half, 2, width, align_corners);
}

}  // namespace tapir

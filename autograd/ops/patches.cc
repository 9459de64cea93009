// Windows of images as rows, and back. Letters: (B,H,W,C) images, (H',W') windows of kh × kw places.
#include "autograd/ops/patches.h"

#include "autograd/apply.h"
#include "tensor/parallel.h"
#include "tensor/windows.h"

namespace tapir {
namespace {

// A row is a window: of each place the channels, or zeros beside the image.
template <class T> struct UnfoldRow {
  const T* x;
  T* y;
  Plane plane;
  int64_t across, windows, channels;   // W', H' W', C
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const AxisWindows &down = plane.rows, &along = plane.columns;
    const int64_t image = row / windows, window = row % windows;
    const int64_t top = window / across * down.stride - down.padding, left = window % across * along.stride - along.padding;
    for (int64_t u = 0; u < down.kernel; ++u)
      for (int64_t v = 0; v < along.kernel; ++v) {
        const int64_t i = top + u * down.dilation, j = left + v * along.dilation;
        const bool inside = i >= 0 && i < down.size && j >= 0 && j < along.size;
        const T* from = x + ((image * down.size + i) * along.size + j) * channels;
        T* to = y + ((row * down.kernel + u) * along.kernel + v) * channels;
        team.each(channels, [&](int64_t c) { to[c] = inside ? from[c] : T(0); });
      }
  }
};

// A row is a place of an image: the sum over the windows that have it.
template <class T> struct FoldRow {
  const T* y;
  T* x;
  Plane plane;
  int64_t across, windows, channels;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const AxisWindows &down = plane.rows, &along = plane.columns;
    const int64_t j = row % along.size + along.padding, i = row / along.size % down.size + down.padding;
    const int64_t image = row / along.size / down.size;
    T* to = x + row * channels;
    team.each(channels, [&](int64_t c) { to[c] = T(0); });
    for (int64_t u = 0; u < down.kernel; ++u)
      for (int64_t v = 0; v < along.kernel; ++v) {
        const int64_t top = i - u * down.dilation, left = j - v * along.dilation;   // of the window, if there is one
        if (top < 0 || left < 0 || top % down.stride != 0 || left % along.stride != 0) continue;
        if (left / along.stride >= across || top / down.stride >= windows / across) continue;
        const int64_t window = image * windows + top / down.stride * across + left / along.stride;
        const T* from = y + ((window * down.kernel + u) * along.kernel + v) * channels;
        team.each(channels, [&](int64_t c) { to[c] += from[c]; });
      }
  }
};

template <template <class> class Row>
Tensor moved(const char* op, const Tensor& from, const Shape& shape, const Plane& plane, int64_t rows, int64_t channels) {
  const Tensor dense = from.contiguous(), to = Tensor::empty(shape, from.dtype(), from.device());
  with_float(op, from.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t across = plane.columns.count();
    if (rows > 0 && channels > 0)
      for_each_row(from.device(), rows, from.elements() / rows,
                   Row<T>{dense.data<T>(), to.data<T>(), plane, across, plane.rows.count() * across, channels});
  });
  return to;
}

Plane plane_of(const char* op, int64_t height, int64_t width, int64_t rows, int64_t columns, const PatchOptions& o,
               const Tensor& x) {
  const Plane plane{{height, rows, o.stride, o.padding, o.dilation}, {width, columns, o.stride, o.padding, o.dilation}};
  const auto shape = [&] { return text("the shape is ", x.shape()); };
  require_windows(op, plane.rows, shape);
  require_windows(op, plane.columns, shape);
  return plane;
}

}  // namespace

// y = the windows of x;  dx = g folded
struct Unfold {
  static constexpr const char* name = "unfold";
  int64_t rows, columns;
  PatchOptions options;
  int64_t height = 0, width = 0;
  Tensor forward(const Tensor& x) {
    require(x.rank() == 4, name, [&] { return text("needs x (B,H,W,C), got ", x.shape()); });
    height = x.size(1);
    width = x.size(2);
    const Plane plane = plane_of(name, height, width, rows, columns, options, x);
    const Shape shape{x.size(0), plane.rows.count(), plane.columns.count(), Shape{rows, columns, x.size(3)}.elements()};
    return moved<UnfoldRow>(name, x, shape, plane, x.size(0) * shape[1] * shape[2], x.size(3));
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {fold(g, height, width, rows, columns, options)}; }
};
Tensor unfold(const Tensor& x, Count rows, Count columns, const PatchOptions& options) {
  return apply(Unfold{rows, columns, options}, x);
}

// x = the sums of what windows have of its places;  dwindows = g unfolded
struct Fold {
  static constexpr const char* name = "fold";
  int64_t height, width, rows, columns;
  PatchOptions options;
  Tensor forward(const Tensor& y) {
    require(y.rank() == 4, name, [&] { return text("needs windows (B,H',W',rows·columns·C), got ", y.shape()); });
    const Plane plane = plane_of(name, height, width, rows, columns, options, y);
    require(y.size(1) == plane.rows.count() && y.size(2) == plane.columns.count() && y.size(3) % (rows * columns) == 0, name,
            [&] {
              return text("an image of [", height, ",", width, "] has [", plane.rows.count(), ",", plane.columns.count(),
                          "] windows of [", rows, ",", columns, "], got ", y.shape());
            });
    const int64_t channels = y.size(3) / (rows * columns);
    return moved<FoldRow>(name, y, {y.size(0), height, width, channels}, plane, y.size(0) * height * width, channels);
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {unfold(g, rows, columns, options)}; }
};
Tensor fold(const Tensor& windows, Count height, Count width, Count rows, Count columns, const PatchOptions& options) {
  return apply(Fold{height, width, rows, columns, options}, windows);
}

}  // namespace tapir

// Pooling, made of other ops: of gather by the places of the largest, of a convolution with equal weights, of means of slices.
#include "autograd/ops/pooling.h"

#include <limits>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "tensor/parallel.h"
#include "tensor/windows.h"

namespace tapir {
namespace {

// A row is a window: of each channel the place of the largest number, i W + j.
template <class T> struct LargestRow {
  const T* x;
  T* largest;
  int32_t* place;
  Plane plane;
  int64_t across, windows, channels;   // W', H' W', C
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const AxisWindows &down = plane.rows, &along = plane.columns;
    const int64_t image = row / windows, window = row % windows;
    const int64_t top = window / across * down.stride - down.padding, left = window % across * along.stride - along.padding;
    T* const best = largest + row * channels;
    int32_t* const best_place = place + row * channels;
    bool first = true;
    for (int64_t i = top < 0 ? 0 : top; i < top + down.kernel && i < down.size; ++i)
      for (int64_t j = left < 0 ? 0 : left; j < left + along.kernel && j < along.size; ++j, first = false) {
        const T* from = x + ((image * down.size + i) * along.size + j) * channels;
        const int32_t here = static_cast<int32_t>(i * along.size + j);
        team.each(channels, [&](int64_t c) {
          const bool larger = first || from[c] > best[c] || from[c] != from[c];
          best[c] = larger ? from[c] : best[c];
          best_place[c] = larger ? here : best_place[c];
        });
      }
  }
};

Plane plane_of(const char* op, const Tensor& x, int64_t rows, int64_t columns, const PatchOptions& o) {
  require_defined(op, "x", x);
  require(x.rank() == 4, op, [&] { return text("needs x (B,H,W,C), got ", x.shape()); });
  const Plane plane{{x.size(1), rows, o.stride, o.padding, o.dilation}, {x.size(2), columns, o.stride, o.padding, o.dilation}};
  const auto shape = [&] { return text("the shape is ", x.shape()); };
  require(o.dilation == 1, op, [&] { return text("windows have dilation 1, got ", o.dilation, "; ", shape()); });
  require_windows(op, plane.rows, shape);
  require_windows(op, plane.columns, shape);
  return plane;
}

// Means over n parts of an axis.
Tensor means_along(const Tensor& x, int axis, int64_t n) {
  std::vector<Tensor> means;
  const int64_t size = x.size(axis);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t begin = i * size / n, end = ((i + 1) * size + n - 1) / n;
    means.push_back(mean(slice(x, axis, begin, end - begin), axis, true));
  }
  return concat(means, axis);
}

}  // namespace

Tensor max_pool2d(const Tensor& x, Count rows, Count columns, const PatchOptions& options) {
  constexpr const char* name = "max_pool2d";
  const Called called(name);
  const Plane plane = plane_of(name, x, rows, columns, options);
  const int64_t down = plane.rows.count(), across = plane.columns.count(), channels = x.size(3), places = x.size(1) * x.size(2);
  require(places <= std::numeric_limits<int32_t>::max(), name, [&] { return text("too many places: ", x.shape()); });
  const Tensor dense = x.detach().contiguous(),
               largest = Tensor::empty({x.size(0), down * across, channels}, x.dtype(), x.device());
  // Zeros at first, which are places too: a dry run finds none.
  const Tensor place = Tensor::from(std::vector<int32_t>(largest.elements()), largest.shape(), x.device());
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each_row(
        x.device(), x.size(0) * down * across, plane.rows.kernel * plane.columns.kernel * channels,
        LargestRow<T>{dense.data<T>(), largest.data<T>(), place.data<int32_t>(), plane, across, down * across, channels});
  });
  place.wrote();
  return reshape(gather(reshape(x, {x.size(0), places, channels}), 1, place), {x.size(0), down, across, channels});
}

Tensor average_pool2d(const Tensor& x, Count rows, Count columns, const PatchOptions& options) {
  constexpr const char* name = "average_pool2d";
  const Called called(name);
  plane_of(name, x, rows, columns, options);
  with_float(name, x.dtype(), [](auto) {});
  const int64_t channels = x.size(3);
  const Tensor weight = Tensor::full({rows, columns, 1, channels},
                                     1 / (static_cast<double>(rows) * static_cast<double>(columns)), x.dtype(), x.device());
  return conv2d(x, weight, {.stride = options.stride, .padding = options.padding, .groups = channels});
}

Tensor adaptive_average_pool2d(const Tensor& x, Count height, Count width) {
  constexpr const char* name = "adaptive_average_pool2d";
  const Called called(name);
  require_defined(name, "x", x);
  with_float(name, x.dtype(), [](auto) {});
  require(x.rank() == 4, name, [&] { return text("needs x (B,H,W,C), got ", x.shape()); });
  require(1 <= height && height <= x.size(1) && 1 <= width && width <= x.size(2), name, [&] {
    return text("an image of [", x.size(1), ",", x.size(2), "] has no [", height.value, ",", width.value,
                "] parts; the shape is ", x.shape());
  });
  return means_along(means_along(x, 1, height), 2, width);
}

}  // namespace tapir

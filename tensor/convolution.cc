#include "tensor/convolution.h"

#include <limits>
#include <vector>

#include "tensor/blocks.h"
#include "tensor/correlation.h"
#include "tensor/depthwise.h"
#include "tensor/precision.h"

namespace tapir {
namespace {

constexpr const char* name = "convolution";

template <class Format> struct RoundElement {
  const float* x;
  float* y;
  HD void operator()(int64_t i) const { y[i] = Format(x[i]); }
};

template <class Format> Tensor rounded_as(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  for_each(x.device(), x.elements(), RoundElement<Format>{x.data<float>(), y.data<float>()});
  return y;
}

Tensor rounded(const Tensor& x) {
  if (x.dtype() == DType::f64 || precision() == Precision::f32) return x;
  return precision() == Precision::tf32 ? rounded_as<Tf32>(x) : rounded_as<Bf16>(x);
}

// Images (B,H,W,C) as the kernels read them, some at a time: with zeros around, and channels of a group rounded up to `lanes`;
// where neither is wanted, as they are.
template <class T>
class Images {
 public:
  Images(const Tensor& x, int64_t groups, int64_t lanes, int64_t top, int64_t bottom, int64_t left, int64_t right)
      : x_(x), copy_{nullptr, nullptr, x.size(1), x.size(2), top, left, x.size(1) + top + bottom, x.size(2) + left + right,
                     groups, groups > 0 ? x.size(3) / groups : 0, lanes},
        copies_(top + bottom + left + right > 0 || copy_.channels != lanes) {}

  int64_t width() const { return copy_.padded_width; }
  int64_t image() const { return copy_.padded_height * width() * copy_.groups * copy_.lanes; }
  int64_t place(int64_t i, int64_t j) const {
    return ((i + copy_.top) * width() + j + copy_.left) * copy_.groups * copy_.lanes;
  }

  // Images begin … begin + count − 1, valid until the next call.
  const T* read(int64_t begin, int64_t count) {
    const T* from = x_.data<T>() + begin * x_.size(1) * x_.size(2) * x_.size(3);
    if (!copies_) return from;
    if (!memory_.defined()) memory_ = Tensor::empty(Shape{count * image()}, x_.dtype(), x_.device());
    copy_.x = from;
    copy_.y = memory_.data<T>();
    for_each_row(x_.device(), count * copy_.padded_height, width() * copy_.groups * copy_.lanes, copy_);
    return copy_.y;
  }

 private:
  const Tensor& x_;
  PadRow<T> copy_;
  const bool copies_;
  Tensor memory_;
};

// Images at a time: so many that their copy stays in a core's second cache; on a GPU all.
template <class T>
int64_t images_at_once(const Tensor& x, const Images<T>& images) {
  constexpr int64_t bytes = 1 << 20;
  if (x.device() == Device::cuda) return x.size(0);
  return std::clamp<int64_t>(bytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, images.image()), 1, x.size(0));
}

// Where the windows of pixels begin in images that have `pixel` numbers in one.
template <class T>
Steps windows_in(const Images<T>& images, const WindowLine& rows, const WindowLine& columns, int64_t pixel) {
  return {images.place(rows.first, columns.first), rows.step * images.width() * pixel, columns.step * pixel};
}

// Taps in x, whose rows are `width` pixels of `pixel` numbers.
Runs runs_of(const WindowLine& rows, const WindowLine& columns, int64_t groups, int64_t depth, int64_t width, int64_t pixel) {
  const bool joined = groups == 1 && columns.tap_step == 1;
  const int64_t across = joined ? 1 : columns.taps, length = joined ? columns.taps * depth : depth;
  require(rows.taps * across * std::max<int64_t>(1, length) <= std::numeric_limits<int>::max() / 32, name, [&] {
    return text("too many places in a window: ", rows.taps, " × ", columns.taps, " of ", depth, " channels");
  });
  return {static_cast<int>(rows.taps * across), static_cast<int>(across), rows.tap_step * width * pixel,
          columns.tap_step * pixel, static_cast<int>(length)};
}

// How the sums of a convolution read the weights: which way the channels go.
struct Direction {
  int64_t depth, columns, depth_step, column_step;
};

// Part of y (B,H,W,groups · columns): the pixels of the lines, from x (B,H,W,groups · depth), read with zeros around it.
template <class T>
void correlate(const Tensor& x, Images<T>& images, const Tensor& w, const Tensor& y, const WindowLine& rows,
               const WindowLine& columns, int64_t groups, const Direction& way) {
  const Device device = x.device();
  const int64_t pixel = groups * way.depth, out = groups * way.columns, width = y.size(2) * out;
  const int64_t depth = rows.taps * columns.taps * way.depth;
  const Panels panels{way.columns};
  const Tensor packed = Tensor::empty(Shape{groups * panels.padded() * depth}, x.dtype(), device);
  for_each_row(device, groups * panels.count() * depth, 32,
               PackRow<T>{w.data<T>(), packed.data<T>(), rows, columns, panels, w.size(1), w.size(2) * w.size(3), way.depth,
                          way.depth_step, way.column_step, w.size(3) / groups});
  const Steps from = windows_in(images, rows, columns, pixel);
  const Steps to{rows.out * width + columns.out * out, rows.out_step * width, columns.out_step * out};
  const Tiles tiles(rows.count, columns.count);
  const int64_t at_once = images_at_once(x, images);
  for (int64_t begin = 0; begin < x.size(0); begin += at_once) {
    const int64_t count = std::min(at_once, x.size(0) - begin), y_image = y.size(1) * width;
    const Correlate<T> kernel{images.read(begin, count), packed.data<T>(), y.data<T>() + begin * y_image, from, to, tiles,
                              count, images.image(), y_image, groups, way.depth,
                              runs_of(rows, columns, groups, way.depth, images.width(), pixel), panels};
    for_each_block(device, kernel.blocks(), tile_pixels * 32 * static_cast<int64_t>(sizeof(T)), kernel);
  }
}

template <class T>
void correlate_for_weight(const Tensor& x, const Tensor& g, const Tensor& dw, const WindowLine& rows, const WindowLine& columns,
                          int64_t groups) {
  const Device device = x.device();
  const int64_t depth = dw.size(2), pixel = groups * depth, taps = rows.taps * columns.taps;
  const Panels panels{dw.size(3) / groups};
  Images<T> images(x, 1, pixel, rows.before(), rows.after(x.size(1)), columns.before(), columns.after(x.size(2)));
  Images<T> gradients(g, groups, panels.padded(), 0, 0, 0, 0);
  const int64_t pixels = rows.count * columns.count;
  const Storage places(pixels * static_cast<int64_t>(sizeof(int64_t)), device);
  int64_t* const from = static_cast<int64_t*>(places.data);
  for_each(device, pixels, PlacePixel{from, windows_in(images, rows, columns, pixel), columns.count});
  const Runs runs = runs_of(rows, columns, groups, depth, images.width(), pixel);
  const int64_t at_once = images_at_once(x, images), tiles = (runs.depth + tile_rows - 1) / tile_rows;
  const int64_t blocks = groups * panels.count() * runs.count * tiles;
  const int64_t parts = std::clamp<int64_t>(64 / std::max<int64_t>(1, blocks), 1, x.size(0));
  const Tensor packed = Tensor::empty(Shape{parts * groups * panels.padded() * taps * depth}, x.dtype(), device);
  for (int64_t begin = 0; begin < x.size(0); begin += at_once) {
    const int64_t count = std::min(at_once, x.size(0) - begin);
    const CorrelateForWeight<T> kernel{images.read(begin, count), gradients.read(begin, count), packed.data<T>(), from,
                                       pixels, begin, begin + count, x.size(0), parts, images.image(), gradients.image(),
                                       groups, depth, tiles, runs, panels};
    for_each_block(device, kernel.blocks(), 2 * tile_rows * 32 * static_cast<int64_t>(sizeof(T)), kernel);
  }
  for_each_row(device, taps * depth, dw.size(3),
               UnpackRow<T>{packed.data<T>(), dw.data<T>(), parts, groups, taps, depth, panels});
}

void count_operations(const ConvolutionPlan& plan, const Tensor& images, const Tensor& w) {
  if (DryRun* dry = DryRun::current())
    dry->count(2 * images.size(0) * plan.plane.rows.count() * plan.plane.columns.count() * w.elements());
}

}  // namespace

Tensor convolve(const ConvolutionPlan& plan, const Tensor& x_, const Tensor& w_) {
  const Tensor x = rounded(x_), w = rounded(w_);
  const WindowLine rows = line_of(plan.plane.rows), columns = line_of(plan.plane.columns);
  const Tensor y = Tensor::empty({x.size(0), rows.count, columns.count, w.size(3)}, x.dtype(), x.device());
  count_operations(plan, x, w);
  if (y.elements() == 0) return y;
  if (is_depthwise(plan.groups, x.size(3), w.size(3), w.size(0) * w.size(1))) {
    convolve_depthwise(x, w, y, rows, columns);
    return y;
  }
  with_float(name, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Images<T> images(x, 1, x.size(3), rows.before(), rows.after(x.size(1)), columns.before(), columns.after(x.size(2)));
    correlate<T>(x, images, w, y, rows, columns, plan.groups, {w.size(2), w.size(3) / plan.groups, w.size(3), 1});
  });
  return y;
}

Tensor convolve_transposed(const ConvolutionPlan& plan, const Tensor& g_, const Tensor& w_) {
  const Tensor g = rounded(g_), w = rounded(w_);
  const AxisWindows &down = plan.plane.rows, &across = plan.plane.columns;
  const std::vector<WindowLine> rows = lines_of_adjoint(down), columns = lines_of_adjoint(across);
  const Shape shape{g.size(0), down.size, across.size, w.size(2) * plan.groups};
  const auto meets_all = [](const std::vector<WindowLine>& lines, const AxisWindows& w) {
    return static_cast<int64_t>(lines.size()) == std::min(w.stride, w.size);
  };
  const bool all = meets_all(rows, down) && meets_all(columns, across);
  const Tensor x = all ? Tensor::empty(shape, g.dtype(), g.device()) : Tensor::zeros(shape, g.dtype(), g.device());
  count_operations(plan, g, w);
  if (x.elements() == 0) return x;
  if (is_depthwise(plan.groups, x.size(3), g.size(3), w.size(0) * w.size(1))) {
    for (const WindowLine& row : rows)
      for (const WindowLine& column : columns) convolve_depthwise(g, w, x, row, column);
    return x;
  }
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  for (const WindowLine& line : rows) top = std::max(top, line.before()), bottom = std::max(bottom, line.after(down.count()));
  for (const WindowLine& line : columns)
    left = std::max(left, line.before()), right = std::max(right, line.after(across.count()));
  with_float(name, g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Images<T> images(g, 1, g.size(3), top, bottom, left, right);
    for (const WindowLine& row : rows)
      for (const WindowLine& column : columns)
        correlate<T>(g, images, w, x, row, column, plan.groups, {w.size(3) / plan.groups, w.size(2), 1, w.size(3)});
  });
  return x;
}

Tensor convolve_for_weight(const ConvolutionPlan& plan, const Tensor& x_, const Tensor& g_) {
  const Tensor x = rounded(x_), g = rounded(g_);
  const WindowLine rows = line_of(plan.plane.rows), columns = line_of(plan.plane.columns);
  const Tensor w = Tensor::zeros({rows.taps, columns.taps, x.size(3) / plan.groups, g.size(3)}, x.dtype(), x.device());
  count_operations(plan, x, w);
  if (w.elements() == 0 || x.size(0) == 0) return w;
  if (is_depthwise(plan.groups, x.size(3), g.size(3), rows.taps * columns.taps)) {
    convolve_depthwise_for_weight(x, g, w, rows, columns);
    return w;
  }
  with_float(name, x.dtype(), [&](auto zero) { correlate_for_weight<decltype(zero)>(x, g, w, rows, columns, plan.groups); });
  return w;
}

}  // namespace tapir

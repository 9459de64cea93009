#include "tensor/elementwise.h"

#include <algorithm>

#include "tensor/grad_mode.h"
#include "tensor/overlap.h"

namespace tapir {
namespace {

template <class T> struct Constant {
  T value;
  HD T operator()() const { return value; }
};

template <class Y> struct Convert {
  template <class X> HD Y operator()(X x) const { return static_cast<Y>(x); }
};

struct Plus {
  template <class T> HD T operator()(T a, T b) const { return a + b; }
};

template <class T> struct Times {
  T factor;
  HD T operator()(T x) const { return factor * x; }
};

// Copies x, dense along the axis `lead` of the merged geometry and strided along the last one, where y is dense: in tiles
// of both axes, copied to a buffer and read from it crosswise, so that a line of the cache is read and written whole.
template <class T>
void transpose_into(T* y, const T* x, const Geometry<2>& geometry, int lead) {
  constexpr int64_t tile = 32, apart = tile + 8;   // a power of 2 would put a column into few sets of the cache
  const int inner = geometry.rank - 1;
  const int64_t rows = geometry.extent[lead], columns = geometry.extent[inner], strips = (rows + tile - 1) / tile;
  const int64_t step_y = geometry.stride[lead][0], step_x = geometry.stride[inner][1];
  int64_t outer = 1;
  for (int axis = 0; axis < inner; ++axis)
    if (axis != lead) outer *= geometry.extent[axis];
  const int64_t strips_per_range = std::max<int64_t>(1, elements_per_range / (tile * columns));
  for_each_range(outer * strips, strips_per_range, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first_row = i % strips * tile, last_row = std::min(rows, first_row + tile);
      int64_t rest = i / strips, from = first_row, to = first_row * step_y;
      for (int axis = inner - 1; axis >= 0; --axis) {
        if (axis == lead) continue;
        const int64_t place = rest % geometry.extent[axis];
        rest /= geometry.extent[axis];
        to += place * geometry.stride[axis][0];
        from += place * geometry.stride[axis][1];
      }
      for (int64_t column = 0; column < columns; column += tile) {
        const int64_t height = last_row - first_row, width = std::min(tile, columns - column);
        T lines[tile][apart];
        for (int64_t c = 0; c < width; ++c) std::copy_n(x + from + (column + c) * step_x, height, lines[c]);
        for (int64_t row = 0; row < height; ++row)
          for (int64_t c = 0; c < width; ++c) y[to + row * step_y + column + c] = lines[c][row];
      }
    }
  });
}

// The axis along which x is dense, where that is not the last one and y is dense in the last; else −1.
int transposed_axis(const Geometry<2>& geometry) {
  const int inner = geometry.rank - 1;
  if (geometry.stride[inner][0] != 1 || geometry.stride[inner][1] <= 1) return -1;
  for (int axis = 0; axis < inner; ++axis)
    if (geometry.stride[axis][1] == 1) return axis;
  return -1;
}

// y may be written with what is read from x.
void require_source(const char* op, const Tensor& y, const Tensor& x) {
  require(broadcast(op, y.shape(), x.shape()) == y.shape(), op,
          [&] { return text("shape ", x.shape(), " does not expand to ", y.shape()); });
  require_target(op, y);
  require_apart(op, y, x);
}

void require_constant(const char* op, const Tensor& x, const char* hint) {
  require(
      !x.node || !grad_enabled(), op,
      [&] { return text("carries no gradient, and the ", x.dtype(), x.shape(), " to read from has a graph"); }, hint);
}

}  // namespace

void require_no_backward_through(const char* op, const Tensor& y, const char* hint) {
  require(
      !(y.node && !y.leaf) && !(y.defined() && y.storage()->in_graph), op,
      [&] { return text("a graph made the ", y.dtype(), y.shape(), ", and backward would not know of the write"); }, hint);
}

void fill_(Tensor& y, double value) {
  require_no_backward_through("fill_", y, "make a new tensor with Tensor::full");
  require_target("fill_", y);
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T>(y, Constant<T>{static_cast<T>(value)});
  });
  y.wrote();
}

void copy_(Tensor& y, const Tensor& x_) {
  require_defined("copy_", "y", y);
  require_defined("copy_", "x", x_);
  require_no_backward_through("copy_", y, "use the other tensor itself, or where or concat for a part of it");
  require_constant("copy_", x_, "detach() it, or use copy(x) of ops.h");
  require_source("copy_", y, x_);
  const Tensor x = x_.to(y.device());
  const Geometry<2> geometry(y.shape(), {y.strides(), strides_within(y.shape(), x)});
  const bool by_tiles = y.device() == Device::cpu && y.dtype() == x.dtype() && y.elements() > 0;
  const int lead = by_tiles ? transposed_axis(geometry) : -1;
  if (lead >= 0) {
    with_type(y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      transpose_into<T>(y.data<T>(), x.data<T>(), geometry, lead);
    });
  } else {
    with_type(y.dtype(), [&](auto to) {
      with_type(x.dtype(), [&](auto from) { map_into<decltype(to), decltype(from)>(y, Convert<decltype(to)>{}, x); });
    });
  }
  y.wrote();
}

void add_(Tensor& y, const Tensor& x) {
  require_defined("add_", "y", y);
  require_defined("add_", "x", x);
  require_same_kind("add_", {&y, &x});
  require_no_backward_through("add_", y, "use add(y, x)");
  require_constant("add_", x, "detach() it, or use add(y, x)");
  require_source("add_", y, x);
  with_float("add_", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(y, Plus{}, y, x);
  });
  y.wrote();
}

void scale_(Tensor& y, double factor) {
  require_no_backward_through("scale_", y, "use affine(y, factor, 0)");
  require_target("scale_", y);
  with_float("scale_", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T>(y, Times<T>{static_cast<T>(factor)}, y);
  });
  y.wrote();
}

}  // namespace tapir

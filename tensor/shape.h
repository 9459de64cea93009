// Shape: up to 8 extents by value, and the arithmetic of shapes: broadcasting, strides, axes.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "tensor/error.h"

namespace tapir {

class Shape {
 public:
  static constexpr int max_rank = 8;

  Shape() = default;   // rank 0: one element
  Shape(std::initializer_list<int64_t> extents) { for (int64_t extent : extents) push_back(extent); }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[axis < 0 ? axis + rank_ : axis]; }   // −1 is the last axis
  int64_t& operator[](int axis) { return extents_[axis < 0 ? axis + rank_ : axis]; }
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }

  int64_t elements() const {
    int64_t product = 1;
    for (int64_t extent : *this) product *= extent;
    return product;
  }

  void push_back(int64_t extent) {
    require(rank_ < max_rank, "shape", [] { return text("a tensor has at most ", max_rank, " axes"); });
    extents_[rank_++] = extent;
  }

  // This shape with the extent of `axis` replaced.
  Shape with(int axis, int64_t extent) const {
    Shape shape = *this;
    shape[axis] = extent;
    return shape;
  }

  // This shape without `axis`.
  Shape without(int axis) const {
    Shape shape;
    for (int a = 0; a < rank_; ++a)
      if (a != (axis < 0 ? axis + rank_ : axis)) shape.push_back(extents_[a]);
    return shape;
  }

  friend bool operator==(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

 private:
  std::array<int64_t, max_rank> extents_{};
  int rank_ = 0;
};

using Strides = std::array<int64_t, Shape::max_rank>;   // in elements

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int axis = 0; axis < shape.rank(); ++axis) out << (axis ? "," : "") << shape[axis];
  return out << ']';
}

// Strides of row-major memory: the last axis is dense.
inline Strides row_major(const Shape& shape) {
  Strides strides{};
  int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

// Axis counted from the front; throws an Error named after `op` unless −rank ≤ axis < rank.
inline int normal_axis(const char* op, int axis, const Shape& shape) {
  require(axis >= -shape.rank() && axis < shape.rank(), op,
          [&] { return text("axis ", axis, " does not exist in shape ", shape); });
  return axis < 0 ? axis + shape.rank() : axis;
}

// NumPy's rule: shapes are aligned at the last axis; equal extents stay, an extent of 1 takes the other's.
inline Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int axis = -rank; axis < 0; ++axis) {
    const int64_t in_a = -axis <= a.rank() ? a[axis] : 1, in_b = -axis <= b.rank() ? b[axis] : 1;
    require(in_a == in_b || in_a == 1 || in_b == 1, op, [&] { return text("shapes do not broadcast: ", a, " and ", b); });
    out.push_back(in_a == 1 ? in_b : in_a);
  }
  return out;
}

// `shape` with a new axis of extent 1 at place `axis` of the result; throws an Error named after `op` unless
// −rank − 1 ≤ axis ≤ rank.
inline Shape with_new_axis(const char* op, int axis, const Shape& shape) {
  require(axis >= -shape.rank() - 1 && axis <= shape.rank(), op,
          [&] { return text("axis ", axis, " cannot be added to shape ", shape); });
  const int place = axis < 0 ? axis + shape.rank() + 1 : axis;
  Shape result;
  for (int a = 0; a <= shape.rank(); ++a) result.push_back(a < place ? shape[a] : a == place ? 1 : shape[a - 1]);
  return result;
}

}  // namespace tapir

// Shape: up to 8 extents by value, and the arithmetic of shapes: broadcasting, strides, axes.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>

#include "tensor/error.h"

namespace tapir {

class Shape {
 public:
  static constexpr int max_rank = 8;
  // A tensor has no more, and no more along the axes that are not empty, whatever its strides: so products and sums of a few
  // of its extents, and of bytes, are exact.
  static constexpr int64_t max_elements = std::numeric_limits<int64_t>::max() / 8;   // 2⁶⁰ − 1

  Shape() = default;   // rank 0: one element
  Shape(std::initializer_list<int64_t> extents) { for (int64_t extent : extents) push_back(extent); }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[place(axis)]; }   // −1 is the last axis
  int64_t& operator[](int axis) { return extents_[place(axis)]; }
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }

  // Throws an Error named after the op that runs, or `function` where none does, if an extent is negative, or if the product
  // of those that are not 0 exceeds max_elements.
  int64_t elements(const char* function = "tensor") const {
    int64_t product = 1;
    bool fits = true, empty = false;
    for (const int64_t extent : *this) {
      empty |= extent == 0;
      fits &= extent >= 0 && !__builtin_mul_overflow(product, extent | (extent == 0), &product);
    }
    if (!fits || product > max_elements) [[unlikely]] refuse(function);
    return empty ? 0 : product;
  }

  void push_back(int64_t extent) {
    if (rank_ == max_rank) [[unlikely]] refuse_rank();
    extents_[rank_++] = extent;
  }

  // `axis` counted from the front. Throws an Error, named likewise, unless −rank ≤ axis < rank.
  int place(int axis, const char* function = "shape") const {
    const int from_front = axis < 0 ? axis + rank_ : axis;
    if (static_cast<unsigned>(from_front) >= static_cast<unsigned>(rank_)) [[unlikely]] refuse_axis(axis, function);
    return from_front;
  }

  // This shape with the extent of `axis` replaced.
  Shape with(int axis, int64_t extent) const {
    Shape shape = *this;
    shape[axis] = extent;
    return shape;
  }

  // This shape without `axis`.
  Shape without(int axis) const {
    const int dropped = place(axis);
    Shape shape;
    for (int a = 0; a < rank_; ++a)
      if (a != dropped) shape.push_back(extents_[a]);
    return shape;
  }

  friend bool operator==(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

  [[noreturn]] void refuse(const char* function) const;   // throws what elements(function) says of a shape that no tensor has

 private:
  [[noreturn]] static void refuse_rank();
  [[noreturn]] void refuse_axis(int axis, const char* function) const;

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
    if (__builtin_mul_overflow(stride, shape.begin()[axis], &stride)) [[unlikely]] shape.refuse("tensor");
  }
  return strides;
}

// Axis counted from the front; throws an Error named after `op` unless −rank ≤ axis < rank.
inline int normal_axis(const char* op, int axis, const Shape& shape) {
  require(axis >= -shape.rank() && axis < shape.rank(), op,
          [&] { return text("axis ", axis, " does not exist in shape ", shape); });
  return axis < 0 ? axis + shape.rank() : axis;
}

// NumPy's rule: shapes are aligned at the last axis; equal extents stay, an extent of 1 takes the other's. Else throws an Error
// named after `op` that tells the rule, `misfit`.
template <class Rule>
Shape broadcast(const char* op, const Shape& a, const Shape& b, const Rule& misfit) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int axis = -rank; axis < 0; ++axis) {
    const int64_t in_a = -axis <= a.rank() ? a[axis] : 1, in_b = -axis <= b.rank() ? b[axis] : 1;
    require(in_a == in_b || in_a == 1 || in_b == 1, op, misfit);
    out.push_back(in_a == 1 ? in_b : in_a);
  }
  return out;
}
inline Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  return broadcast(op, a, b, [&] { return text("shapes do not broadcast: ", a, " and ", b); });
}

// `shape` with a new axis of extent 1 at place `axis` of the result; throws an Error named after `op` unless
// −rank − 1 ≤ axis ≤ rank.
inline Shape with_new_axis(const char* op, int axis, const Shape& shape) {
  require(axis >= -shape.rank() - 1 && axis <= shape.rank(), op,
          [&] { return text("axis ", axis, " cannot be added to shape ", shape); });
  require(shape.rank() < Shape::max_rank, op, [&] { return text("shape ", shape, " has no room for another axis"); });
  const int place = axis < 0 ? axis + shape.rank() + 1 : axis;
  Shape result;
  for (int a = 0; a <= shape.rank(); ++a) result.push_back(a < place ? shape[a] : a == place ? 1 : shape[a - 1]);
  return result;
}

}  // namespace tapir

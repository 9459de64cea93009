#include "tensor/view.h"

#include <utility>

namespace tapir::view {

Tensor transpose(const Tensor& x, int a, int b) {
  require_defined("transpose", "x", x);
  a = normal_axis("transpose", a, x.shape());
  b = normal_axis("transpose", b, x.shape());
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return x.strided(shape, strides);
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t length) {
  require_defined("slice", "x", x);
  axis = normal_axis("slice", axis, x.shape());
  require(begin >= 0 && length >= 0 && begin <= x.size(axis) && length <= x.size(axis) - begin, "slice", [&] {
    return text("begin ", begin, " and length ", length, " leave axis ", axis, " of shape ", x.shape());
  });
  return x.strided(x.shape().with(axis, length), x.strides(), length > 0 ? begin * x.stride(axis) : 0);
}

Tensor expand(const Tensor& x, const Shape& shape) {
  require_defined("expand", "x", x);
  const int added = shape.rank() - x.rank();
  bool fits = added >= 0;
  Strides strides{};
  for (int axis = 0; fits && axis < added; ++axis) fits = shape[axis] >= 0;
  for (int axis = 0; fits && axis < x.rank(); ++axis) {
    fits = x.size(axis) == shape[added + axis] || (x.size(axis) == 1 && shape[added + axis] >= 0);
    strides[added + axis] = x.size(axis) == shape[added + axis] ? x.stride(axis) : 0;
  }
  require(fits, "expand", [&] { return text("shape ", x.shape(), " does not expand to ", shape); });
  shape.elements("expand");   // may be more than any tensor has
  return x.strided(shape, strides);
}

Shape resolve(const Shape& shape, const Tensor& x) {
  require_defined("reshape", "x", x);
  Shape resolved = shape;
  int free_axis = -1;
  int64_t known = 1;
  bool possible = true;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == -1 && free_axis < 0) free_axis = axis;
    else possible = possible && shape[axis] >= 0 && !__builtin_mul_overflow(known, shape[axis], &known);
  }
  const int64_t elements = x.elements();
  require(possible && (free_axis < 0 ? known == elements : known > 0 && elements % known == 0), "reshape",
          [&] { return text("shape ", x.shape(), " does not fill ", shape); });
  if (free_axis >= 0) resolved[free_axis] = elements / known;
  return resolved;
}

Tensor reshape(const Tensor& x, const Shape& wanted) {
  const Shape shape = resolve(wanted, x);   // throws where x is undefined
  if (x.is_contiguous()) return x.strided(shape, row_major(shape));
  // Old axes, last first, merged into runs {extent, stride} that are dense in memory.
  std::array<std::pair<int64_t, int64_t>, Shape::max_rank> runs;
  int count = 0;
  for (int axis = x.rank() - 1; axis >= 0; --axis) {
    if (x.size(axis) == 1) continue;
    if (count > 0 && x.stride(axis) == runs[count - 1].first * runs[count - 1].second)
      runs[count - 1].first *= x.size(axis);
    else runs[count++] = {x.size(axis), x.stride(axis)};
  }
  // A view exists if every new axis lies inside one run.
  Strides strides{};
  int axis = shape.rank() - 1;
  for (int r = 0; r < count; ++r) {
    auto [left, stride] = runs[r];
    for (; axis >= 0 && left % shape[axis] == 0 && (left > 1 || shape[axis] == 1); --axis) {
      strides[axis] = stride;
      stride *= shape[axis];
      left /= shape[axis];
    }
    if (left != 1) return reshape(x.copy(), shape);
  }
  return x.strided(shape, strides);
}

}  // namespace tapir::view

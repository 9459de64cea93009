// Elementwise loops over strided, broadcast operands:  y_i = f(a_i, b_i, …).
//
// Axes that are dense for every operand are merged; then runs of the innermost axis go to a tight loop, one instance for
// each pattern of strides 0 and 1, so the compiler vectorises the common cases.
#pragma once
#include <array>
#include <tuple>
#include <utility>

#include "tensor/in_place.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace tapir {

// Merged geometry of `operands` tensors over one shape; operand 0 is the output.
template <int operands>
struct Geometry {
  int rank = 0;
  std::array<int64_t, Shape::max_rank> extent{};
  std::array<std::array<int64_t, operands>, Shape::max_rank> stride{};   // in elements, by axis, then operand

  Geometry(const Shape& shape, const std::array<Strides, operands>& strides) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] == 1) continue;
      std::array<int64_t, operands> step;
      bool merges = rank > 0;
      for (int k = 0; k < operands; ++k) {
        step[k] = strides[k][axis];
        merges = merges && stride[rank - 1][k] == step[k] * shape[axis];
      }
      if (merges) extent[rank - 1] *= shape[axis];
      else extent[rank++] = shape[axis];
      stride[rank - 1] = step;
    }
    if (rank == 0) extent[rank++] = 1;   // one element
  }
};

// Strides of x seen as a tensor of `shape`, to which it expands.
inline Strides strides_within(const Shape& shape, const Tensor& x) {
  Strides strides{};
  for (int axis = 0; axis < x.rank(); ++axis)
    strides[shape.rank() - x.rank() + axis] = x.size(axis) == 1 ? 0 : x.stride(axis);
  return strides;
}

namespace detail {

// One run of the innermost axis. Unit[k] says that operand k is dense; otherwise it is constant over the run.
template <class F, class Y, class... X, bool... Unit>
void dense_run(const F& f, int64_t n, Y* y, std::integer_sequence<bool, Unit...>, const X*... x) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[Unit ? i : 0]...);
}

// Chooses the instance of dense_run; strided runs take the plain loop.
template <class F, class Y, class... X, bool... Unit>
void run(const F& f, int64_t n, Y* y, const int64_t* step, std::integer_sequence<bool, Unit...> units,
         const X*... x) {
  if constexpr (sizeof...(Unit) == sizeof...(X)) {
    dense_run(f, n, y, units, x...);
  } else {
    constexpr int next = sizeof...(Unit);
    if (step[next] == 1) run(f, n, y, step, std::integer_sequence<bool, Unit..., true>{}, x...);
    else run(f, n, y, step, std::integer_sequence<bool, Unit..., false>{}, x...);
  }
}

template <class F, class Y, size_t... K, class... X>
void walk(const F& f, const Geometry<1 + sizeof...(X)>& geometry, Y* y, std::index_sequence<K...>, const X*... x) {
  constexpr int operands = 1 + sizeof...(X);
  const int inner = geometry.rank - 1;
  int64_t total = 1;
  for (int axis = 0; axis <= inner; ++axis) total *= geometry.extent[axis];
  const std::array<int64_t, operands> step = geometry.stride[inner];
  bool dense = step[0] == 1;
  for (int k = 1; k < operands; ++k) dense = dense && (step[k] == 0 || step[k] == 1);

  for_each_range(total, elements_per_range, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {
      std::array<int64_t, operands> offset{};
      int64_t rest = i;
      for (int axis = inner; axis >= 0; --axis) {
        const int64_t place = rest % geometry.extent[axis];
        rest /= geometry.extent[axis];
        for (int k = 0; k < operands; ++k) offset[k] += place * geometry.stride[axis][k];
      }
      const int64_t n = std::min(end - i, geometry.extent[inner] - i % geometry.extent[inner]);
      if (dense) {
        run(f, n, y + offset[0], step.data() + 1, std::integer_sequence<bool>{}, (x + offset[K + 1])...);
      } else {
        for (int64_t j = 0; j < n; ++j) y[offset[0] + j * step[0]] = f(x[offset[K + 1] + j * step[K + 1]]...);
      }
      i += n;
    }
  });
}

// Element i of the walk by itself, for a CUDA device.
template <class F, class Y, class... X>
struct StridedElement {
  F f;
  Geometry<1 + sizeof...(X)> geometry;
  Y* y;
  std::array<const void*, sizeof...(X)> x;

  HD void operator()(int64_t i) const { evaluate(i, std::index_sequence_for<X...>{}); }

 private:
  template <size_t... K>
  HD void evaluate(int64_t rest, std::index_sequence<K...>) const {
    int64_t offset[1 + sizeof...(X)] = {};
    for (int axis = geometry.rank - 1; axis >= 0; --axis) {
      const int64_t place = rest % geometry.extent[axis];
      rest /= geometry.extent[axis];
      for (size_t k = 0; k <= sizeof...(X); ++k) offset[k] += place * geometry.stride[axis][k];
    }
    y[offset[0]] = f(static_cast<const X*>(x[K])[offset[K + 1]]...);
  }
};

}  // namespace detail

// Writes y_i = f(x_i …) for every element of y; each x must expand to y's shape and be on its device. X… are the element
// types of the inputs.
template <class Y, class... X, class F, class... Tensors>
void map_into(Tensor& y, const F& f, const Tensors&... x) {
  static_assert(sizeof...(X) == sizeof...(Tensors));
  if (y.elements() == 0) return;
  const Geometry<1 + sizeof...(X)> geometry(y.shape(), {y.strides(), strides_within(y.shape(), x)...});
  if constexpr (cuda::built)
    if (y.device() == Device::cuda)
      return cuda::for_each(y.elements(), detail::StridedElement<F, Y, X...>{f, geometry, y.data<Y>(), {x.template data<X>()...}});
  detail::walk(f, geometry, y.data<Y>(), std::index_sequence_for<X...>{}, static_cast<const X*>(x.template data<X>())...);
}

// x, or a copy of it where its last axis is strided: reading that in tiles, once, is faster than striding through it.
inline Tensor with_dense_rows(const Tensor& x) {
  return x.rank() > 0 && x.size(-1) > 1 && x.stride(-1) > 1 ? x.detach().contiguous() : x;
}

// Fresh tensor of the broadcast shape with y_i = f(a_i …), all of type T. Throws an Error named after `op` when shapes,
// types or devices do not agree.
template <class F>
Tensor map(const char* op, const F& f, const Tensor& a) {
  return with_float(op, a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
    map_into<T, T>(y, f, with_dense_rows(a));
    return y;
  });
}

template <class F>
Tensor map(const char* op, const F& f, const Tensor& a, const Tensor& b) {
  require_same_kind(op, {&a, &b});
  return with_float(op, a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Tensor y = Tensor::empty(broadcast(op, a.shape(), b.shape()), a.dtype(), a.device());
    map_into<T, T, T>(y, f, with_dense_rows(a), with_dense_rows(b));
    return y;
  });
}

}  // namespace tapir

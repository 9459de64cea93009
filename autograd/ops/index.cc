// Elements by index along an axis, the adjoint, and sorting. Letters: x is (outer, n, inner) around the axis, indices are
// (outer, m, inner).
#include "autograd/apply.h"
#include "autograd/ops.h"
#include "autograd/ops/indices.h"
#include "tensor/parallel.h"
#include "tensor/view.h"

namespace tapir {
namespace {

// What a kernel needs to find its elements. Indices that repeat along all other axes are kept once, with steps of 0.
struct Lines {
  int64_t outer = 1, n, m, inner = 1;
  const int32_t* index;
  int64_t outer_step, step, inner_step;

  HD int64_t source(int64_t o, int64_t k, int64_t j) const { return (o * m + k) * inner + j; }
  HD int64_t target(int64_t o, int64_t k, int64_t j) const {
    return (o * n + index[o * outer_step + k * step + j * inner_step]) * inner + j;
  }
};

// (K) as indices of y's shape, for gather: every line takes the same. Strides of 0, no copy.
Tensor repeated(const Tensor& list, int axis, const Shape& shape) {
  Strides strides{};
  strides[axis] = list.stride(0);
  return list.strided(shape, strides);
}

// The opposite of repeated(), where it applies; otherwise dense memory.
Tensor kept(const Tensor& indices, int axis) {
  bool repeats = indices.rank() > 1 && indices.elements() > 0;
  for (int a = 0; a < indices.rank(); ++a)
    repeats = repeats && (a == axis || indices.size(a) == 1 || indices.stride(a) == 0);
  if (!repeats) return indices.contiguous();
  Strides strides{};
  strides[0] = indices.stride(axis);
  return indices.strided({indices.size(axis)}, strides).contiguous();
}

Lines lines_of(const char* op, const Shape& x, int axis, const Shape& shape, const Tensor& kept) {
  Lines lines{.n = x[axis], .m = shape[axis], .index = nullptr, .outer_step = 0, .step = 1, .inner_step = 0};
  for (int a = 0; a < x.rank(); ++a) (a < axis ? lines.outer : lines.inner) *= a == axis ? 1 : x[a];
  require_indices(op, kept, lines.n);
  lines.index = kept.data<int32_t>();
  if (kept.rank() == x.rank()) {
    lines.outer_step = lines.m * lines.inner;
    lines.step = lines.inner;
    lines.inner_step = 1;
  }
  return lines;
}

// Lines of neighbours: a row takes 1024 elements of one.
constexpr int64_t elements_per_row = 1024;

template <class T> struct GatherLine {
  const T* x;
  T* y;
  Lines lines;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t rows = (lines.m + elements_per_row - 1) / elements_per_row, o = row / rows;
    const int64_t first = row % rows * elements_per_row, left = lines.m - first;
    T* to = y + o * lines.m + first;
    team.each(left < elements_per_row ? left : elements_per_row,
              [&](int64_t k) { to[k] = x[lines.target(o, first + k, 0)]; });
  }
};

// Interleaved lines: element k of all of them.
template <class T> struct GatherRow {
  const T* x;
  T* y;
  Lines lines;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t o = row / lines.m, k = row % lines.m;
    T* to = y + row * lines.inner;
    if (lines.inner_step == 0) {
      const T* from = x + lines.target(o, k, 0);
      team.each(lines.inner, [&](int64_t j) { to[j] = from[j]; });
    } else {
      team.each(lines.inner, [&](int64_t j) { to[j] = x[lines.target(o, k, j)]; });
    }
  }
};

// Lines share no element with each other: a row takes 64 neighbours, and their sources one after the other.
constexpr int64_t lines_per_row = 64;

template <class T> struct AddLines {
  const T* source;
  T* y;
  Lines lines;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t rows = (lines.inner + lines_per_row - 1) / lines_per_row, o = row / rows;
    const int64_t first = row % rows * lines_per_row, left = lines.inner - first;
    const int64_t width = left < lines_per_row ? left : lines_per_row;
    for (int64_t k = 0; k < lines.m; ++k) {
      const T* from = source + lines.source(o, k, first);
      if (lines.inner_step == 0) {
        T* to = y + lines.target(o, k, first);
        team.each(width, [&](int64_t lane) { to[lane] += from[lane]; });
      } else {
        team.each(width, [&](int64_t lane) { y[lines.target(o, k, first + lane)] += from[lane]; });
      }
    }
  }
};

// The first k indices of a sorted line: a heap of the first k so far with the last of them on top, which is then sorted in
// place. O(n log k). One lane does it all.
template <class T> struct SortLine {
  const T* x;
  int32_t* order;
  int64_t n, k;
  bool descending;

  template <class Team> HD void operator()(const Team& team, int64_t line) const {
    team.each(1, [&](int64_t) {
      const T* a = x + line * n;
      int32_t* heap = order + line * k;
      for (int64_t i = 0; i < k; ++i) heap[i] = static_cast<int32_t>(i);
      for (int64_t i = k / 2 - 1; i >= 0; --i) sink(a, heap, k, i, heap[i]);
      for (int64_t i = k; i < n; ++i)
        if (before(a, static_cast<int32_t>(i), heap[0])) sink(a, heap, k, 0, static_cast<int32_t>(i));
      for (int64_t last = k - 1; last > 0; --last) {
        const int32_t item = heap[last];
        heap[last] = heap[0];
        sink(a, heap, last, 0, item);
      }
    });
  }

  // Equal ones keep their order; NaN is larger than every number.
  HD bool before(const T* a, int32_t i, int32_t j) const {
    const bool i_is_nan = a[i] != a[i], j_is_nan = a[j] != a[j];
    const bool larger = i_is_nan ? !j_is_nan : a[i] > a[j], smaller = j_is_nan ? !i_is_nan : a[i] < a[j];
    return larger || smaller ? larger == descending : i < j;
  }

  // Puts `item` where `hole` is or below it, so that no child comes after its parent.
  HD void sink(const T* a, int32_t* heap, int64_t size, int64_t hole, int32_t item) const {
    for (int64_t child; (child = 2 * hole + 1) < size; hole = child) {
      if (child + 1 < size && before(a, heap[child], heap[child + 1])) ++child;
      if (!before(a, item, heap[child])) break;
      heap[hole] = heap[child];
    }
    heap[hole] = item;
  }
};

Sorted sorted(const char* op, const Tensor& x, int64_t k, int axis, bool descending) {
  const int64_t n = x.size(axis);
  require(n <= std::numeric_limits<int32_t>::max(), op,
          [&] { return text("axis ", axis, " of shape ", x.shape(), " is too long for i32 indices"); });
  const Tensor lines = view::transpose(x, axis, -1).contiguous();
  const Tensor order = Tensor::empty(lines.shape().with(-1, k), DType::i32, x.device());
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (k > 0)
      for_each_row(x.device(), lines.elements() / n, n,
                   SortLine<T>{lines.data<T>(), order.data<int32_t>(), n, k, descending});
  });
  const Tensor indices = view::transpose(order, axis, -1).contiguous();
  return {gather(x, axis, indices), indices};
}

}  // namespace

// y = x at the indices;  dx = g added up at the indices
struct Gather {
  static constexpr const char* name = "gather";
  int axis;
  Tensor indices;
  Shape from{};
  Tensor forward(const Tensor& x_) {
    from = x_.shape();
    axis = normal_axis(name, axis, from);
    const Shape& shape = indices.shape();
    require(shape.rank() == from.rank() && shape.with(axis, 0) == from.with(axis, 0), name,
            [&] { return text("indices ", shape, " and x ", from, " differ beside axis ", axis); });
    const Tensor x = x_.contiguous(), list = kept(indices, axis), y = Tensor::empty(shape, x.dtype(), x.device());
    const Lines lines = lines_of(name, from, axis, shape, list);
    with_type(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* from = x.data<T>();
      T* to = y.data<T>();
      if (lines.inner == 1)
        for_each_row(x.device(), lines.outer * ((lines.m + elements_per_row - 1) / elements_per_row),
                     std::min(lines.m, elements_per_row), GatherLine<T>{from, to, lines});
      else
        for_each_row(x.device(), lines.outer * lines.m, lines.inner, GatherRow<T>{from, to, lines});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    return {scatter_add(Tensor::zeros(from, g.dtype(), g.device()), axis, indices, g)};
  }
};
Tensor gather(const Tensor& x, int axis, const Tensor& indices) { return apply(Gather{axis, indices}, x); }

Tensor index_select(const Tensor& x, int axis, const Tensor& indices) {
  constexpr const char* name = "index_select";
  require_same_kind(name, {&x});
  axis = normal_axis(name, axis, x.shape());
  require(indices.defined() && indices.rank() == 1, name,
          [&] { return text("indices must have one axis, got ", indices.shape()); });
  require_indices(name, indices.contiguous(), x.size(axis));
  return gather(x, axis, repeated(indices, axis, x.shape().with(axis, indices.size(0))));
}

// y = base with the source added at the indices;  dbase = g,  dsource = g at the indices
struct ScatterAdd {
  static constexpr const char* name = "scatter_add";
  int axis;
  Tensor indices;
  Tensor forward(const Tensor& base, const Tensor& source_) {
    require_same_kind(name, {&base, &source_});
    const Shape &whole = base.shape(), &shape = indices.shape();
    axis = normal_axis(name, axis, whole);
    require(shape == source_.shape(), name,
            [&] { return text("indices ", shape, " and source ", source_.shape(), " must have one shape"); });
    require(shape.rank() == whole.rank() && shape.with(axis, 0) == whole.with(axis, 0), name,
            [&] { return text("indices ", shape, " and base ", whole, " differ beside axis ", axis); });
    const Tensor source = source_.contiguous(), list = kept(indices, axis), y = base.copy();
    const Lines lines = lines_of(name, whole, axis, shape, list);
    with_float(name, y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(y.device(), lines.outer * ((lines.inner + lines_per_row - 1) / lines_per_row),
                   lines.m * std::min(lines.inner, lines_per_row), AddLines<T>{source.data<T>(), y.data<T>(), lines});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    return {g, at.needs(1) ? gather(g, axis, indices) : Tensor()};
  }
};
Tensor scatter_add(const Tensor& base, int axis, const Tensor& indices, const Tensor& source) {
  return apply(ScatterAdd{axis, indices}, base, source);
}

Sorted sort(const Tensor& x, int axis, bool descending) {
  require_same_kind("sort", {&x});
  axis = normal_axis("sort", axis, x.shape());
  return sorted("sort", x, x.size(axis), axis, descending);
}

Sorted topk(const Tensor& x, int64_t k, int axis) {
  require_same_kind("topk", {&x});
  axis = normal_axis("topk", axis, x.shape());
  require(k >= 0 && k <= x.size(axis), "topk",
          [&] { return text("k must be in 0 … ", x.size(axis), ", got ", k, "; axis ", axis, " of shape ", x.shape()); });
  return sorted("topk", x, k, axis, true);
}

}  // namespace tapir

// Elements by index along an axis, the adjoint, sorting, and where extremes stand. Letters: x is (outer, n, inner) around the
// axis, indices are (outer, m, inner).
#include "autograd/ops/index.h"

#include "autograd/apply.h"
#include "autograd/ops/indices.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"
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

enum class Indices { of_a_user, known };   // known: in range, by how they were made; nobody waits for a device to look

Lines lines_of(const char* op, const Tensor& tensor, int axis, const Shape& shape, const Tensor& kept, Indices indices) {
  const Shape& x = tensor.shape();
  Lines lines{.n = x[axis], .m = shape[axis], .index = nullptr, .outer_step = 0, .step = 1, .inner_step = 0};
  for (int a = 0; a < x.rank(); ++a) (a < axis ? lines.outer : lines.inner) *= a == axis ? 1 : x[a];
  if (indices == Indices::of_a_user) require_indices(op, kept, lines.n, tensor);
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

// An unsigned integer in the order of x: NaN is larger than every number, −0 is 0.
template <class T> HD auto key_of(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    using Key = typename math::Format<T>::Word;
    constexpr Key sign = Key(1) << (8 * sizeof(T) - 1);
    const Key bits = math::bits(x + T(0));
    return x != x ? ~Key(0) : bits & sign ? ~bits : bits | sign;
  } else {
    return static_cast<uint32_t>(x) + (uint32_t(1) << 31);
  }
}

template <class Key> struct SortItem {
  Key key;
  int32_t index;
};

// Merges the sorted items [left, middle) and [middle, end) into the same places of `to`; their lengths differ by 1 at most.
// The smaller half is taken from the front, the larger from the back: two chains without branches, and neither list runs
// out before the item in the middle. Equal items keep their order.
template <class Item> HD void merge(const Item* items, int64_t left, int64_t middle, int64_t end, Item* to) {
  int64_t front = left, back = end - 1, right = middle, last_left = middle - 1, last_right = end - 1;
  for (; front < back; ++front, --back) {
    const bool from_right = items[right].key < items[left].key, from_left = items[last_right].key < items[last_left].key;
    to[front] = items[from_right ? right : left];
    to[back] = items[from_left ? last_left : last_right];
    right += from_right;
    left += !from_right;
    last_left -= from_left;
    last_right -= !from_left;
  }
  if (front == back) to[front] = items[left <= last_left ? left : right];
}

// Sorts n items by merging ever longer parts, to and fro between two buffers, and returns the one where they end.
template <class Item> HD Item* merge_sort(Item* items, Item* spare, int64_t n) {
  int level = 0;
  while ((int64_t(1) << level) < n) ++level;
  for (; level > 0; --level) {   // 2^level parts become half as many
    for (int64_t part = 0; part < int64_t(1) << level; part += 2)
      merge(items, part * n >> level, (part + 1) * n >> level, (part + 2) * n >> level, spare);
    Item* const sorted = spare;
    spare = items;
    items = sorted;
  }
  return items;
}

// The first k indices of a sorted line. A buffer of 2k items is filled, sorted and cut to its first k, again and again; the
// last of these bars what does not come before it. O(n log k). One lane does it all.
template <class T> struct SortLine {
  using Item = SortItem<decltype(key_of(T()))>;
  const T* x;
  int32_t* order;
  Item* buffers;   // two of `room` for each line
  int64_t n, k, room;
  bool descending;

  template <class Team> HD void operator()(const Team& team, int64_t line) const {
    team.each(1, [&](int64_t) {
      Item *const buffer = buffers + 2 * line * room, *items = buffer;
      const auto sort = [&](int64_t count) {
        items = merge_sort(items, items == buffer ? buffer + room : buffer, count);
      };
      int64_t count = 0;
      decltype(key_of(T())) bar = 0;
      for (int64_t i = 0; i < n; ++i) {
        if (count == room) {
          sort(count);
          count = k;
          bar = items[k - 1].key;
        }
        const auto key = key_of(x[line * n + i]), directed = descending ? ~key : key;
        if (i < room || directed < bar) items[count++] = {directed, static_cast<int32_t>(i)};
      }
      sort(count);
      for (int64_t i = 0; i < k; ++i) order[line * k + i] = items[i].index;
    });
  }
};

// The first of the largest keys of a line, or of the smallest. Counted from the end, the first place is the largest.
template <class T> struct ExtremePlace {
  const T* x;
  int32_t* place;
  int64_t n;
  bool smallest;
  template <class Team> HD void operator()(const Team& team, int64_t line) const {
    const auto key_at = [&](int64_t i) {
      const auto key = key_of(x[line * n + i]);
      return smallest ? ~key : key;
    };
    const auto best = team.max(n, key_at);
    place[line] = static_cast<int32_t>(n - team.max(n, [&](int64_t i) { return key_at(i) == best ? n - i : int64_t(0); }));
  }
};

void require_short(const char* op, const Tensor& x, int axis) {
  require(x.size(axis) <= std::numeric_limits<int32_t>::max(), op,
          [&] { return text("axis ", axis, " of shape ", x.shape(), " is too long for i32 indices"); });
}

Tensor extreme_place(const char* op, const Tensor& x, int axis, bool smallest, bool keep) {
  const Called called(op);
  require_same_kind(op, {&x});
  axis = normal_axis(op, axis, x.shape());
  require_short(op, x, axis);
  const int64_t n = x.size(axis), count = x.shape().without(axis).elements();
  require(n > 0 || count == 0, op, [&] { return text("nothing to choose from in shape ", x.shape()); });
  const Tensor lines = view::transpose(x.detach(), axis, -1).contiguous();
  const Tensor places = Tensor::empty(lines.shape().with(-1, 1), DType::i32, x.device());
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each_row(x.device(), count, n, ExtremePlace<T>{lines.data<T>(), places.data<int32_t>(), n, smallest});
  });
  const Tensor y = view::transpose(places, axis, -1).contiguous();
  return keep ? y : view::reshape(y, x.shape().without(axis));
}

// Where the first k of each line stand that is sorted.
Tensor sorted_places(const char* op, const Tensor& x, int64_t k, int axis, bool descending) {
  require_short(op, x, axis);
  const int64_t n = x.size(axis);
  const Tensor lines = view::transpose(x.detach(), axis, -1).contiguous();
  const Tensor order = Tensor::empty(lines.shape().with(-1, k), DType::i32, x.device());
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using Item = typename SortLine<T>::Item;
    if (order.elements() == 0) return;
    const int64_t count = lines.elements() / n, room = std::min(n, 2 * k);
    const Storage buffers(2 * count * room * static_cast<int64_t>(sizeof(Item)), x.device());
    for_each_row(x.device(), count, n,
                 SortLine<T>{lines.data<T>(), order.data<int32_t>(), static_cast<Item*>(buffers.data), n, k, room,
                             descending});
  });
  return view::transpose(order, axis, -1).contiguous();
}

}  // namespace

// y = x at the indices;  dx = g added up at the indices
struct Gather {
  static constexpr const char* name = "gather";
  int axis;
  Saved indices;
  Indices known = Indices::of_a_user;
  Shape from{};
  Tensor forward(const Tensor& x_) {
    from = x_.shape();
    axis = normal_axis(name, axis, from);
    require_index_type(name, *indices, x_);
    const Shape& shape = indices->shape();
    require(shape.rank() == from.rank() && shape.with(axis, 0) == from.with(axis, 0), name,
            [&] { return text("indices ", shape, " and x ", from, " differ beside axis ", axis); });
    const Tensor x = x_.contiguous(), list = kept(*indices, axis), y = Tensor::empty(shape, x.dtype(), x.device());
    const Lines lines = lines_of(name, x, axis, shape, list, known);
    with_type(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (y.elements() == 0) return;   // of many lines
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
    const Tensor zero = Tensor::zeros({}, g.dtype(), g.device());
    return {scatter_add(view::expand(zero, from), axis, *indices, g)};
  }
};
Tensor gather(const Tensor& x, Axis axis, const Tensor& indices) { return apply(Gather{axis, indices}, x); }

Tensor index_select(const Tensor& x, Axis axis, const Tensor& indices) {
  constexpr const char* name = "index_select";
  const Called called(name);
  require_same_kind(name, {&x});
  axis = normal_axis(name, axis, x.shape());
  require_index_type(name, indices, x);
  require(indices.rank() == 1, name, [&] { return text("indices must have one axis, got ", indices.shape()); });
  require_indices(name, indices, x.size(axis), x);
  return gather(x, axis, repeated(indices, axis, x.shape().with(axis, indices.size(0))));
}

// y = base with the source added at the indices;  dbase = g,  dsource = g at the indices
struct ScatterAdd {
  static constexpr const char* name = "scatter_add";
  int axis;
  Saved indices;
  Tensor forward(const Tensor& base, const Tensor& source_) {
    require_same_kind(name, {&base, &source_});
    require_index_type(name, *indices, base);
    const Shape &whole = base.shape(), &shape = indices->shape();
    axis = normal_axis(name, axis, whole);
    require(shape == source_.shape(), name,
            [&] { return text("indices ", shape, " and source ", source_.shape(), " must have one shape"); });
    require(shape.rank() == whole.rank() && shape.with(axis, 0) == whole.with(axis, 0), name,
            [&] { return text("indices ", shape, " and base ", whole, " differ beside axis ", axis); });
    const Tensor source = source_.contiguous(), list = kept(*indices, axis), y = base.copy();
    const Lines lines = lines_of(name, y, axis, shape, list, Indices::of_a_user);
    with_float(name, y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (source.elements() == 0) return;   // in many lines
      for_each_row(y.device(), lines.outer * ((lines.inner + lines_per_row - 1) / lines_per_row),
                   lines.m * std::min(lines.inner, lines_per_row), AddLines<T>{source.data<T>(), y.data<T>(), lines});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    return {g, at.needs(1) ? gather(g, axis, *indices) : Tensor()};
  }
};
Tensor scatter_add(const Tensor& base, Axis axis, const Tensor& indices, const Tensor& source) {
  return apply(ScatterAdd{axis, indices}, base, source);
}

namespace {

Sorted sorted(const char* op, const Tensor& x, int64_t k, int axis, bool descending) {
  const Tensor places = sorted_places(op, x, k, axis, descending);
  return {apply(Gather{axis, places, Indices::known}, x), places};
}

}  // namespace

Sorted sort(const Tensor& x, Axis axis, Flag descending) {
  const Called called("sort");
  require_same_kind("sort", {&x});
  axis = normal_axis("sort", axis, x.shape());
  return sorted("sort", x, x.size(axis), axis, descending);
}

Sorted topk(const Tensor& x, Count k, Axis axis) {
  const Called called("topk");
  require_same_kind("topk", {&x});
  axis = normal_axis("topk", axis, x.shape());
  require(k >= 0 && k <= x.size(axis), "topk",
          [&] { return text("k must be in 0 … ", x.size(axis), ", got ", k, "; axis ", axis, " of shape ", x.shape()); });
  return sorted("topk", x, k, axis, true);
}

Tensor argmax(const Tensor& x, Axis axis, Flag keep) { return extreme_place("argmax", x, axis, false, keep); }
Tensor argmin(const Tensor& x, Axis axis, Flag keep) { return extreme_place("argmin", x, axis, true, keep); }

}  // namespace tapir

// Elements by index, and sorting.
#pragma once
#include <algorithm>
#include <numeric>

#include "autograd/examples/rows.h"
#include "autograd/ops/index.h"
#include "autograd/ops/pooling.h"

namespace tapir {

// x with the axis replaced: y[i][k][j] = x[i][index(i, k, j)][j].
template <class IndexOf>
Array picked(const Array& x, int axis, int64_t length, const IndexOf& index_of) {
  const int along = axis < 0 ? axis + x.shape.rank() : axis;
  int64_t place = 0;
  return build(x.shape.with(along, length), [&](Index i) {
    i[along] = index_of(place++, i[along]);
    return at(x, i);
  });
}

// For every line along the axis, the first k places in the order of std::stable_sort.
inline std::vector<int64_t> order_of_lines(const Array& x, int axis, int64_t k, bool descending) {
  const int along = axis < 0 ? axis + x.shape.rank() : axis;
  const Array lines = build(x.shape.with(along, 1), [](const Index&) { return 0.0; });
  std::vector<int64_t> result(x.shape.with(along, k).elements());
  Index first(x.shape.rank(), 0);
  for (int64_t line = 0; line < lines.shape.elements(); ++line) {
    std::vector<int64_t> order(x.shape[along]);
    std::iota(order.begin(), order.end(), 0);
    const auto value = [&](int64_t place) {
      Index i = first;
      i[along] = place;
      return at(x, i);
    };
    std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
      const double a = value(i), b = value(j);
      const bool less = !std::isnan(a) && (std::isnan(b) || a < b), greater = !std::isnan(b) && (std::isnan(a) || a > b);
      return descending ? greater : less;
    });
    for (int64_t p = 0; p < k; ++p) {
      int64_t place = 0;
      for (int a = 0; a < x.shape.rank(); ++a)
        place = a == along ? place * k + p : place * x.shape[a] + first[a];
      result[place] = order[p];
    }
    for (int a = x.shape.rank() - 1; a >= 0 && ++first[a] == lines.shape[a]; --a) first[a] = 0;
  }
  return result;
}

// Far apart, so that differences do not change the order.
inline Example sorting(const std::string& label, const Shape& shape, int axis, int64_t k, const Function& function,
                       bool descending, double range = 100) {
  return {.label = label, .function = function, .inputs = {{shape, -range, range}}, .reference = [=](const Arrays& in) {
    const std::vector<int64_t> order = order_of_lines(in[0], axis, k, descending);
    return picked(in[0], axis, k, [&](int64_t place, int64_t) { return order[place]; });
  }, .nan_elsewhere = true};
}

// max_pool2d gathers the largest of each window.
inline Example max_pool_row(const std::string& label, const Shape& x, int64_t rows, int64_t columns, const PatchOptions& o) {
  return {.label = label,
          .function = [=](const std::vector<Tensor>& in) { return max_pool2d(in[0], rows, columns, o); },
          .inputs = {{x, -100, 100}},
          .reference = [=](const Arrays& in) {
            const auto count = [&](int64_t size, int64_t kernel) { return (size + 2 * o.padding - kernel) / o.stride + 1; };
            return build({x[0], count(x[1], rows), count(x[2], columns), x[3]}, [&](const Index& at) {
              double largest = -HUGE_VAL;
              for (int64_t i = at[1] * o.stride - o.padding; i < at[1] * o.stride - o.padding + rows; ++i)
                for (int64_t j = at[2] * o.stride - o.padding; j < at[2] * o.stride - o.padding + columns; ++j)
                  if (i >= 0 && i < x[1] && j >= 0 && j < x[2])
                    largest = std::max(largest, in[0].values[((at[0] * x[1] + i) * x[2] + j) * x[3] + at[3]]);
              return largest;
            });
          },
          .nan_elsewhere = true};   // it is the largest of its windows
}

template <> struct Examples<Gather> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, int axis, int64_t length, bool may_vanish = false) {
      const Shape shape = from.with(axis, length);
      const std::vector<int32_t> index = scattered(shape.elements(), std::max<int64_t>(1, from[axis]));
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) { return gather(x[0], axis, i32(index, shape)); },
                     .inputs = {{from}},
                     .reference = [=](const Arrays& in) {
                       return picked(in[0], axis, length, [&](int64_t place, int64_t) { return index[place]; });
                     },
                     .may_vanish = may_vanish};
    };
    const auto select = [](const std::string& label, const Shape& from, int axis, int64_t length) {
      const std::vector<int32_t> index = scattered(length, std::max<int64_t>(1, from[axis]));
      return Example{.label = label,
                     .function =
                         [=](const std::vector<Tensor>& x) { return index_select(x[0], axis, i32(index, {length})); },
                     .inputs = {{from}},
                     .reference = [=](const Arrays& in) {
                       return picked(in[0], axis, length, [&](int64_t, int64_t k) { return index[k]; });
                     }};
    };
    const auto sorted = [](const std::string& label, const Shape& from, int axis, bool descending, double range = 100) {
      return sorting(label, from, axis, from[axis],
                     [=](const std::vector<Tensor>& x) { return sort(x[0], axis, descending).values; }, descending, range);
    };
    const auto largest = [](const std::string& label, const Shape& from, int axis, int64_t k, double range = 100) {
      return sorting(label, from, axis, k,
                     [=](const std::vector<Tensor>& x) { return topk(x[0], k, axis).values; }, true, range);
    };
    Example strided = select("index_select, every second index", {5, 3}, 0, 4);
    strided.function = [](const std::vector<Tensor>& x) {
      const std::vector<int32_t> index = scattered(4, 5);
      std::vector<int32_t> wide(8, 99);
      for (int64_t i = 0; i < 4; ++i) wide[2 * i] = index[i];
      return index_select(x[0], 0, i32(wide, {8}).strided({4}, {2}));
    };
    Example none = largest("topk, none", {3, 4}, 1, 0);
    none.may_vanish = true;
    return {.op = "gather",
            .rows = {row("first axis", {4, 3}, 0, 5), row("last axis", {2, 5}, -1, 3), row("middle axis", {2, 4, 3}, 1, 6),
                     row("rank 1", {5}, 0, 7), row("a long line", {70}, 0, 2500), row("one element", {1}, 0, 1),
                     row("no indices", {3, 4}, 1, 0, true),
                     max_pool_row("max_pool2d", {2, 4, 6, 3}, 2, 2, {.stride = 2}),
                     max_pool_row("max_pool2d, padding", {1, 5, 4, 2}, 3, 2, {.stride = 2, .padding = 1}),
                     row("of none", {0, 3}, 1, 2), row("several ranges", {300, 256}, 0, 40),
                     row("several ranges, last axis", {300, 256}, 1, 200),
                     select("index_select, first axis", {5, 3}, 0, 4), select("index_select, last axis", {2, 5}, -1, 7),
                     select("index_select, middle axis", {2, 4, 3}, 1, 3), select("index_select, rank 1", {6}, 0, 4),
                     select("index_select of none", {0, 3}, 1, 2),
                     select("index_select, several ranges", {300, 256}, 0, 290),
                     strided, sorted("sort", {3, 7}, -1, false), sorted("sort, descending", {9}, 0, true),
                     sorted("sort, first axis", {6, 2, 2}, 0, false), sorted("sort, one element", {1, 1}, 1, true),
                     sorted("sort, none", {0, 3}, 0, true), sorted("sort, several ranges", {4, 17500}, 0, true, 1e4),
                     largest("topk", {3, 7}, 1, 2), largest("topk, first axis", {8, 3}, 0, 3),
                     largest("topk, all", {5}, 0, 5), none, largest("topk, several ranges", {17500, 4}, -1, 2, 1e4)},
            .errors = {{[] { gather(zeros({2, 3}), 0, i32({0}, {1})); }, {"gather", "[1]", "[2,3]"}},
                       {[] { gather(zeros({2, 3}), 1, i32({0, 0, 0}, {3, 1})); }, {"gather", "[3,1]", "[2,3]", "axis 1"}},
                       {[] { gather(zeros({2, 3}), 2, i32({0, 0}, {2, 1})); }, {"gather", "axis 2", "[2,3]"}},
                       {[] { gather(zeros({2, 3}), 1, i32({0, 3}, {2, 1})); },
                        {"gather", "index 3", "position 1", "0 … 2"}},
                       {[] { gather(zeros({2, 3}), 1, i32({-1, 0}, {2, 1})); }, {"gather", "index -1", "position 0"}},
                       {[] { gather(zeros({2, 3}), 1, u8({0, 0}, {2, 1})); }, {"gather", "i32", "u8"}},
                       {[] { gather(zeros({2}), 0, Tensor()); }, {"gather", "the index tensor has no value"}},
                       {[] { gather(zeros({}), 0, i32({0}, {})); }, {"gather", "axis 0", "[]"}},
                       {[] { gather(zeros({2, 2}), 1, i32({7}, {1, 1}).strided({2, 2}, {0, 0})); }, {"gather", "index 7"}},
                       {[] { index_select(zeros({2, 3}), 0, i32({0}, {1, 1})); }, {"index_select", "one axis", "[1,1]"}},
                       {[] { index_select(zeros({2, 3}), 1, i32({0, 4}, {2})); },
                        {"index_select", "index 4", "position 1", "0 … 2"}},
                       {[] { index_select(zeros({2, 3}), 1, u8({0}, {1})); }, {"index_select", "i32", "u8"}},
                       {[] { index_select(zeros({2, 3}), 2, i32({0}, {1})); }, {"index_select", "axis 2", "[2,3]"}},
                       {[] { index_select(zeros({2, 3}), 0, Tensor()); }, {"index_select", "the index tensor has no value"}},
                       {[] { index_select(Tensor(), 0, i32({0}, {1})); }, {"index_select", "no value"}},
                       {[] { sort(zeros({}), 0); }, {"sort", "axis 0", "[]"}},
                       {[] { sort(Tensor()); }, {"sort", "no value"}},
                       {[] { sort(zeros({1}).strided({int64_t{1} << 31}, {0})); }, {"sort", "2147483648", "too long"}},
                       {[] { topk(zeros({2, 3}), 4, 1); }, {"topk", "0 … 3", "got 4", "[2,3]"}},
                       {[] { topk(zeros({2, 3}), -1, 0); }, {"topk", "got -1"}},
                       {[] { topk(zeros({1}).strided({int64_t{1} << 31}, {0}), 1); }, {"topk", "too long"}},
                       {[] { topk(Tensor(), 1); }, {"topk", "no value"}}},
            .any_type = true};
  }
};

template <> struct Examples<ScatterAdd> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& base, int axis, int64_t length, bool may_vanish = false,
                        bool one_list = false) {
      const int along = axis < 0 ? axis + base.rank() : axis;
      const Shape shape = base.with(along, length);
      const std::vector<int32_t> index =
          scattered(one_list ? length : shape.elements(), std::max<int64_t>(1, base[along]));
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) {
                       Strides repeated{};
                       repeated[along] = 1;
                       const Tensor indices = one_list ? i32(index, {length}).strided(shape, repeated) : i32(index, shape);
                       return scatter_add(x[0], axis, indices, x[1]);
                     },
                     .inputs = {{base}, {shape}},
                     .reference = [=](const Arrays& in) {
                       Array y = in[0];
                       int64_t place = 0;
                       build(shape, [&](Index i) {
                         const double value = in[1].values[place];
                         i[along] = one_list ? index[i[along]] : index[place];
                         ++place;
                         int64_t target = 0;
                         for (int a = 0; a < base.rank(); ++a) target = target * base[a] + i[a];
                         return y.values[target] += value;
                       });
                       return y;
                     },
                     .may_vanish = may_vanish};
    };
    return {.op = "scatter_add",
            .rows = {row("first axis", {4, 3}, 0, 6), row("last axis", {2, 5}, -1, 7), row("middle axis", {2, 4, 3}, 1, 6),
                     row("rank 1", {5}, 0, 9), row("one element", {1}, 0, 1), row("nothing", {3, 4}, 1, 0),
                     row("to none", {0, 3}, 1, 2), row("one list", {2, 4, 3}, 1, 6, false, true),
                     row("several ranges", {300, 256}, 0, 40), row("several ranges, last axis", {300, 256}, 1, 200)},
            .errors = {{[] { scatter_add(zeros({2, 3}), 0, i32({0, 0}, {2}), zeros({2})); },
                        {"scatter_add", "[2]", "[2,3]"}},
                       {[] { scatter_add(zeros({2, 3}), 1, i32({0, 0}, {2, 1}), zeros({2})); },
                        {"scatter_add", "[2,1]", "[2]"}},
                       {[] { scatter_add(zeros({2, 3}), 1, i32({0, 3}, {2, 1}), zeros({2, 1})); },
                        {"scatter_add", "index 3", "position 1", "0 … 2"}},
                       {[] { scatter_add(zeros({2}), 0, u8({0}, {1}), zeros({1})); }, {"scatter_add", "i32", "u8"}},
                       {[] { scatter_add(zeros({2}), 0, Tensor(), zeros({1})); }, {"scatter_add", "the index tensor has no value"}},
                       {[] { scatter_add(zeros({2}), 1, i32({0}, {1}), zeros({1})); }, {"scatter_add", "axis 1", "[2]"}}}};
  }
};

}  // namespace tapir

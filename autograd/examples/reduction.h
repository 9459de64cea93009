// Sums, softmax and its kin.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/examples/lines.h"
#include "autograd/examples/softmax_mask.h"
#include "autograd/ops/pooling.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"

namespace tapir {

// Σ x at the places where `result` has extent 1, aligned at the last axis; `shape` has the same elements as `result`.
inline Reference sums(const Shape& result, const Shape& shape, double factor = 1) {
  return [=](const Arrays& in) {
    Array y{result, std::vector<double>(result.elements(), 0)};
    build(in[0].shape, [&](const Index& from) {
      int64_t place = 0;
      for (int axis = 0; axis < result.rank(); ++axis)
        place = place * result[axis] + (result[axis] == 1 ? 0 : from[from.size() - result.rank() + axis]);
      return y.values[place] += factor * at(in[0], from);
    });
    y.shape = shape;
    return y;
  };
}

inline Example sum_row(const std::string& label, const Shape& from, int axis, bool keep) {
  Shape left;
  const int reduced = axis < 0 ? axis + from.rank() : axis;
  for (int a = 0; a < from.rank(); ++a)
    if (a != reduced) left.push_back(from[a]);
  const Shape kept = from.with(reduced, 1);
  return {.label = label,
          .function = [=](const std::vector<Tensor>& x) { return sum(x[0], axis, keep); },
          .inputs = {{from}},
          .reference = sums(kept, keep ? kept : left),
          .relative_f32 = 1e-5};
}

inline Example total_row(const std::string& label, const Shape& from) {
  return {.label = label,
          .function = [](const std::vector<Tensor>& x) { return sum(x[0]); },
          .inputs = {{from}},
          .reference = sums({}, {}),
          .relative_f32 = 1e-5};
}

template <> struct Examples<Sum> {
  static OpExamples all() {
    return {.op = "sum",
            .rows = {total_row("all", {3, 4}),
                     total_row("all of rank 0", {}),
                     total_row("all of rank 1", {5}),
                     total_row("all of none", {0, 3}),
                     total_row("all, several ranges", {2, 70000}),
                     sum_row("first axis", {3, 4, 5}, 0, false),
                     sum_row("middle axis", {3, 4, 5}, 1, false),
                     sum_row("last axis", {3, 4, 5}, -1, false),
                     sum_row("first axis, kept", {3, 4, 5}, -3, true),
                     sum_row("middle axis, kept", {3, 4, 5}, 1, true),
                     sum_row("last axis, kept", {3, 4, 5}, 2, true),
                     sum_row("rank 1", {6}, 0, false),
                     sum_row("extent 1", {3, 1}, 1, false),
                     sum_row("one element", {1, 1}, 0, true),
                     sum_row("no columns", {2, 0}, 1, false),
                     sum_row("no rows", {0, 3}, 0, false),
                     sum_row("nothing is left", {0, 3}, 1, false),
                     sum_row("several ranges, first axis", {300, 256}, 0, false),
                     sum_row("several ranges, middle axis", {20, 60, 70}, 1, false),
                     sum_row("several ranges, last axis", {300, 256}, 1, false),
                     reduction_row("norm 1", {{3, 4, 5}, -2.25, 2.25, 0.5}, 1, absolute_sum,
                                   [](const Tensor& x) { return norm(x, 1, 1); }),
                     reduction_row("norm 1 of all", {{3, 40}, -2.25, 2.25, 0.5}, {}, absolute_sum,
                                   [](const Tensor& x) { return norm(x, 1); })},
            .errors = {{[] { sum(zeros({2, 3}), 2); }, {"sum", "axis 2", "[2,3]"}},
                       {[] { sum(zeros({2, 3}), -3, true); }, {"sum", "axis -3", "[2,3]"}}}};
  }
};

template <> struct Examples<Mean> {
  static OpExamples all() {
    const auto all_of = [](const std::string& label, const Shape& x) {
      return Example{.label = label, .function = [](const std::vector<Tensor>& in) { return mean(in[0]); }, .inputs = {{x}},
                     .reference = sums({}, {}, 1 / static_cast<double>(x.elements()))};
    };
    const auto along = [](const std::string& label, const Shape& x, int axis, bool keep = false) {
      const Shape kept = x.with(axis, 1);
      return Example{.label = label, .function = [=](const std::vector<Tensor>& in) { return mean(in[0], axis, keep); },
                     .inputs = {{x}},
                     .reference = sums(kept, keep ? kept : x.without(axis), 1 / static_cast<double>(x[axis]))};
    };
    const auto adaptive = [](const std::string& label, const Shape& x, int64_t height, int64_t width) {
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& in) { return adaptive_average_pool2d(in[0], height, width); },
                     .inputs = {{x}},
                     .reference = [=](const Arrays& in) {
                       return build({x[0], height, width, x[3]}, [&](const Index& y) {
                         const auto from = [](int64_t i, int64_t n, int64_t parts) { return i * n / parts; };
                         const auto to = [](int64_t i, int64_t n, int64_t parts) { return ((i + 1) * n + parts - 1) / parts; };
                         double total = 0, count = 0;
                         for (int64_t i = from(y[1], x[1], height); i < to(y[1], x[1], height); ++i)
                           for (int64_t j = from(y[2], x[2], width); j < to(y[2], x[2], width); ++j, ++count)
                             total += at(in[0], {y[0], i, j, y[3]});
                         return total / count;
                       });
                     }};
    };
    return {.op = "mean",
            .rows = {all_of("all", {4, 5}), all_of("all of rank 0", {}), all_of("several ranges", {2, 70000}),
                     along("first axis", {3, 4, 5}, 0), along("middle axis", {2, 4, 5}, -2),
                     along("last axis", {4, 7}, 1, true),
                     adaptive("adaptive pooling", {2, 4, 6, 3}, 2, 3), adaptive("adaptive pooling, uneven", {1, 5, 7, 2}, 3, 4),
                     along("one element", {1, 1}, 0, true), along("no columns", {3, 0}, 0), along("no rows", {0, 3}, 1),
                     along("several ranges, first axis", {300, 256}, 0), along("several ranges, last axis", {300, 256}, 1)},
            .errors = {{[] { mean(zeros({}), 0); }, {"mean", "axis 0", "[]"}},
                       {[] { adaptive_average_pool2d(zeros({2, 5, 4, 3}), 6, 2); },
                        {"adaptive_average_pool2d", "[5,4] has no [6,2] parts", "[2,5,4,3]"}},
                       {[] { adaptive_average_pool2d(zeros({5, 4, 3}), 2, 2); },
                        {"adaptive_average_pool2d", "x (B,H,W,C)", "[5,4,3]"}},
                       {[] { mean(zeros({2, 3}), -3, true); }, {"mean", "axis -3", "[2,3]"}}}};
  }
};

template <> struct Examples<SumTo> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, const Shape& to) {
      return Example{.label = label, .function = [=](const std::vector<Tensor>& x) { return sum_to(x[0], to); },
                     .inputs = {{from}}, .reference = sums(to, to), .relative_f32 = 1e-5};
    };
    return {.op = "sum_to",
            .rows = {row("to a number", {2, 3, 4}, {}), row("to the last axis", {2, 3, 4}, {4}),
                     row("to a column", {2, 3, 4}, {3, 1}), row("to the middle axis", {2, 3, 4}, {1, 3, 1}),
                     row("to the outer axes", {2, 3, 4}, {2, 1, 4}), row("to the first axis", {2, 3, 4}, {2, 1, 1}),
                     row("to one element", {2, 3}, {1, 1}), row("from one element", {1, 1}, {1}),
                     row("from none", {0, 3}, {1, 3}), row("several ranges", {300, 256}, {256}),
                     row("several ranges, inner", {40, 50, 60}, {40, 1, 60})},
            .errors = {{[] { sum_to(zeros({2, 3}), {2}); }, {"sum_to", "[2]", "[2,3]"}},
                       {[] { sum_to(zeros({3}), {2, 3}); }, {"sum_to", "[2,3]", "[3]"}}}};
  }
};

using RowFunction = std::vector<double> (*)(const std::vector<double>&);

inline std::vector<double> log_softmax_row(const std::vector<double>& x) {
  double largest = -HUGE_VAL, total = 0;
  for (const double value : x) largest = std::max(largest, value);
  for (const double value : x) total += std::exp(value - largest);
  std::vector<double> y;
  for (const double value : x) y.push_back(value - largest - std::log(total));
  return y;
}

inline std::vector<double> softmax_row(const std::vector<double>& x) {
  std::vector<double> y = log_softmax_row(x);
  for (double& value : y) value = std::exp(value);
  return y;
}

inline std::vector<double> logsumexp_row(const std::vector<double>& x) { return {x[0] - log_softmax_row(x)[0]}; }

inline Example along_last_axis(const std::string& label, const Argument& x, Tensor (*f)(const Tensor&),
                               RowFunction reference, bool drops_axis = false, bool may_vanish = false) {
  Shape result;
  for (int axis = 0; axis + (drops_axis ? 1 : 0) < x.shape.rank(); ++axis) result.push_back(x.shape[axis]);
  return {.label = label,
          .function = [f](const std::vector<Tensor>& in) { return f(in[0]); },
          .inputs = {x},
          .reference = [=](const Arrays& in) { return by_rows(in[0], result, reference); },
          .may_vanish = may_vanish};
}

inline std::vector<Example> rows_along_last_axis(Tensor (*f)(const Tensor&), RowFunction reference,
                                                 bool drops_axis = false) {
  const auto row = [=](const std::string& label, const Argument& x, bool may_vanish = false) {
    return along_last_axis(label, x, f, reference, drops_axis, may_vanish);
  };
  return {row("matrix", {{4, 7}}), row("one row", {{5}}), row("four axes", {{2, 3, 4, 5}}), row("long row", {{2, 131}}),
          row("large numbers", {{3, 6}, 1000, 1004}), row("very negative numbers", {{3, 6}, -1004, -1000}),
          row("one element", {{1, 1}}, true), row("one column", {{3, 1}}, true), row("no rows", {{0, 4}}),
          row("several ranges", {{300, 256}})};
}

template <> struct Examples<LogSumExp> {
  static OpExamples all() {
    return {.op = "logsumexp", .rows = rows_along_last_axis(logsumexp, logsumexp_row, true),
            .errors = {{[] { logsumexp(zeros({})); }, {"logsumexp", "[]"}}}};
  }
};

template <> struct Examples<LogSoftmax> {
  static OpExamples all() {
    std::vector<Example> rows = rows_along_last_axis(log_softmax, log_softmax_row);
    rows.push_back(along_last_axis("no columns", {{3, 0}}, log_softmax, log_softmax_row, false, false));
    return {.op = "log_softmax", .rows = std::move(rows),
            .errors = {{[] { log_softmax(zeros({})); }, {"log_softmax", "[]"}}}};
  }
};

template <> struct Examples<Softmax> {
  static OpExamples all() {
    std::vector<Example> rows = rows_along_last_axis(softmax, softmax_row);
    for (Example& row : masked_softmax_rows()) rows.push_back(std::move(row));
    const Mask two_batches{.causal = false, .offset = 0, .keys = u8({1, 1, 1, 0}, {2, 2})};
    return {.op = "softmax",
            .rows = std::move(rows),
            .errors = {{[] { softmax(zeros({})); }, {"softmax", "[]"}},
                       {[] {
                          softmax(zeros({3, 4}), Mask{.causal = true, .offset = 0});
                        },
                        {"softmax", "(B,H,T,S)", "[3,4]"}},
                       {[=] {
                          softmax(zeros({2, 1, 3, 3}), two_batches);
                        },
                        {"softmax", "key mask", "[2,3]", "u8[2,2]"}},
                       {[] {
                          softmax(zeros({1, 1, 2, 2}), Mask{.causal = false, .offset = 0, .keys = i32({1, 1}, {1, 2})});
                        },
                        {"softmax", "u8[1,2]", "i32"}}}};
  }
};

}  // namespace tapir

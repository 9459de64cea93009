// Ops on the lines of elements along an axis: reductions and running totals.
#pragma once
#include <optional>

#include "autograd/examples/example.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/unary.h"

namespace tapir {

using Line = std::vector<double>;
using Call = std::function<Tensor(const Tensor&)>;

// f of every line along `axis`, or of all elements; the axis stays with extent 1, or goes.
inline Reference of_lines(std::optional<int> axis, bool keep, const std::function<double(const Line&)>& f) {
  return [=](const Arrays& in) {
    const Array& x = in[0];
    if (!axis) return Array{{}, {f(x.values)}};
    const int along = *axis < 0 ? *axis + x.shape.rank() : *axis;
    Array y = build(x.shape.with(along, 1), [&](Index i) {
      Line line;
      for (i[along] = 0; i[along] < x.shape[along]; ++i[along]) line.push_back(at(x, i));
      return f(line);
    });
    if (!keep) y.shape = x.shape.without(along);
    return y;
  };
}

inline Example reduction_row(const std::string& label, const Argument& x, std::optional<int> axis,
                             const std::function<double(const Line&)>& f, const Call& call, bool keep = false,
                             bool may_vanish = false) {
  return {.label = label,
          .function = [=](const std::vector<Tensor>& in) { return call(in[0]); },
          .inputs = {x},
          .reference = of_lines(axis, keep, f),
          .may_vanish = may_vanish,
          .relative_f32 = 1e-5};
}

// Rows of a reduction with overloads for all elements and for an axis.
struct Reduction {
  Tensor (*all)(const Tensor& x);
  Tensor (*along)(const Tensor& x, Axis axis, Flag keep);
  double (*f)(const Line&);

  // With `spikes`, spike() is added to x first.
  std::vector<Example> rows(bool spikes) const {
    std::vector<Example> rows;
    const auto row = [&, reduction = *this](const std::string& label, const Shape& shape, std::optional<int> axis,
                                            bool keep) {
      const bool spiked = spikes && shape.elements() > 1;
      const auto lifted = [=](const Tensor& x) { return spiked ? add(x, spike(shape, axis).to(x.dtype())) : x; };
      Example example = reduction_row(
          label, {shape}, axis, reduction.f,
          [=](const Tensor& x) { return axis ? reduction.along(lifted(x), *axis, keep) : reduction.all(lifted(x)); }, keep);
      if (spiked) {
        const Reference plain = example.reference;
        example.reference = [=](const Arrays& in) {
          Array x = in[0];
          const std::vector<double> added = spike(shape, axis).values<double>();
          for (size_t i = 0; i < added.size(); ++i) x.values[i] += added[i];
          return plain({x});
        };
      }
      rows.push_back(std::move(example));
    };
    row("last axis", {3, 4, 5}, -1, false);
    row("first axis", {3, 4, 5}, 0, false);
    row("middle axis", {3, 4, 5}, 1, false);
    row("middle axis, kept", {3, 4, 5}, -2, true);
    row("rank 1", {6}, 0, false);
    row("no rows", {0, 3}, 1, false);
    row("several ranges, last axis", {300, 256}, 1, false);
    row("several ranges, first axis", {256, 300}, 0, false);
    row("all", {3, 4}, {}, false);
    row("all, more than a team", {2, 67}, {}, false);
    row("all, several ranges", {3, 50000}, {}, false);
    return rows;
  }

  // 5 at one place of each line, 0 elsewhere: that element stays the largest under the steps of the differences.
  static Tensor spike(const Shape& shape, std::optional<int> axis) {
    std::vector<double> y(shape.elements(), 0.0);
    const int along = !axis ? 0 : *axis < 0 ? *axis + shape.rank() : *axis;
    int64_t stride = 1;
    for (int a = along + 1; a < shape.rank(); ++a) stride *= shape[a];
    const int64_t n = axis ? shape[along] : shape.elements();
    for (int64_t i = 0; i < shape.elements(); ++i)
      if ((axis ? i / stride % n : i) == n / 2) y[i] = 5;
    return Tensor::from(y, shape);
  }
};

inline double absolute_sum(const Line& x) {
  double total = 0;
  for (const double value : x) total += std::fabs(value);
  return total;
}

inline double variance(const Line& x, double correction) {
  double mean = 0, total = 0;
  for (const double value : x) mean += value / static_cast<double>(x.size());
  for (const double value : x) total += (value - mean) * (value - mean);
  return total / (static_cast<double>(x.size()) - correction);
}

template <>
struct Examples<Var> {
  static OpExamples all() {
    const Reduction reduction{var, [](const Tensor& x, Axis axis, Flag keep) { return var(x, axis, 1, keep); },
                              [](const Line& x) { return variance(x, 1); }};
    std::vector<Example> rows = reduction.rows(false);
    rows.push_back(reduction_row(
        "correction 0", {{3, 7}}, 1, [](const Line& x) { return variance(x, 0); },
        [](const Tensor& x) { return var(x, 1, 0); }));
    rows.push_back(reduction_row(
        "one element, correction 0", {{1, 1}}, 1, [](const Line&) { return 0.0; },
        [](const Tensor& x) { return var(x, 1, 0); }, false, true));
    rows.push_back(reduction_row(
        "far from 0", {{3, 7}, 1000, 1001}, 1, [](const Line& x) { return variance(x, 1); },
        [](const Tensor& x) { return var(x, 1); }));
    rows.back().relative_f64 = 1e-11;
    return {.op = "var",
            .rows = std::move(rows),
            .errors = {{[] {
                          var(zeros({2, 1}), 1);
                        },
                        {"var", "more than 1", "got 1", "[2,1]"}},
                       {[] {
                          var(zeros({2, 0}), 1, 0);
                        },
                        {"var", "more than 0", "got 0", "[2,0]"}},
                       {[] { var(zeros({})); }, {"var", "more than 1", "[]"}},
                       {[] {
                          var(zeros({2, 3}), 2);
                        },
                        {"var", "axis 2", "[2,3]"}}}};
  }
};

inline double largest_of(const Line& x) {
  double largest = x[0];
  for (const double value : x) largest = value > largest ? value : largest;
  return largest;
}

inline double smallest_of(const Line& x) {
  double smallest = x[0];
  for (const double value : x) smallest = value < smallest ? value : smallest;
  return smallest;
}

inline double largest_size(const Line& x) {
  double largest = 0;
  for (const double value : x) largest = std::max(largest, std::fabs(value));
  return largest;
}

// Rows that max and min share. Of two equal ones each has half of the gradient, as central differences have it.
inline OpExamples extreme(const std::string& name, const Reduction& reduction, std::vector<Example> rows) {
  rows.push_back(reduction_row(
      "one element", {{1, 1}}, 0, reduction.f, [f = reduction.along](const Tensor& x) { return f(x, 0, true); }, true));
  rows.push_back({.label = "ties",
                  .function = [f = reduction.along](const std::vector<Tensor>& x) { return f(x[0], 1, false); },
                  .inputs = {{{5, 2}, 1, 1}},
                  .reference =
                      [](const Arrays&) {
                        return Array{{5}, {1, 1, 1, 1, 1}};
                      },
                  .second_order = false});
  return {.op = name,
          .rows = std::move(rows),
          .errors = {{[f = reduction.along] {
                        f(zeros({2, 0}), 1, false);
                      },
                      {name, "nothing", "[2,0]"}},
                     {[f = reduction.all] {
                        f(zeros({0, 2}));
                      },
                      {name, "nothing", "[0,2]"}},
                     {[f = reduction.along] {
                        f(zeros({2, 3}), -3, false);
                      },
                      {name, "axis -3", "[2,3]"}}}};
}

template <>
struct Examples<Extreme<1>> {
  static OpExamples all() {
    const Reduction reduction{max, max, largest_of},
        size{[](const Tensor&x) { return norm(x, HUGE_VAL); },
             [](const Tensor& x, Axis axis, Flag keep) { return norm(x, HUGE_VAL, axis, keep); }, largest_size};
    std::vector<Example> rows = reduction.rows(true);
    rows.front().function = [](const std::vector<Tensor>& x) { return max(x[0], -1); };
    rows.front().reference = of_lines(-1, false, largest_of);
    for (Example& row : size.rows(true)) {
      row.label = "norm ∞, " + row.label;
      rows.push_back(std::move(row));
    }
    return extreme("max", reduction, std::move(rows));
  }
};

template <>
struct Examples<Extreme<-1>> {
  static OpExamples all() {
    // The spikes point up: −(5 − x) has its smallest element where they stand.
    const Reduction reduction{[](const Tensor& x) { return min(x); },
                              [](const Tensor& x, Axis axis, Flag keep) { return min(x, axis, keep); }, smallest_of};
    const Reduction mirrored{[](const Tensor& x) { return min(neg(x)); },
                             [](const Tensor& x, Axis axis, Flag keep) { return min(neg(x), axis, keep); },
                             [](const Line& x) { return -largest_of(x); }};
    std::vector<Example> rows = mirrored.rows(true);
    rows.front().function = [](const std::vector<Tensor>& x) { return min(x[0], -1); };
    rows.front().reference = of_lines(-1, false, smallest_of);
    return extreme("min", reduction, std::move(rows));
  }
};

inline double euclidean(const Line& x) {
  double total = 0;
  for (const double value : x) total += value * value;
  return std::sqrt(total);
}

template <>
struct Examples<Norm> {
  static OpExamples all() {
    const Reduction reduction{[](const Tensor& x) { return norm(x, 2); },
                              [](const Tensor& x, Axis axis, Flag keep) { return norm(x, 2, axis, keep); }, euclidean};
    std::vector<Example> rows = reduction.rows(false);
    rows.push_back(
        reduction_row("one element", {{1, 1}, 0.5, 2}, 0, euclidean, [](const Tensor& x) { return norm(x, 2, 0); }));
    rows.push_back(reduction_row("of none", {{2, 0}}, 1, euclidean, [](const Tensor& x) { return norm(x, 2, 1); }));
    const double scale = 0x1p-90;  // squares vanish in f32
    rows.push_back(reduction_row("small numbers", {{3, 7}}, 1, euclidean,
                                 [=](const Tensor& x) { return affine(norm(affine(x, scale, 0), 2, 1), 1 / scale, 0); }));
    rows.push_back(reduction_row("large numbers", {{3, 7}}, 1, euclidean,
                                 [=](const Tensor& x) { return affine(norm(affine(x, 1 / scale, 0), 2, 1), scale, 0); }));
    return {.op = "norm",
            .rows = std::move(rows),
            .errors = {{[] { norm(zeros({2}), 3); }, {"norm", "1, 2 or infinity", "got 3"}},
                       {[] { norm(zeros({2}), 0, 0); }, {"norm", "got 0"}},
                       {[] {
                          norm(zeros({2, 3}), 2, 2);
                        },
                        {"norm", "axis 2", "[2,3]"}}}};
  }
};

// ---- running totals -----------------------------------------------------------------------------------------------

// y_t of every line from f(line of x, …).
inline Reference totals(int axis, bool reverse, const std::function<Line(const std::vector<Line>&)>& f) {
  return [=](const Arrays& in) {
    const Shape& shape = in[0].shape;
    const int along = axis < 0 ? axis + shape.rank() : axis;
    Array y{shape, std::vector<double>(shape.elements())};
    build(shape.with(along, 1), [&](Index i) {
      std::vector<Line> lines(in.size());
      for (size_t k = 0; k < in.size(); ++k)
        for (i[along] = 0; i[along] < shape[along]; ++i[along]) lines[k].push_back(at(in[k], i));
      if (reverse)
        for (Line& line : lines) std::reverse(line.begin(), line.end());
      Line result = f(lines);
      if (reverse) std::reverse(result.begin(), result.end());
      for (i[along] = 0; i[along] < shape[along]; ++i[along]) {
        int64_t place = 0;
        for (int a = 0; a < shape.rank(); ++a) place = place * shape[a] + i[a];
        y.values[place] = result[i[along]];
      }
      return 0.0;
    });
    return y;
  };
}

// Lines of one chunk and of several, one and many columns, more columns than a block.
inline std::vector<Example> total_rows(const std::vector<Argument>& arguments, bool reverse,
                                       const std::function<Tensor(const std::vector<Tensor>&, int)>& call,
                                       const std::function<Line(const std::vector<Line>&)>& f) {
  std::vector<Example> rows;
  const auto row = [&](const std::string& label, const Shape& shape, int axis, double relative_f32 = 5e-6) {
    std::vector<Argument> inputs = arguments;
    for (Argument& input : inputs) input.shape = shape;
    rows.push_back({.label = label + (reverse ? ", reverse" : ""),
                    .function = [=](const std::vector<Tensor>& x) { return call(x, axis); },
                    .inputs = inputs,
                    .reference = totals(axis, reverse, f),
                    .may_vanish = shape.elements() == 1,
                    .relative_f32 = relative_f32});
  };
  row("last axis", {3, 7}, -1);
  row("first axis", {7, 3}, 0);
  row("middle axis", {2, 5, 3}, 1);
  row("one element", {1, 1}, 1);
  row("none", {2, 0, 3}, 1);
  row("no columns", {2, 0}, 0);
  // The rounding of a large partial sum stays when the sums after it are small.
  row("several ranges", {300, 256}, 1, 2e-5);
  row("several ranges, many columns", {5, 60, 230}, 1, 1e-5);
  row("chunks", {2, 2500}, 1, 2e-5);
  row("chunks of columns", {2100, 3}, 0, 2e-5);
  return rows;
}

template <>
struct Examples<CumSum> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const bool reverse : {false, true})
      for (Example& row : total_rows(
               {{}}, reverse, [=](const std::vector<Tensor>&x, int axis) { return cumsum(x[0], axis, reverse); },
               [](const std::vector<Line>&x) {
                 Line y;
                 double total = 0;
                 for (const double value : x[0]) y.push_back(total += value);
                 return y;
               }))
        rows.push_back(std::move(row));
    return {.op = "cumsum",
            .rows = std::move(rows),
            .errors = {{[] {
                          cumsum(zeros({2, 3}), 2);
                        },
                        {"cumsum", "axis 2", "[2,3]"}},
                       {[] { cumsum(zeros({}), 0); }, {"cumsum", "axis 0", "[]"}}}};
  }
};

template <>
struct Examples<LogCumSumExp> {
  static OpExamples all() {
    const auto rows_of = [](const Argument& input) {
      return total_rows(
          {input}, false, [](const std::vector<Tensor>& x, int axis) { return logcumsumexp(x[0], axis); },
          [](const std::vector<Line>& x) {
            Line y;
            double largest = -HUGE_VAL, total = 0;  // relative to the largest of the whole line: none is small
            for (const double value : x[0]) largest = std::max(largest, value);
            for (const double value : x[0]) y.push_back(largest + std::log(total += std::exp(value - largest)));
            return y;
          });
    };
    std::vector<Example> rows = rows_of({});
    for (const double offset : {1000.0, -1000.0}) {
      Example row = rows_of({{}, offset - 2, offset + 2})[2];
      row.label = offset > 0 ? "large numbers" : "very negative numbers";
      row.relative_f32 = 1e-5;  // of the gradient: 1000 rounds by 3e-5
      rows.push_back(row);
    }
    return {.op = "logcumsumexp",
            .rows = std::move(rows),
            .errors = {{[] {
                          logcumsumexp(zeros({2, 3}), -3);
                        },
                        {"logcumsumexp", "axis -3", "[2,3]"}}}};
  }
};

template <>
struct Examples<LinearRecurrence> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const bool reverse : {false, true})
      for (Example& row : total_rows(
               {{{}, -0.9, 0.9}, {}}, reverse,
               [=](const std::vector<Tensor>&x, int axis) { return linear_recurrence(x[0], x[1], axis, reverse); },
               [](const std::vector<Line>&x) {
                 Line y;
                 double last = 0;
                 for (size_t t = 0; t < x[0].size(); ++t) y.push_back(last = x[0][t] * last + x[1][t]);
                 return y;
               }))
        rows.push_back(std::move(row));
    return {.op = "linear_recurrence",
            .rows = std::move(rows),
            .errors = {{[] {
                          linear_recurrence(zeros({2, 3}), zeros({3}), 0);
                        },
                        {"linear_recurrence", "[2,3]", "[3]"}},
                       {[] {
                          linear_recurrence(zeros({2, 3}), zeros({2, 3}), 2);
                        },
                        {"linear_recurrence", "axis 2", "[2,3]"}}}};
  }
};

}  // namespace tapir

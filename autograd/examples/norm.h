// Normalisations with other statistics than those of layer_norm.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/group_norm.h"
#include "autograd/ops/rms_norm.h"

namespace tapir {

template <> struct Examples<RmsNorm> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& x, double epsilon) {
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& in) { return rms_norm(in[0], in[1], epsilon); },
                     .inputs = {{x}, {{x[-1]}}},
                     .reference = [=](const Arrays& in) {
                       return by_rows(in[0], in[0].shape, [&](std::vector<double> row) {
                         double total = 0;
                         for (const double value : row) total += value * value;
                         const double rms = std::sqrt(total / static_cast<double>(row.size()) + epsilon);
                         for (size_t j = 0; j < row.size(); ++j) row[j] *= in[1].values[j] / rms;
                         return row;
                       });
                     },
                     .may_vanish = x.elements() == 0,
                     .relative_f32 = 1e-5};
    };
    return {.op = "rms_norm",
            .rows = {row("matrix", {4, 7}, 1e-6), row("one row", {6}, 1e-6), row("sequence", {2, 3, 40}, 1e-6),
                     row("large epsilon", {3, 5}, 0.5), row("one element", {1, 1}, 0.5), row("no rows", {0, 4}, 1e-6),
                     row("several ranges", {300, 256}, 1e-6)},
            .errors = {{[] { rms_norm(zeros({2, 3}), zeros({2})); }, {"rms_norm", "[2,3]", "[2]"}},
                       {[] { rms_norm(zeros({2, 3}), zeros({1, 3})); }, {"rms_norm", "[2,3]", "[1,3]"}},
                       {[] { rms_norm(zeros({}), zeros({1})); }, {"rms_norm", "[]"}},
                       {[] { rms_norm(zeros({2, 0}), zeros({0})); }, {"rms_norm", "[2,0]"}}}};
  }
};

// w_c (x − mean)/√(variance + ε) + b_c, with the statistics of all elements of one set. set_of and channel_of: by index.
template <class SetOf>
Array normalised(const Arrays& in, int axis, double epsilon, int64_t sets, const SetOf& set_of) {
  std::vector<double> count(sets, 0), mean(sets, 0), variance(sets, 0);
  build(in[0].shape, [&](const Index& i) { return ++count[set_of(i)]; });
  build(in[0].shape, [&](const Index& i) { return mean[set_of(i)] += at(in[0], i) / count[set_of(i)]; });
  build(in[0].shape, [&](const Index& i) {
    const double d = at(in[0], i) - mean[set_of(i)];
    return variance[set_of(i)] += d * d / count[set_of(i)];
  });
  return build(in[0].shape, [&](const Index& i) {
    const int64_t s = set_of(i), c = i[axis];
    return in[1].values[c] * (at(in[0], i) - mean[s]) / std::sqrt(variance[s] + epsilon) + in[2].values[c];
  });
}

template <> struct Examples<GroupNorm> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& x, int64_t groups, double epsilon = 1e-5,
                        bool may_vanish = false, double low = -2, double high = 2) {
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& in) {
                       return group_norm(in[0], groups, in[1], in[2], epsilon);
                     },
                     .inputs = {{x, low, high}, {{x[1]}}, {{x[1]}}},
                     .reference = [=](const Arrays& in) {
                       return normalised(in, 1, epsilon, x[0] * groups,
                                         [&](const Index& i) { return i[0] * groups + i[1] / (x[1] / groups); });
                     },
                     .may_vanish = may_vanish,
                     .relative_f32 = low > 10 ? 2e-4 : 1e-5};
    };
    return {.op = "group_norm",
            .rows = {row("images", {2, 6, 3, 5}, 3), row("sequence", {2, 4, 7}, 2), row("no places", {3, 8}, 2),
                     row("one group", {2, 3, 4}, 1), row("a group for each channel", {2, 3, 4}, 3),
                     row("large mean", {2, 4, 6}, 2, 1e-5, false, 100, 104), row("one element", {1, 1, 1}, 1, 0.5, true),
                     row("none", {0, 4, 3}, 2, 1e-5, true), row("channels of none", {2, 4, 0}, 2, 1e-5, true),
                     row("several ranges", {30, 8, 20, 16}, 4)},
            .errors = {{[] { group_norm(zeros({2, 4, 3}), 3, zeros({4}), zeros({4})); },
                        {"group_norm", "[2,4,3]", "3 groups"}},
                       {[] { group_norm(zeros({2, 4}), 0, zeros({4}), zeros({4})); }, {"group_norm", "0 groups"}},
                       {[] { group_norm(zeros({2, 4}), -2, zeros({4}), zeros({4})); }, {"group_norm", "-2 groups"}},
                       {[] { group_norm(zeros({2, 4, 3}), 2, zeros({3}), zeros({4})); },
                        {"group_norm", "(B,C,…)", "[2,4,3]", "[3]", "[4]"}},
                       {[] { group_norm(zeros({4}), 2, zeros({4}), zeros({4})); }, {"group_norm", "(B,C,…)", "[4]"}},
                       {[] { group_norm(zeros({2, 0}), 1, zeros({0}), zeros({0})); }, {"group_norm", "[2,0]"}}}};
  }
};

template <> struct Examples<BatchNorm> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& x, int axis, double epsilon = 1e-5, bool may_vanish = false,
                        double low = -2, double high = 2) {
      const int along = axis < 0 ? axis + x.rank() : axis;
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& in) {
                       return batch_norm(in[0], in[1], in[2], axis, epsilon).y;
                     },
                     .inputs = {{x, low, high}, {{x[along]}}, {{x[along]}}},
                     .reference = [=](const Arrays& in) {
                       return normalised(in, along, epsilon, x[along], [&](const Index& i) { return i[along]; });
                     },
                     .may_vanish = may_vanish,
                     .relative_f32 = low > 10 ? 2e-4 : 1e-5};
    };
    return {.op = "batch_norm",
            .rows = {row("images", {3, 4, 2, 5}, 1), row("matrix", {6, 3}, 1),
                     row("sequence, channels last", {2, 5, 3}, -1),
                     row("channels first", {3, 8}, 0), row("epsilon like the variance", {6, 2}, 1, 0.5),
                     row("rank 1", {5}, 0, 0.5, true),
                     row("large mean", {4, 3, 6}, 1, 1e-5, false, 100, 104), row("one element", {1, 1}, 1, 0.5, true),
                     row("no channels", {3, 0}, 1), row("several ranges", {30, 8, 20, 16}, 1),
                     row("several ranges, channels last", {700, 110}, 1)},
            .errors = {{[] { batch_norm(zeros({2, 3}), zeros({2}), zeros({3})); },
                        {"batch_norm", "axis 1", "[2,3]", "[2]"}},
                       {[] { batch_norm(zeros({2, 3}), zeros({3}), zeros({1, 3})); }, {"batch_norm", "[2,3]", "[1,3]"}},
                       {[] { batch_norm(zeros({2}), zeros({2}), zeros({2})); }, {"batch_norm", "axis 1", "[2]"}},
                       {[] { batch_norm(zeros({0, 3}), zeros({3}), zeros({3})); }, {"batch_norm", "[0,3]", "statistics"}},
                       {[] { batch_norm(zeros({2, 3}), zeros({3}), zeros({3}), zeros({2}), zeros({3})); },
                        {"batch_norm", "axis 1", "[2,3]", "[2]"}},
                       {[] { batch_norm(zeros({2, 3}), zeros({3}), zeros({3}), Tensor(), zeros({3})); },
                        {"batch_norm", "no value"}},
                       {[] { batch_norm(zeros({2, 3}), zeros({3}), zeros({3}), zeros({3}).to(DType::f32), zeros({3})); },
                        {"batch_norm", "f64[2,3]", "f32[3]"}}}};
  }
};

}  // namespace tapir

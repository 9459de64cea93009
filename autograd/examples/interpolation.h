// Values between the elements along an axis.
#pragma once
#include <algorithm>

#include "autograd/examples/example.h"
#include "autograd/ops/interpolation.h"

namespace tapir {

// The weight of x_i in y_o when n elements become m.
inline double line_weight(int64_t n, int64_t m, bool align_corners, int64_t o, int64_t i) {
  const auto from = static_cast<double>(n), to = static_cast<double>(m), index = static_cast<double>(o);
  const double corner = m > 1 ? index * (from - 1) / (to - 1) : 0, cell = (index + 0.5) * from / to - 0.5;
  const double within = std::clamp(align_corners ? corner : cell, 0.0, from - 1);
  return std::max(0.0, 1 - std::fabs(within - static_cast<double>(i)));
}

// y_o = Σ_i w_oi x_i along an axis; the adjoint: y_i = Σ_o w_oi x_o.
inline Array on_lines(const Array& x, int axis, int64_t size, bool align_corners, bool adjoint = false) {
  const int along = axis < 0 ? axis + x.shape.rank() : axis;
  const int64_t extent = x.shape[along];
  return build(x.shape.with(along, size), [&](Index i) {
    const int64_t to = i[along];
    double total = 0;
    for (int64_t from = 0; from < extent; ++from) {
      const double weight = adjoint ? line_weight(size, extent, align_corners, from, to)
                                    : line_weight(extent, size, align_corners, to, from);
      i[along] = from;
      if (weight > 0) total += weight * at(x, i);
    }
    return total;
  });
}

using OnAxis = Tensor (*)(const Tensor& x, Axis axis, Count size, Flag align_corners);

inline std::vector<Example> line_rows(OnAxis f, bool adjoint) {
  std::vector<Example> rows;
  const auto row = [&](const std::string& label, const Shape& from, int axis, int64_t size) {
    for (const bool corners : {false, true})
      rows.push_back({.label = label + (corners ? ", corners" : ""),
                      .function = [=](const std::vector<Tensor>& x) { return f(x[0], axis, size, corners); },
                      .inputs = {{from}},
                      .reference = [=](const Arrays& in) { return on_lines(in[0], axis, size, corners, adjoint); }});
  };
  row("last axis, more", {3, 4}, -1, 9);
  row("last axis, fewer", {3, 9}, -1, 4);
  row("middle axis, a few more", {2, 7, 3}, 1, 8);
  row("middle axis, far fewer", {2, 13, 3}, 1, 3);
  row("first axis, twice as many", {5, 2}, 0, 10);
  row("as many", {3, 5}, 1, 5);
  row("two from two", {2, 2}, 1, 2);
  row("from one", {2, 1, 3}, 1, 4);
  row("to one", {2, 4, 3}, 1, 1);
  row("one element", {1}, 0, 1);
  row("none", {0, 4}, 1, 3);
  row("no columns", {2, 4, 0}, 1, 3);
  row("several ranges", {300, 256}, 1, 130);
  row("several ranges, many columns", {90, 800}, 0, 110);
  return rows;
}

inline std::vector<BadCall> line_errors(const std::string& name, OnAxis f) {
  return {{[=] { f(zeros({2, 3}), 2, 4, false); }, {name, "axis 2", "[2,3]"}},
          {[=] { f(zeros({2, 3}), 1, 0, false); }, {name, "from 1 to 1073741824", "from 3 to 0 elements", "axis 1", "[2,3]"}},
          {[=] { f(zeros({2, 0}), 1, 3, true); }, {name, "from 0 to 3 elements", "axis 1", "[2,0]"}}};
}

template <> struct Examples<Interpolate> {
  static OpExamples all() {
    std::vector<Example> rows = line_rows(interpolate, false);
    const auto image = [&](const std::string& label, const Shape& from, int64_t height, int64_t width, bool corners) {
      rows.push_back({.label = "bilinear, " + label,
                      .function = [=](const std::vector<Tensor>& x) { return bilinear(x[0], height, width, corners); },
                      .inputs = {{from}},
                      .reference = [=](const Arrays& in) {
                        return on_lines(on_lines(in[0], 1, height, corners), 2, width, corners);
                      }});
    };
    image("larger", {2, 3, 4, 3}, 7, 5, false);
    image("larger, corners", {2, 3, 4, 3}, 7, 5, true);
    image("smaller", {1, 6, 5, 2}, 4, 2, false);
    image("higher and narrower", {1, 3, 6, 2}, 5, 4, true);
    image("lower and wider", {1, 6, 3, 2}, 4, 5, false);
    std::vector<BadCall> errors = line_errors("interpolate", interpolate);
    errors.push_back({[] { bilinear(zeros({2, 3, 4}), 2, 2); }, {"bilinear", "(B,H,W,C)", "[2,3,4]"}});
    errors.push_back({[] { bilinear(zeros({1, 3, 4, 2}), 2, -1); }, {"bilinear", "from 4 to -1", "axis 2", "[1,3,4,2]"}});
    errors.push_back({[] { bilinear(zeros({1, 0, 4, 2}), 2, 2); }, {"bilinear", "from 0 to 2", "axis 1", "[1,0,4,2]"}});
    return {.op = "interpolate", .rows = std::move(rows), .errors = std::move(errors)};
  }
};

template <> struct Examples<InterpolateAdjoint> {
  static OpExamples all() {
    return {.op = "interpolate_adjoint",
            .rows = line_rows(interpolate_adjoint, true),
            .errors = line_errors("interpolate_adjoint", interpolate_adjoint)};
  }
};

}  // namespace tapir

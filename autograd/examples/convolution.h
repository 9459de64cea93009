// Convolutions and their adjoints, against loops over each product.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/pooling.h"

namespace tapir {

// Shapes x (B,H,W,C), w (kh,kw,C/groups,O) and g (B,H',W',O); of sequences H = kh = 1, and `down` does not slide.
struct ConvolutionExample {
  std::string label;
  Shape x, w;
  ConvolutionOptions across{}, down = across;   // along W, and along H
  bool may_vanish = false;
  double relative_f32 = 1e-5;
  Shape g{x[0], windows_on(x[1], w[0], down), windows_on(x[2], w[1], across), w[3]};

  static int64_t windows_on(int64_t size, int64_t kernel, const ConvolutionOptions& o) {
    int64_t count = 0;
    while (count * o.stride - o.padding + (kernel - 1) * o.dilation < size + o.padding) ++count;
    return count;
  }

  // Calls product(place in x, in w, in g) for every product that g has.
  template <class Product>
  void each_product(const Product& product) const {
    const int64_t inputs = w[2], outputs = w[3] / across.groups;
    build(g, [&](const Index& at) {
      for (int64_t u = 0; u < w[0]; ++u)
        for (int64_t v = 0; v < w[1]; ++v)
          for (int64_t c = 0; c < inputs; ++c) {
            const int64_t i = at[1] * down.stride - down.padding + u * down.dilation;
            const int64_t j = at[2] * across.stride - across.padding + v * across.dilation;
            if (i < 0 || i >= x[1] || j < 0 || j >= x[2]) continue;
            product(((at[0] * x[1] + i) * x[2] + j) * x[3] + at[3] / outputs * inputs + c,
                    ((u * w[1] + v) * inputs + c) * w[3] + at[3],
                    ((at[0] * g[1] + at[1]) * g[2] + at[2]) * g[3] + at[3]);
          }
      return 0.0;
    });
  }
};

inline ConvolutionExample of_sequence(const std::string& label, const Shape& x, const Shape& w, const ConvolutionOptions& o) {
  return {label, {x[0], 1, x[1], x[2]}, {1, w[0], w[1], w[2]}, o, {.groups = o.groups}};
}

// For the row of one op: its operands, its call, and where a product of the operands at a and b goes.
inline Example convolution_row(const ConvolutionExample& e, const Shape& a, const Shape& b, const Shape& result,
                               const Function& call,
                               const std::function<void(const ConvolutionExample&, const Arrays&, Array&)>& add) {
  return {.label = e.label,
          .function = call,
          .inputs = {{a}, {b}},
          .reference = [=](const Arrays& in) {
            Array sums{result, std::vector<double>(result.elements(), 0)};
            add(e, in, sums);
            return sums;
          },
          .may_vanish = e.may_vanish,
          .nan_elsewhere = e.w[0] * e.w[1] > 1,   // it meets the zeros around images, or around g; boundary_ops.h
          .relative_f32 = e.relative_f32};
}

inline void add_result(const ConvolutionExample& e, const Arrays& in, Array& g) {
  e.each_product([&](int64_t xi, int64_t wi, int64_t gi) { g.values[gi] += in[0].values[xi] * in[1].values[wi]; });
}
inline void add_image(const ConvolutionExample& e, const Arrays& in, Array& x) {
  e.each_product([&](int64_t xi, int64_t wi, int64_t gi) { x.values[xi] += in[0].values[gi] * in[1].values[wi]; });
}
inline void add_weight(const ConvolutionExample& e, const Arrays& in, Array& w) {
  e.each_product([&](int64_t xi, int64_t wi, int64_t gi) { w.values[wi] += in[0].values[xi] * in[1].values[gi]; });
}

inline Shape of_line(const Shape& x) { return {x[0], x[2], x[3]}; }          // without the axis H
inline Shape weight_of_line(const Shape& w) { return {w[1], w[2], w[3]}; }   // without kh

// Images whose rows and columns are of the stride alike: H and W are the least that give H' and W', or `added` more.
struct AddedExample {
  ConvolutionExample of;
  int64_t added;
};

inline std::vector<AddedExample> convolution_examples() {
  const ConvolutionOptions padded{.padding = 1};
  return {{{"small", {1, 2, 3, 1}, {2, 2, 1, 2}}, 0},
          {{"3 × 3", {2, 4, 5, 3}, {3, 3, 3, 4}, padded}, 0},
          {{"no padding", {2, 4, 3, 2}, {2, 3, 2, 3}}, 0},
          {{"1 × 1", {2, 3, 2, 3}, {1, 1, 3, 5}}, 0},
          {{"stride 2", {1, 6, 4, 2}, {3, 3, 2, 2}, {.stride = 2, .padding = 1}}, 1},
          {{"stride 2, 1 × 1", {1, 5, 3, 2}, {1, 1, 2, 2}, {.stride = 2}}, 0},
          {{"stride 3", {1, 10, 8, 1}, {4, 2, 1, 2}, {.stride = 3, .padding = 1}}, 2},
          {{"dilation", {1, 6, 7, 2}, {3, 2, 2, 2}, {.padding = 2, .dilation = 2}}, 0},
          {{"stride and dilation, no common factor", {1, 7, 9, 1}, {3, 3, 1, 2},
            {.stride = 2, .padding = 3, .dilation = 3}}, 0},
          {{"stride and dilation, a common factor", {1, 9, 13, 1}, {3, 3, 1, 2},
            {.stride = 4, .padding = 2, .dilation = 2}}, 0},
          {{"padding all around", {1, 2, 1, 2}, {3, 3, 2, 2}, {.padding = 2}}, 0},
          {{"groups", {2, 4, 4, 4}, {3, 2, 2, 6}, {.padding = 1, .groups = 2}}, 0},
          {{"depthwise", {2, 4, 5, 3}, {3, 3, 1, 3}, {.padding = 1, .groups = 3}}, 0},
          {{"depthwise, two outputs of each", {1, 5, 4, 3}, {2, 3, 1, 6}, {.stride = 2, .groups = 3}}, 1},
          {{"depthwise, dilation", {1, 6, 5, 2}, {3, 2, 1, 2}, {.padding = 1, .dilation = 2, .groups = 2}}, 0},
          {{"one element", {1, 1, 1, 1}, {1, 1, 1, 1}}, 0},
          {{"none", {0, 3, 3, 2}, {2, 2, 2, 3}, {}, {}, true}, 0},
          {{"panels of outputs, tiles of channels", {1, 3, 2, 140}, {2, 2, 140, 35}}, 0},
          {{"panels of groups", {1, 3, 3, 36}, {2, 2, 18, 80}, {.padding = 1, .groups = 2}}, 0},
          {{"wide", {1, 2, 140, 2}, {1, 3, 2, 17}}, 0},
          // A weight's gradient has 49,005 terms, which add up to hundreds before they cancel.
          {{"several ranges, images in turn", {5, 100, 100, 4}, {2, 2, 4, 2}, {}, {}, false, 1e-4}, 0}};
}

// average_pool2d is a convolution with equal weights.
inline Example average_row(const std::string& label, const Shape& x, int64_t rows, int64_t columns, const PatchOptions& o) {
  const ConvolutionExample e{label, x, {rows, columns, 1, x[3]}, {.stride = o.stride, .padding = o.padding, .groups = x[3]}};
  return {.label = label,
          .function = [=](const std::vector<Tensor>& in) { return average_pool2d(in[0], rows, columns, o); },
          .inputs = {{x}},
          .reference = [=](const Arrays& in) {
            Array y{e.g, std::vector<double>(e.g.elements(), 0)};
            const auto n = static_cast<double>(rows * columns);
            e.each_product([&](int64_t xi, int64_t, int64_t gi) { y.values[gi] += in[0].values[xi] / n; });
            return y;
          }};
}

template <> struct Examples<Conv2d> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const AddedExample& a : convolution_examples())
      rows.push_back(convolution_row(a.of, a.of.x, a.of.w, a.of.g, [o = a.of.across](const std::vector<Tensor>& in) {
        return conv2d(in[0], in[1], o);
      }, add_result));
    for (const ConvolutionExample& e :
         {of_sequence("sequence", {2, 7, 3}, {3, 3, 4}, {.padding = 1}),
          of_sequence("sequence, groups", {2, 7, 4}, {2, 2, 6}, {.stride = 2, .dilation = 2, .groups = 2})})
      rows.push_back(convolution_row(e, of_line(e.x), weight_of_line(e.w), of_line(e.g),
                                     [o = e.across](const std::vector<Tensor>& in) {
        return conv1d(in[0], in[1], o);
      }, add_result));
    rows.push_back(average_row("average pooling", {2, 4, 5, 3}, 2, 2, {.stride = 2}));
    rows.push_back(average_row("average pooling, padding", {1, 5, 4, 2}, 3, 2, {.stride = 2, .padding = 1}));
    rows.push_back(average_row("average pooling of one channel", {2, 4, 4, 1}, 3, 3, {}));
    const Tensor x = zeros({2, 5, 4, 6});
    return {.op = "conv2d",
            .rows = std::move(rows),
            .errors = {{[] { conv2d(zeros({5, 4, 6}), zeros({3, 3, 6, 2})); },
                        {"conv2d", "x (B,H,W,C)", "[5,4,6]", "[3,3,6,2]"}},
                       {[=] { conv2d(x, zeros({3, 3, 6})); }, {"conv2d", "weight (kh,kw,C/groups,O)", "[2,5,4,6]", "[3,3,6]"}},
                       {[=] { conv2d(x, zeros({3, 3, 5, 2})); }, {"conv2d", "[2,5,4,6]", "6 channels", "[3,3,5,2]", "for 5"}},
                       {[=] { conv2d(x, zeros({3, 3, 6, 2}), {.groups = 2}); }, {"conv2d", "6 channels", "for 6", "2 groups"}},
                       {[=] { conv2d(x, zeros({3, 3, 2, 4}), {.groups = 3}); },
                        {"conv2d", "6 channels and 4 outputs", "3 groups"}},
                       {[=] { conv2d(x, zeros({3, 3, 2, 4}), {.groups = 0}); }, {"conv2d", "0 groups"}},
                       {[=] { conv2d(x, zeros({3, 5, 6, 2})); },
                        {"conv2d", "window of 5", "does not fit on 4 places with padding 0", "[2,5,4,6]", "[3,5,6,2]"}},
                       {[=] { conv2d(x, zeros({3, 3, 6, 2}), {.dilation = 2}); },
                        {"conv2d", "window of 3 with dilation 2", "on 4"}},
                       {[=] { conv2d(x, zeros({3, 0, 6, 2})); },
                        {"conv2d", "kernel must be in [1, 2147483647], got 0", "[3,0,6,2]"}},
                       {[] { conv2d(zeros({2, 0, 4, 6}), zeros({3, 3, 6, 2}), {.padding = 2}); }, {"conv2d", "on 0 places"}},
                       {[=] { average_pool2d(x, 5, 5, {}); }, {"average_pool2d", "window of 5", "on 4 places", "[2,5,4,6]"}},
                       {[=] { average_pool2d(x, 2, 2, {.padding = 2}); },
                        {"average_pool2d", "padding must be in [0, 1], got 2"}},
                       {[] { average_pool2d(zeros({5, 4, 6}), 2, 2, {}); }, {"average_pool2d", "x (B,H,W,C)", "[5,4,6]"}},
                       {[] { conv1d(zeros({5, 6}), zeros({3, 6, 2})); }, {"conv1d", "x (B,T,C)", "[5,6]", "[3,6,2]"}},
                       {[] { conv1d(zeros({2, 5, 6}), zeros({7, 6, 2})); },
                        {"conv1d", "window of 7", "on 5 places", "[2,5,6]"}},
                       {[] { conv1d(zeros({2, 5, 6}), zeros({3, 4, 2})); }, {"conv1d", "[2,5,6]", "6 channels", "for 4"}}}};
  }
};

template <> struct Examples<ConvTranspose2d> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const AddedExample& a : convolution_examples())
      rows.push_back(convolution_row(a.of, a.of.g, a.of.w, a.of.x,
                                     [o = a.of.across, added = a.added](const std::vector<Tensor>& in) {
        return conv_transpose2d(in[0], in[1], o, added);
      }, add_image));
    for (const AddedExample& a :
         {AddedExample{of_sequence("sequence", {2, 7, 3}, {3, 3, 4}, {.padding = 1}), 0},
          AddedExample{of_sequence("sequence, groups", {2, 8, 4}, {2, 2, 6}, {.stride = 2, .dilation = 2, .groups = 2}), 1}})
      rows.push_back(convolution_row(a.of, of_line(a.of.g), weight_of_line(a.of.w), of_line(a.of.x),
                                     [o = a.of.across, added = a.added](const std::vector<Tensor>& in) {
        return conv_transpose1d(in[0], in[1], o, added);
      }, add_image));
    const Tensor g = zeros({2, 5, 4, 6}), w = zeros({3, 3, 2, 6});
    return {.op = "conv_transpose2d",
            .rows = std::move(rows),
            .errors = {{[=] { conv_transpose2d(zeros({5, 4, 6}), w); },
                        {"conv_transpose2d", "g (B,H',W',O)", "[5,4,6]", "[3,3,2,6]"}},
                       {[=] { conv_transpose2d(g, zeros({3, 3, 2, 5})); },
                        {"conv_transpose2d", "[2,5,4,6]", "6 channels", "[3,3,2,5]", "for 5"}},
                       {[=] { conv_transpose2d(g, w, {.groups = 4}); }, {"conv_transpose2d", "6 outputs", "4 groups"}},
                       {[=] { conv_transpose2d(g, w, {}, 1); }, {"conv_transpose2d", "added must be in [0, 0], got 1"}},
                       {[=] { conv_transpose2d(g, w, {.stride = 2}, -1); },
                        {"conv_transpose2d", "added must be in [0, 1], got -1"}},
                       {[=] { conv_transpose2d(zeros({2, 0, 4, 6}), w); },
                        {"conv_transpose2d", "g must have 1 to", "[2,0,4,6]"}},
                       {[=] { conv_transpose2d(zeros({2, 1, 4, 6}), w, {.padding = 2}); },
                        {"conv_transpose2d", "padding 2 on both sides leaves -1", "[2,1,4,6]"}},
                       {[] { conv_transpose1d(zeros({5, 6}), zeros({3, 2, 6})); }, {"conv_transpose1d", "g (B,T',O)", "[5,6]"}},
                       {[] { conv_transpose1d(zeros({2, 5, 6}), zeros({3, 2, 5})); },
                        {"conv_transpose1d", "6 channels", "for 5"}}}};
  }
};

template <> struct Examples<Conv2dWeight> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const AddedExample& a : convolution_examples())
      rows.push_back(convolution_row(a.of, a.of.x, a.of.g, a.of.w, [e = a.of](const std::vector<Tensor>& in) {
        return conv2d_weight(in[0], in[1], e.w[0], e.w[1], e.across);
      }, add_weight));
    const Tensor x = zeros({2, 5, 4, 6});
    return {.op = "conv2d_weight",
            .rows = std::move(rows),
            .errors = {{[=] { conv2d_weight(x, zeros({2, 3, 2}), 3, 3); },
                        {"conv2d_weight", "g (B,H',W',O)", "[2,5,4,6]", "[2,3,2]"}},
                       {[=] { conv2d_weight(x, zeros({2, 3, 3, 4}), 3, 3); },
                        {"conv2d_weight", "[2,5,4,6] makes [2,3,2] windows of [3,3]", "[2,3,3,4]"}},
                       {[=] { conv2d_weight(x, zeros({2, 3, 2, 4}), 3, 3, {.groups = 3}); },
                        {"conv2d_weight", "4 outputs", "3 groups"}},
                       {[=] { conv2d_weight(x, zeros({2, 3, 2, 4}), 3, 5); },
                        {"conv2d_weight", "window of 5", "on 4 places"}}}};
  }
};

}  // namespace tapir

// Matrix products, against three loops.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace tapir {

// y_…mn = Σ_k a_…mk b_…kn; an operand is read with its last two axes exchanged where asked.
inline Array product(const Arrays& in, bool transpose_a, bool transpose_b) {
  const auto rows = [](const Array& x, bool turned) { return x.shape[turned ? -1 : -2]; };
  const auto columns = [](const Array& x, bool turned) { return x.shape[turned ? -2 : -1]; };
  const auto batch = [](const Array& x) { return Array{x.shape.with(-1, 1).with(-2, 1), {}}; };
  const Shape shape = common_shape({batch(in[0]), batch(in[1])})
                          .with(-2, rows(in[0], transpose_a))
                          .with(-1, columns(in[1], transpose_b));
  return build(shape, [&](const Index& index) {
    Index a = index, b = index;
    const size_t m = index.size() - 2, n = index.size() - 1;
    if (transpose_a) a[n] = index[m];
    if (transpose_b) b[m] = index[n];
    double total = 0;
    for (int64_t k = 0; k < columns(in[0], transpose_a); ++k) {
      a[transpose_a ? m : n] = k;
      b[transpose_b ? n : m] = k;
      total += at(in[0], a) * at(in[1], b);
    }
    return total;
  });
}

inline Example product_row(const std::string& label, const Shape& a, const Shape& b, bool transpose_a = false,
                           bool transpose_b = false, bool may_vanish = false, double relative_f32 = 1e-5) {
  return {.label = label,
          .function = [=](const std::vector<Tensor>& x) {
            return matmul(transpose_a ? transpose(x[0]) : x[0], transpose_b ? transpose(x[1]) : x[1]);
          },
          .inputs = {{a}, {b}},
          .reference = [=](const Arrays& in) { return product(in, transpose_a, transpose_b); },
          .may_vanish = may_vanish,
          .relative_f32 = relative_f32};
}

template <> struct Examples<Matmul> {
  static OpExamples all() {
    const Example expanded{.label = "repeated operand",
                           .function = [](const std::vector<Tensor>& x) { return matmul(expand(x[0], {3, 2, 4}), x[1]); },
                           .inputs = {{{2, 4}}, {{3, 4, 5}}},
                           .reference = [](const Arrays& in) { return product(in, false, false); }};
    const Example heads{.label = "heads cut from one axis",   // strides that do not merge
                        .function = [](const std::vector<Tensor>& x) {
                          const auto split = [](const Tensor& t) { return transpose(reshape(t, {2, 5, 3, 4}), 1, 2); };
                          return matmul(split(x[0]), transpose(split(x[1])));
                        },
                        .inputs = {{{2, 5, 12}}, {{2, 5, 12}}},
                        .reference = [](const Arrays& in) {
                          return build({2, 3, 5, 5}, [&](const Index& i) {
                            double total = 0;
                            for (int64_t k = 0; k < 4; ++k)
                              total += at(in[0], {i[0], i[2], 4 * i[1] + k}) * at(in[1], {i[0], i[3], 4 * i[1] + k});
                            return total;
                          });
                        }};
    const Example without_bias{.label = "linear without bias",
                               .function = [](const std::vector<Tensor>& x) { return linear(x[0], x[1]); },
                               .inputs = {{{2, 3, 4}}, {{5, 4}}},
                               .reference = [](const Arrays& in) { return product(in, false, true); }};
    const Example of_a_vector{.label = "linear of a vector, without bias",
                              .function = [](const std::vector<Tensor>& x) { return linear(x[0], x[1]); },
                              .inputs = {{{4}}, {{5, 4}}},
                              .reference = [](const Arrays& in) {
                                return Array{{5}, product({{{1, 4}, in[0].values}, in[1]}, false, true).values};
                              }};
    return {.op = "matmul",
            .rows = {product_row("matrices", {2, 3}, {3, 4}),
                     product_row("first transposed", {3, 2}, {3, 4}, true, false),
                     product_row("second transposed", {2, 3}, {4, 3}, false, true),
                     product_row("both transposed", {3, 2}, {4, 3}, true, true),
                     product_row("one element", {1, 1}, {1, 1}),
                     product_row("row and column", {1, 5}, {5, 1}),
                     product_row("column and row", {5, 1}, {1, 5}),
                     product_row("batch", {2, 3, 4}, {2, 4, 5}),
                     product_row("two batch axes", {2, 3, 4, 5}, {2, 3, 5, 2}),
                     product_row("two batch axes, second transposed", {2, 3, 4, 5}, {2, 3, 2, 5}, false, true),
                     product_row("batch axes broadcast", {2, 1, 3, 4}, {5, 4, 2}),
                     product_row("batch axes broadcast crosswise", {2, 1, 3, 4}, {1, 3, 4, 2}),
                     product_row("one second matrix", {2, 3, 4, 5}, {5, 6}),
                     product_row("one first matrix", {3, 4}, {2, 4, 5}),
                     product_row("one first matrix, transposed", {4, 3}, {2, 4, 5}, true, false),
                     expanded,
                     heads,
                     without_bias,
                     of_a_vector,
                     product_row("empty sums", {2, 0}, {0, 3}, false, false, true),
                     product_row("empty sums, batch", {2, 3, 0}, {0, 3}, false, false, true),
                     product_row("no rows", {0, 3}, {3, 2}),
                     product_row("no columns", {2, 3, 3}, {3, 0}),
                     product_row("no batch", {0, 2, 3}, {0, 3, 2}),
                     product_row("no batch, one matrix", {0, 2, 3}, {3, 4}),
                     product_row("several tiles", {300, 256}, {256, 270}, false, false, false, 4e-5),
                     product_row("several tiles, batch", {3, 150, 160}, {3, 140, 160}, false, true, false, 4e-5)},
            .errors = {{[] { matmul(zeros({2, 3}), zeros({4, 5})); }, {"matmul", "inner sizes", "[2,3]", "[4,5]"}},
                       {[] { matmul(zeros({2, 3}), zeros({5, 3})); }, {"matmul", "hint: transpose the second"}},
                       {[] { matmul(zeros({3}), zeros({3, 2})); }, {"matmul", "two axes", "[3]", "[3,2]"}},
                       {[] { matmul(zeros({2, 2, 3}), zeros({3, 3, 4})); },
                        {"matmul", "batch axes do not broadcast", "[2,2,3]", "[3,3,4]"}}},
            .strided_bits = false};
  }
};

template <> struct Examples<Linear> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& x, int64_t out, bool may_vanish = false,
                        double relative_f32 = 1e-5) {
      return Example{.label = label,
                     .function = [](const std::vector<Tensor>& in) { return linear(in[0], in[1], in[2]); },
                     .inputs = {{x}, {{out, x[-1]}}, {{out}}},
                     .reference = [](const Arrays& in) {
                       const bool vector = in[0].shape.rank() == 1;
                       Array y = product({vector ? Array{{1, in[0].shape[0]}, in[0].values} : in[0], in[1]}, false, true);
                       if (vector) y.shape = in[2].shape;
                       for (size_t i = 0; i < y.values.size(); ++i) y.values[i] += in[2].values[i % in[2].values.size()];
                       return y;
                     },
                     .may_vanish = may_vanish,
                     .relative_f32 = relative_f32};
    };
    return {.op = "linear",
            .rows = {row("matrix", {4, 3}, 2), row("sequence", {2, 5, 3}, 4), row("four axes", {2, 3, 4, 5}, 6),
                     row("one element", {1, 1}, 1), row("one row", {1, 7}, 3), row("a vector", {7}, 3),
                     row("no rows", {0, 3}, 2, true),
                     row("no outputs", {2, 2, 3}, 0), row("no inputs", {2, 2, 0}, 3, true),
                     row("several tiles", {3, 100, 256}, 270, false, 4e-5)},
            .errors = {{[] { linear(zeros({2, 3}), zeros({4, 5}), zeros({4})); }, {"linear: needs x (…,I)", "[2,3]", "[4,5]"}},
                       {[] { linear(zeros({2, 3}), zeros({4, 3}), zeros({3})); }, {"linear", "bias", "[4,3]", "[3]"}},
                       {[] { linear(zeros({}), zeros({4, 3}), zeros({4})); }, {"linear", "[], [4,3], [4]"}},
                       {[] { linear(zeros({2, 3}), zeros({4, 5})); },
                        {"linear: needs x (…,I), weight (O,I), got [2,3], [4,5]"}},
                       {[] { linear(zeros({3}), zeros({3})); }, {"linear", "[3], [3]"}}},
            .strided_bits = false};
  }
};

}  // namespace tapir

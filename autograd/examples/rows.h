// Rows by index, layer normalisation, dropout, cross-entropy.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/layer_norm.h"

namespace tapir {

// Indices that repeat and leave some rows out.
inline std::vector<int32_t> scattered(int64_t count, int64_t size) {
  std::vector<int32_t> index;
  for (int64_t i = 0; i < count; ++i) index.push_back(static_cast<int32_t>(i * i * 31 % 1009 % size));
  return index;
}

inline Shape with_last(Shape shape, int64_t extent) {
  shape.push_back(extent);
  return shape;
}

template <> struct Examples<Embedding> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& table, const Shape& shape, bool may_vanish = false) {
      const std::vector<int32_t> index = scattered(shape.elements(), std::max<int64_t>(1, table[0]));
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) { return embedding(x[0], i32(index, shape)); },
                     .inputs = {{table}},
                     .reference = [=](const Arrays& in) {
                       Array y{with_last(shape, table[1]), {}};
                       for (const int32_t i : index)
                         for (int64_t j = 0; j < table[1]; ++j) y.values.push_back(at(in[0], {i, j}));
                       return y;
                     },
                     .may_vanish = may_vanish};
    };
    return {.op = "embedding",
            .rows = {row("sequence", {5, 3}, {7}), row("batch of sequences", {6, 4}, {2, 5}), row("one index", {4, 3}, {}),
                     row("one element", {1, 1}, {1}), row("no indices", {4, 3}, {0}, true), row("no columns", {4, 0}, {3}),
                     row("empty table", {0, 3}, {0}), row("several ranges", {300, 256}, {400})},
            .errors = {{[] { embedding(zeros({3}), i32({0}, {1})); }, {"embedding", "(V,C)", "[3]"}},
                       {[] { embedding(zeros({3, 2}), i32({0, 3}, {2})); },
                        {"embedding", "index 3", "position 1", "0 … 2"}},
                       {[] { embedding(zeros({3, 2}), i32({-1}, {1})); }, {"embedding", "index -1", "position 0"}},
                       {[] { embedding(zeros({3, 2}), u8({1}, {1})); }, {"embedding", "i32", "u8"}}}};
  }
};

template <> struct Examples<ScatterRows> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& shape, int64_t columns, int64_t size) {
      const std::vector<int32_t> index = scattered(shape.elements(), std::max<int64_t>(1, size));
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) { return scatter_rows(x[0], i32(index, shape), size); },
                     .inputs = {{with_last(shape, columns)}},
                     .reference = [=](const Arrays& in) {
                       Array y{{size, columns}, std::vector<double>(size * columns, 0)};
                       for (size_t n = 0; n < index.size(); ++n)
                         for (int64_t j = 0; j < columns; ++j)
                           y.values[index[n] * columns + j] += in[0].values[n * columns + j];
                       return y;
                     }};
    };
    return {.op = "scatter_rows",
            .rows = {row("sequence", {7}, 3, 5), row("batch of sequences", {2, 5}, 4, 6), row("one index", {}, 3, 4),
                     row("one element", {1}, 1, 1), row("no indices", {0}, 3, 4), row("no columns", {3}, 0, 4),
                     row("several ranges", {400}, 256, 300)},
            .errors = {{[] { scatter_rows(zeros({2, 3}), i32({0}, {1}), 4); }, {"scatter_rows", "[2,3]", "[1]"}},
                       {[] { scatter_rows(zeros({3}), i32({0}, {1}), 4); }, {"scatter_rows", "[3]", "[1]"}},
                       {[] { scatter_rows(zeros({1, 3}), i32({4}, {1}), 4); }, {"scatter_rows", "index 4", "0 … 3"}},
                       {[] { scatter_rows(zeros({1, 3}), u8({0}, {1}), 4); }, {"scatter_rows", "i32", "u8"}}}};
  }
};

template <> struct Examples<LayerNorm> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& x, double epsilon, bool may_vanish = false, double low = -2,
                        double high = 2) {
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2], epsilon); },
                     .inputs = {{x, low, high}, {{x[-1]}}, {{x[-1]}}},
                     .reference = [=](const Arrays& in) {
                       return by_rows(in[0], in[0].shape, [&](std::vector<double> row) {
                         const double n = static_cast<double>(row.size());
                         double mean = 0, variance = 0;
                         for (const double value : row) mean += value / n;
                         for (const double value : row) variance += (value - mean) * (value - mean) / n;
                         for (size_t j = 0; j < row.size(); ++j)
                           row[j] = in[1].values[j] * (row[j] - mean) / std::sqrt(variance + epsilon) + in[2].values[j];
                         return row;
                       });
                     },
                     .may_vanish = may_vanish,
                     .relative_f32 = low > 10 ? 2e-4 : 1e-5};
    };
    return {.op = "layer_norm",
            .rows = {row("matrix", {4, 7}, 1e-5), row("one row", {6}, 1e-5), row("sequence", {2, 3, 40}, 1e-5),
                     row("large epsilon", {3, 5}, 0.5), row("large mean", {3, 8}, 1e-5, false, 100, 104),
                     row("one element", {1, 1}, 0.5, true), row("no rows", {0, 4}, 1e-5, true),
                     row("several ranges", {300, 256}, 1e-5)},
            .errors = {{[] { layer_norm(zeros({2, 3}), zeros({2}), zeros({3})); }, {"layer_norm", "[2,3]", "[2]", "[3]"}},
                       {[] { layer_norm(zeros({2, 3}), zeros({3}), zeros({1, 3})); }, {"layer_norm", "[2,3]", "[1,3]"}},
                       {[] { layer_norm(zeros({}), zeros({1}), zeros({1})); }, {"layer_norm", "[]"}},
                       {[] { layer_norm(zeros({2, 0}), zeros({0}), zeros({0})); }, {"layer_norm", "[2,0]"}}}};
  }
};

// Philox4x32-10 as its authors write it: two 32 × 32 → 64 bit products, ten rounds, the key bumped in between.
inline std::vector<uint32_t> philox_words(std::vector<uint32_t> c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {uint32_t(p1 >> 32) ^ c[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ k1, uint32_t(p0)};
  }
  return c;
}

template <> struct Examples<Dropout> {
  static OpExamples all() {
    const RandomKey key{.seed = 0x123456789ABCDEFull, .step = 17, .site = 0xDEADBEEF};
    const auto row = [=](const std::string& label, const Shape& shape, double p) {
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) { return dropout(x[0], p, key); },
                     .inputs = {{shape}},
                     .reference = [=](const Arrays& in) {
                       Array y = in[0];
                       for (uint64_t i = 0; i < y.values.size(); ++i) {
                         const uint32_t word = philox_words({uint32_t(i / 4), uint32_t(i / 4 >> 32), key.site, key.step},
                                                            uint32_t(key.seed), uint32_t(key.seed >> 32))[i % 4];
                         y.values[i] = (word / 512 + 0.5) / 8388608 < p ? 0 : y.values[i] / (1 - p);
                       }
                       return y;
                     },
                     .may_vanish = shape.elements() == 1};
    };
    return {.op = "dropout",
            .rows = {row("matrix", {5, 7}, 0.5), row("rank 0", {}, 0.1), row("one element", {1}, 0.25),
                     row("empty", {3, 0}, 0.5), row("several ranges", {300, 257}, 0.1)},
            .errors = {{[=] { dropout(zeros({2}), 1, key); }, {"dropout", "[0, 1)", "1"}},
                       {[=] { dropout(zeros({2}), -0.5, key); }, {"dropout", "-0.5"}},
                       {[=] { dropout(zeros({2}), std::nan(""), key); }, {"dropout", "nan"}}}};
  }
};

template <> struct Examples<CrossEntropy> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& shape, int64_t classes, const std::vector<int32_t>& targets,
                        bool may_vanish = false, double low = -2, double high = 2,
                        const CrossEntropyOptions& options = {}) {
      return Example{.label = label,
                     .function =
                         [=](const std::vector<Tensor>& x) { return cross_entropy(x[0], i32(targets, shape), options); },
                     .inputs = {{with_last(shape, classes), low, high}},
                     .reference = [=](const Arrays& in) {
                       double loss = 0;
                       for (size_t n = 0; n < targets.size(); ++n) {
                         double total = 0;
                         for (int64_t v = 0; v < classes; ++v) total += std::exp(in[0].values[n * classes + v] - low);
                         if (targets[n] == options.ignored) continue;
                         for (int64_t v = 0; v < classes; ++v) {
                           const double share = options.label_smoothing / static_cast<double>(classes);
                           const double wanted = v == targets[n] ? 1 - options.label_smoothing + share : share;
                           loss += wanted * (std::log(total) - (in[0].values[n * classes + v] - low));
                         }
                       }
                       return Array{{}, {loss}};
                     },
                     .may_vanish = may_vanish};
    };
    std::vector<int32_t> many = scattered(400, 257);
    for (int32_t& target : many) --target;   // some are −1
    return {.op = "cross_entropy",
            .rows = {row("sequence", {4}, 5, {0, 4, 2, 2}), row("batch of sequences", {2, 3}, 4, {3, 2, 1, 0, 1, 2}),
                     row("ignored targets", {2, 3}, 4, {3, -1, 1, -1, -1, 2}), row("one row", {}, 6, {5}),
                     row("large numbers", {3}, 5, {4, 0, 2}, false, 1000, 1004),
                     row("all ignored", {3}, 4, {-1, -1, -1}, true), row("one element", {1}, 1, {0}, true),
                     row("no rows", {0}, 3, {}, true), row("several ranges", {400}, 256, many),
                     row("smoothing", {2, 3}, 4, {3, -1, 1, 0, -1, 2}, false, -2, 2, {.label_smoothing = 0.1}),
                     row("nothing but smoothing", {4}, 5, {0, 4, 2, 2}, false, -2, 2, {.label_smoothing = 1}),
                     row("a class is ignored", {5}, 4, {0, 3, 0, 2, 1}, false, -2, 2, {.ignored = 0}),
                     row("ignored -100 and smoothing, large numbers", {3}, 5, {4, -100, 2}, false, 1000, 1004,
                         {.ignored = -100, .label_smoothing = 0.3}),
                     row("several ranges, smoothing", {400}, 256, many, false, -2, 2, {.label_smoothing = 0.2}),
                     row("targets that fill a block of memory", {16}, 3, scattered(16, 3))},
            .errors = {{[] { cross_entropy(zeros({2, 3}), i32({0, 1, 2}, {3})); }, {"cross_entropy", "[2,3]", "i32[3]"}},
                       {[] { cross_entropy(zeros({2, 3, 4}), i32({0, 1, 2, 0, 1, 2}, {3, 2})); }, {"[2,3,4]", "i32[3,2]"}},
                       {[] { cross_entropy(zeros({2, 3}), u8({0, 1}, {2})); }, {"cross_entropy", "i32", "u8[2]"}},
                       {[] { cross_entropy(zeros({}), i32({0}, {})); }, {"cross_entropy", "[]"}},
                       {[] { cross_entropy(zeros({2, 3}), i32({0, 3}, {2})); },
                        {"cross_entropy", "target 3", "position 1", "[2,3]"}},
                       {[] { cross_entropy(zeros({2, 3}), i32({-2, 0}, {2})); },
                        {"cross_entropy", "target -2", "position 0", "0 … 2", "ignored -1"}},
                       {[] { cross_entropy(zeros({1, 3}), i32({-1}, {1}), {.ignored = -100}); },
                        {"cross_entropy", "target -1", "ignored -100"}},
                       {[] { cross_entropy(zeros({1, 3}), i32({0}, {1}), {.label_smoothing = 1.5}); },
                        {"cross_entropy", "label_smoothing", "[0, 1]", "1.5"}},
                       {[] { cross_entropy(zeros({1, 3}), i32({0}, {1}), {.label_smoothing = std::nan("")}); },
                        {"cross_entropy", "label_smoothing", "nan"}}}};
  }
};

}  // namespace tapir

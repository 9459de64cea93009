// Long sums in f32: what adds up 2^17 terms is within a few roundings of the same in f64. The sweep's rows are too short to tell
// a sum in blocks from one that goes on and on, whose rounding grows with the root of its terms.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/kernels/pair_hidden.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/random.h"

using namespace tapir;

namespace {

constexpr int64_t n = 1 << 17;
// Roundings, 2^-24 of the root of the mean square: of sums in blocks; of mixed signs along rows that one team sums, n/32 terms in
// each lane; and of what is added in order: totals in time, rows that meet at an index, windows of single channels.
constexpr double in_blocks = 12, in_lanes = 64, in_order = 128;

struct LongSum {
  const char* label;
  double roundings;
  std::vector<Shape> inputs;
  Function function;
};

Tensor drawn(const Shape& shape, double low, uint32_t site) {
  Tensor x = Tensor::empty(shape, DType::f32);
  uniform_(x, low, 1, {.seed = 24, .site = site});
  return x;
}

// ‖x − y‖ / ‖y‖ in roundings
double distance(const Tensor& x, const Tensor& y) {
  const std::vector<double> a = x.detach().to(DType::f64).values<double>(), b = y.detach().values<double>();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return norm > 0 ? std::sqrt(difference / norm) * 0x1p24 : difference;
}

// Indices 0, 1, 2, 0, …
Tensor turns() {
  std::vector<int32_t> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(static_cast<int32_t>(i % 3));
  return Tensor::from(all, {n});
}

using Inputs = std::vector<Tensor>;

std::vector<LongSum> long_sums() {
  const Function layer_normed = [](const Inputs& x) { return layer_norm(x[0], x[1], x[2]); };
  const Function rms_normed = [](const Inputs& x) { return rms_norm(x[0], x[1]); };
  const Function group_normed = [](const Inputs& x) { return group_norm(x[0], 2, x[1], x[2]); };
  const auto batch_normed = [](int axis) {
    return [axis](const Inputs& x) { return batch_norm(x[0], x[1], x[2], axis).y; };
  };
  const auto convolved = [](int64_t groups) {
    return [groups](const Inputs& x) { return conv2d(x[0], x[1], {.padding = 1, .groups = groups}); };
  };
  const Tensor t = turns();
  constexpr int64_t T = 362;   // T² is 2^17
  return {
      {"sum", in_blocks, {{n}}, [](const Inputs& x) { return sum(x[0]); }},
      {"sum, rows", in_blocks, {{3, n}}, [](const Inputs& x) { return sum(x[0], 1); }},
      {"sum, columns", in_blocks, {{n, 16}}, [](const Inputs& x) { return sum(x[0], 0); }},
      {"mean, columns", in_blocks, {{n, 16}}, [](const Inputs& x) { return mean(x[0], 0); }},
      {"sum_to", in_blocks, {{n, 16}, {16}, {16}}, [](const Inputs& x) { return add(mul(x[0], x[1]), x[2]); }},
      {"var", in_blocks, {{3, n}}, [](const Inputs& x) { return var(x[0], 1); }},
      {"norm", in_blocks, {{3, n}}, [](const Inputs& x) { return norm(x[0], 2, 1); }},
      {"logsumexp", in_blocks, {{3, n}}, [](const Inputs& x) { return logsumexp(x[0]); }},
      {"softmax", in_blocks, {{3, n}}, [](const Inputs& x) { return softmax(x[0]); }},
      {"log_softmax", in_blocks, {{3, n}}, [](const Inputs& x) { return log_softmax(x[0]); }},
      {"rfft", in_blocks, {{3, n}}, [](const Inputs& x) { return rfft(x[0]); }},
      {"matmul", in_blocks, {{3, n}, {n, 3}}, [](const Inputs& x) { return matmul(x[0], x[1]); }},
      {"linear", in_blocks, {{n, 16}, {16, 16}, {16}}, [](const Inputs& x) { return linear(x[0], x[1], x[2]); }},
      {"layer_norm, many rows", in_blocks, {{n, 16}, {16}, {16}}, layer_normed},
      {"layer_norm, long rows", in_blocks, {{3, n}, {n}, {n}}, layer_normed},
      {"rms_norm, many rows", in_blocks, {{n, 16}, {16}}, rms_normed},
      {"rms_norm, long rows", in_blocks, {{3, n}, {n}}, rms_normed},
      {"group_norm, many images", in_blocks, {{n / 16, 16, 16}, {16}, {16}}, group_normed},
      {"group_norm, large ones", in_lanes, {{2, 4, n}, {4}, {4}}, group_normed},
      {"batch_norm, channels last", in_blocks, {{n, 16}, {16}, {16}}, batch_normed(-1)},
      {"batch_norm, many images", in_blocks, {{n / 16, 16, 16}, {16}, {16}}, batch_normed(1)},
      {"batch_norm, a large one", in_lanes, {{1, 3, n}, {3}, {3}}, batch_normed(1)},
      {"conv2d", in_blocks, {{128, 32, 32, 3}, {3, 3, 3, 4}}, convolved(1)},
      {"conv2d, one image", in_blocks, {{1, T, T, 3}, {3, 3, 3, 4}}, convolved(1)},
      {"conv2d, small images", in_blocks, {{n / 16, 4, 4, 3}, {3, 3, 3, 4}}, convolved(1)},
      {"conv2d, channel by channel", in_order, {{128, 32, 32, 4}, {3, 3, 1, 4}}, convolved(4)},
      {"cross_entropy", in_blocks, {{n, 16}}, [t](const Inputs& x) { return cross_entropy(x[0], t); }},
      {"squared_error", in_blocks, {{n}, {n}}, [](const Inputs& x) { return squared_error(x[0], x[1]); }},
      {"pair_hidden", in_blocks, {{1, 1, T, 4}, {1, 1, T, 4}, {1, 2, 4}},
       [](const Inputs& x) { return pair_hidden(x[0], x[1], x[2], {}); }},
      {"cumsum", in_order, {{n, 16}}, [](const Inputs& x) { return cumsum(x[0], 0); }},
      {"scatter_rows", in_order, {{n, 16}}, [t](const Inputs& x) { return scatter_rows(x[0], t, 3); }},
      {"embedding", in_order, {{3, 16}}, [t](const Inputs& x) { return embedding(x[0], t); }},
      {"index_select", in_order, {{16, 3}}, [t](const Inputs& x) { return index_select(x[0], 1, t); }},
  };
}

}  // namespace

TEST_CASE("long sums: 2^17 terms in f32 are within a few roundings of f64, values and gradients") {
  for (const LongSum& row : long_sums()) {
    CAPTURE(row.label);
    std::vector<Tensor> narrow, wide;
    for (const Shape& shape : row.inputs) {   // mostly of one sign: running sums of them grow and grow
      narrow.push_back(requires_grad(drawn(shape, -0.5, static_cast<uint32_t>(narrow.size()))));
      wide.push_back(requires_grad(narrow.back().detach().to(DType::f64)));
    }
    const Tensor y = row.function(narrow), expected = row.function(wide);
    const Tensor g = drawn(y.shape(), -1, 99);
    const std::vector<Tensor> dx = grad({y}, narrow, {g}), truth = grad({expected}, wide, {g.to(DType::f64)});
    CHECK(distance(y, expected) < row.roundings);
    for (size_t i = 0; i < dx.size(); ++i) CHECK(distance(dx[i], truth[i]) < row.roundings);
  }
}

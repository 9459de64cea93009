// The engine of tiled kernels: right sums in its blocks, the same bits on every device and at any number of threads.
#include "tensor/blocks.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "tensor/tensor.h"

using namespace tapir;

namespace {

constexpr int blocks = 5;

// C = A B, with the row sums of C behind each block's C. Every block has other numbers.
struct Products {
  const float* a;   // (blocks,m,depth)
  const float* b;   // (blocks,depth,n)
  float* c;         // (blocks,m,n + 1)
  int m, n, depth;

  template <class B> HD void operator()(const B& block, int64_t index) const {
    float* const left = static_cast<float*>(block.memory);
    float *const right = left + m * depth, *const C = right + depth * n;
    block.each(m * depth, [&](int i) { left[i] = a[index * m * depth + i]; });
    block.each(depth * n, [&](int i) { right[i] = b[index * depth * n + i]; });
    block.each(m * n, [&](int i) { C[i] = 0; });
    block.accumulate(m, n, depth, C, [&](float sum, int i, int k, int j) {
      return std::fma(left[i * depth + k], right[k * n + j], sum);
    });
    block.rows(m, [&](const auto& team, int i) {
      float* const to = c + (index * m + i) * (n + 1);
      const float sum = team.sum(n, [&](int64_t j) { return C[i * n + j]; });
      team.each(n, [&](int64_t j) { to[j] = C[i * n + j]; });
      team.each(1, [&](int64_t) { to[n] = sum; });
    });
  }
};

// The same sums by fold, in runs of the depth; column j of row i is stored at (j, i).
struct Folds {
  const float *a, *b;
  float* c;   // (blocks,n,m)
  int m, n, runs, depth;

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const float *const left = a + index * m * runs * depth, *const right = b + index * runs * depth * n;
    float* const to = c + index * n * m;
    block.template fold<float, 8>(
        m, n, runs, depth,
        [&](int run) {
          return [=, this](float sum, int i, int k, int j) {
            return std::fma(left[i * runs * depth + run * depth + k], right[(run * depth + k) * n + j], sum);
          };
        },
        [&](int i, int j, float value) { to[j * m + i] = value; });
  }
};

std::vector<float> numbers(int64_t n, float step) {
  std::vector<float> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(static_cast<float>(std::sin(step * static_cast<float>(i))));
  return all;
}

std::vector<float> products(Device device, int m, int n, int depth) {
  const Tensor a = Tensor::from(numbers(blocks * m * depth, 0.7f), {blocks, m, depth}, device);
  const Tensor b = Tensor::from(numbers(blocks * depth * n, 0.3f), {blocks, depth, n}, device);
  const Tensor c = Tensor::empty({blocks, m, n + 1}, DType::f32, device);
  const int64_t elements = int64_t{m} * depth + depth * n + m * n;
  for_each_block(device, blocks, elements * static_cast<int64_t>(sizeof(float)),
                 Products{a.data<float>(), b.data<float>(), c.data<float>(), m, n, depth});
  return c.values<float>();
}

}  // namespace

TEST_CASE("blocks: sums in the order of k, at and beside the edges of what fits in registers") {
  for (const int m : {1, 3, 4, 9, 64})
    for (const int n : {1, 5, 31, 32, 33, 64, 100})
      for (const int depth : {0, 1, 17}) {
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(depth);
        const std::vector<float> a = numbers(blocks * m * depth, 0.7f), b = numbers(blocks * depth * n, 0.3f);
        const std::vector<float> c = products(default_device(), m, n, depth);
        bool equal = true;
        for (int block = 0; block < blocks; ++block)
          for (int i = 0; i < m; ++i) {
            double row = 0;
            for (int j = 0; j < n; ++j) {
              float sum = 0;
              for (int k = 0; k < depth; ++k)
                sum = std::fma(a[(block * m + i) * depth + k], b[(block * depth + k) * n + j], sum);
              equal = equal && c[(block * m + i) * (n + 1) + j] == sum;
              row += sum;
            }
            equal = equal && std::fabs(c[(block * m + i) * (n + 1) + n] - row) <= 1e-5 * depth;
          }
        CHECK(equal);
      }
}

TEST_CASE("blocks: sums that stay in registers, of runs in their order") {
  for (const int m : {1, 7, 8, 19})
    for (const int n : {1, 15, 16, 50})
      for (const int runs : {0, 1, 3}) {
        constexpr int depth = 5;
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(runs);
        const std::vector<float> a = numbers(blocks * m * runs * depth, 0.7f), b = numbers(blocks * runs * depth * n, 0.3f);
        const Device device = default_device();
        const Tensor left = Tensor::from(a, {blocks, m, runs * depth}, device),
                     right = Tensor::from(b, {blocks, runs * depth, n}, device);
        const Tensor c = Tensor::empty({blocks, n, m}, DType::f32, device);
        for_each_block(device, blocks, 0, Folds{left.data<float>(), right.data<float>(), c.data<float>(), m, n, runs, depth});
        std::vector<float> expected;
        for (int block = 0; block < blocks; ++block)
          for (int j = 0; j < n; ++j)
            for (int i = 0; i < m; ++i) {
              float sum = 0;
              for (int k = 0; k < runs * depth; ++k)
                sum = std::fma(a[(block * m + i) * runs * depth + k], b[(block * runs * depth + k) * n + j], sum);
              expected.push_back(sum);
            }
        CHECK(c.values<float>() == expected);
      }
}

TEST_CASE("blocks: the same bits with 1 and 3 threads, and on every device") {
  const std::vector<float> expected = products(Device::cpu, 37, 70, 50);
  const int before = threads();
  set_threads(3);
  CHECK(products(Device::cpu, 37, 70, 50) == expected);
  set_threads(before);
  if constexpr (cuda::built) CHECK(products(Device::cuda, 37, 70, 50) == expected);
}

TEST_CASE("blocks: their memory is aligned and grows") {
  for (const int64_t bytes : {1, 100, 4096, 100000}) {
    CHECK(reinterpret_cast<uintptr_t>(scratch(bytes)) % 64 == 0);
    std::memset(scratch(bytes), 1, static_cast<size_t>(bytes));
  }
}

// The engine of tiled kernels: work cut into blocks that keep tiles of their data close, in the cache of a core or in the
// shared memory of a GPU's multiprocessor.
//
//   for_each_block      kernel(block, index), index < blocks, each with `bytes` of memory of its own
//
// A block has the verbs each, rows, accumulate and fold. What one has written the next may read. Both devices do the same
// operations in the same order, so they agree in every bit.
#pragma once
#include "tensor/parallel.h"

namespace tapir {

// Memory of the calling thread, 64-byte aligned, contents undefined, valid until its next call.
void* scratch(int64_t bytes);

inline constexpr int64_t largest_block_memory = 96 << 10;   // bytes: two blocks of a GPU of compute capability 9.0 side by side

namespace cuda {   // blocks_cuda.h
template <class Kernel> void for_each_block(int64_t blocks, int64_t bytes, const Kernel& kernel);
}

// On the CPU one thread plays the block.
struct Block {
  void* memory;

  // body(i), i < n, independent of each other
  template <class Body>
  HD void each(int n, const Body& body) const {
#pragma omp simd
    for (int i = 0; i < n; ++i) body(i);
  }

  // body(team, i), i < n: rows, each done by a team of lanes
  template <class Body>
  HD void rows(int n, const Body& body) const {
    for (int i = 0; i < n; ++i) body(Team{}, i);
  }

  // C_ij = step(C_ij, i, k, j) for k = 0 … depth − 1 in this order. C (m,n) is dense in the block's memory. On the CPU parts of
  // `height` rows and 32 or 16 columns stay in registers, of which AVX-512 has enough for 8 rows of 32 floats.
  template <int height = 4, class T, class Step>
  HD void accumulate(int m, int n, int depth, T* C, const Step& step) const {
    const auto element = [&](int i, int j) { return C[i * n + j]; };
    const auto once = [&](int) { return step; };
    const int j = fold_wide<height, T>(m, n, One{}, depth, once, element, [&](int i, int j, T value) { C[i * n + j] = value; });
    if (j == n) return;
    for (int i = 0; i < m; ++i)
      for (int k = 0; k < depth; ++k) {
#pragma omp simd
        for (int c = j; c < n; ++c) C[i * n + c] = step(C[i * n + c], i, k, c);
      }
  }

  // store(i, j, y_ij) with y_ij = step(y_ij, i, k, j) from 0 on, for k = 0 … depth − 1 and step = steps(r), r = 0 … runs − 1,
  // in this order.
  template <class T, int height = 4, class Steps, class Store>
  HD void fold(int m, int n, int runs, int depth, const Steps& steps, const Store& store) const {
    for (int c = fold_wide<height, T>(m, n, runs, depth, steps, [](int, int) { return T(0); }, store); c < n; ++c)
      for (int i = 0; i < m; ++i) {
        T value = 0;
        for (int r = 0; r < runs; ++r) {
          const auto step = steps(r);
          for (int k = 0; k < depth; ++k) value = step(value, i, k, c);
        }
        store(i, c, value);
      }
  }

 private:
  using One = std::integral_constant<int, 1>;

  // Columns in 32 and 16 at a time; returns how many that were.
  template <int height, class T, class Runs, class Steps, class Element, class Store>
  HD static int fold_wide(int m, int n, Runs runs, int depth, const Steps& steps, const Element& element, const Store& store) {
    int j = 0;
    for (; j + 32 <= n; j += 32) fold_columns<height, 32, T>(0, j, m, runs, depth, steps, element, store);
    if (j + 16 > n) return j;
    fold_columns<height, 16, T>(0, j, m, runs, depth, steps, element, store);
    return j + 16;
  }

  // Rows i … m − 1 of columns j … j + width − 1; those that are left over are a part of less height.
  template <int height, int width, class T, class Runs, class Steps, class Element, class Store>
  HD static void fold_columns(int i, int j, int m, Runs runs, int depth, const Steps& steps, const Element& element,
                              const Store& store) {
    for (; i + height <= m; i += height) {
      if constexpr (height > 4 && std::is_same_v<Runs, One>)
        fold_high_part<height, width, T>(i, j, runs, depth, steps, element, store);
      else fold_part<height, width, T>(i, j, runs, depth, steps, element, store);
    }
    if constexpr (height > 1)
      if (i < m) fold_columns<height - 1, width, T>(i, j, m, runs, depth, steps, element, store);
  }

  // Out of line: what is inlined around it would leave g++ too few registers for the addresses of many rows.
  template <int height, int width, class T, class Runs, class Steps, class Element, class Store>
  [[gnu::noinline]] HD static void fold_high_part(int i, int j, Runs runs, int depth, const Steps& steps,
                                                  const Element& element, const Store& store) {
    fold_part<height, width, T>(i, j, runs, depth, steps, element, store);
  }

  template <int height, int width, class T, class Runs, class Steps, class Element, class Store>
  HD static void fold_part(int i, int j, Runs runs, int depth, const Steps& steps, const Element& element, const Store& store) {
    T part[height][width];
    for (int r = 0; r < height; ++r)
      for (int c = 0; c < width; ++c) part[r][c] = element(i + r, j + c);
    for (int run = 0; run < runs; ++run) {
      const auto step = steps(run);
      for (int k = 0; k < depth; ++k)
        for (int r = 0; r < height; ++r) {
#pragma omp simd
          for (int c = 0; c < width; ++c) part[r][c] = step(part[r][c], i + r, k, j + c);
        }
    }
    for (int r = 0; r < height; ++r)
#pragma omp simd
      for (int c = 0; c < width; ++c) store(i + r, j + c, part[r][c]);
  }
};

// bytes ≤ largest_block_memory
template <class Kernel>
void for_each_block(Device device, int64_t blocks, int64_t bytes, const Kernel& kernel) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::for_each_block(blocks, bytes, kernel);
  for_each_range(blocks, 1, [&](int64_t begin, int64_t end) {
    const Kernel local = kernel;
    const Block block{scratch(bytes)};
    for (int64_t i = begin; i < end; ++i) local(block, i);
  });
}

}  // namespace tapir

#if defined(__CUDACC__) || defined(TAPIR_CUDA_EMULATED)
#include "tensor/blocks_cuda.h"
#endif

// Tiled kernels on a CUDA device: a block of threads with shared memory.
#pragma once
#include "tensor/launch.h"

namespace tapir::cuda {

struct Block {
  void* memory;

  template <class Body>
  __device__ void each(int n, const Body& body) const {
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(threads_per_block)) body(i);
    __syncthreads();
  }

  template <class Body>
  __device__ void rows(int n, const Body& body) const {
    for (int i = static_cast<int>(threadIdx.x) / Warp::lanes; i < n; i += static_cast<int>(threads_per_block) / Warp::lanes)
      body(Warp{}, i);
    __syncthreads();
  }

  // `height` is the CPU's.
  template <int height = 4, class T, class Step>
  __device__ void accumulate(int m, int n, int depth, T* C, const Step& step) const {
    const auto element = [&](int i, int j) { return C[i * n + j]; };
    const auto once = [&](int) { return step; };
    fold_parts<T>(m, n, 1, depth, once, element, [&](int i, int j, T value) { C[i * n + j] = value; });
  }

  template <class T, int height = 4, class Steps, class Store>
  __device__ void fold(int m, int n, int runs, int depth, const Steps& steps, const Store& store) const {
    fold_parts<T>(m, n, runs, depth, steps, [](int, int) { return T(0); }, store);
  }

 private:
  // A thread holds side² numbers in registers, whose rows and columns lie apart, so that the threads of a warp read
  // neighbours. At the edges some are of no element: they read the last one's operands, and are not stored.
  template <class T, class Steps, class Element, class Store>
  __device__ static void fold_parts(int m, int n, int runs, int depth, const Steps& steps, const Element& element,
                                    const Store& store) {
    constexpr int side = 4;
    const int down = (m + side - 1) / side, across = (n + side - 1) / side;
    for (int part = static_cast<int>(threadIdx.x); part < down * across; part += static_cast<int>(threads_per_block)) {
      const int first_row = part / across, first_column = part % across;
      T sum[side][side];
      int row[side], column[side];
      for (int r = 0; r < side; ++r) row[r] = first_row + r * down < m ? first_row + r * down : m - 1;
      for (int c = 0; c < side; ++c) column[c] = first_column + c * across < n ? first_column + c * across : n - 1;
      const auto inside = [&](int r, int c) { return first_row + r * down < m && first_column + c * across < n; };
      for (int r = 0; r < side; ++r)
        for (int c = 0; c < side; ++c) sum[r][c] = inside(r, c) ? element(row[r], column[c]) : T(0);
      for (int run = 0; run < runs; ++run) {
        const auto step = steps(run);
        for (int k = 0; k < depth; ++k)
          for (int r = 0; r < side; ++r)
            for (int c = 0; c < side; ++c) sum[r][c] = step(sum[r][c], row[r], k, column[c]);
      }
      for (int r = 0; r < side; ++r)
        for (int c = 0; c < side; ++c)
          if (inside(r, c)) store(row[r], column[c], sum[r][c]);
    }
    __syncthreads();
  }
};

template <class Kernel>
__global__ void each_block(int64_t blocks, Kernel kernel) {
  for (int64_t i = blockIdx.x; i < blocks; i += gridDim.x) kernel(Block{shared_memory()}, i);
}

template <class Kernel>
void for_each_block(int64_t blocks, int64_t bytes, const Kernel& kernel) {
  launch_with(bytes, each_block<Kernel>, dim3(static_cast<unsigned>(std::min<int64_t>(blocks, 1 << 20))),
              dim3(threads_per_block), blocks, kernel);
}

}  // namespace tapir::cuda

// Launches of kernels, for files that are compiled as CUDA.
#pragma once
#include <cuda_runtime.h>

#include "tensor/dry_run.h"

namespace tapir::cuda {

// Throws Error that names the op that runs, the module path, the call and what CUDA says of it.
void check(cudaError_t status, const char* call);

// The dynamic shared memory of the block that runs.
__device__ inline void* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(64) char shared_bytes[];
  return shared_bytes;
#else
  return emulator::shared_memory();
#endif
}

// Runs `kernel` with these arguments on `blocks` × `threads`, after what was launched before. Each block has `shared` bytes.
template <class... Parameters>
void launch_with(int64_t shared, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, Parameters... arguments) {
  if (DryRun::current() || blocks.x == 0) return;
  constexpr int64_t without_asking = 48 << 10;
  if (shared > without_asking)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory");
  void* pointers[] = {&arguments...};
  check(cudaLaunchKernel(kernel, blocks, threads, pointers, static_cast<size_t>(shared), nullptr), "kernel launch");
}

template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, Parameters... arguments) {
  launch_with(0, kernel, blocks, threads, arguments...);
}

}  // namespace tapir::cuda

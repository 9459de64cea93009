// Launches of kernels, for files that are compiled as CUDA.
#pragma once
#include <cuda_runtime.h>

#include "tensor/dry_run.h"

namespace tapir::cuda {

void check(cudaError_t status, const char* call);   // throws Error that names the call, the module path and what CUDA says

// Runs `kernel` with these arguments on `blocks` × `threads`, after what was launched before.
template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, Parameters... arguments) {
  if (DryRun::current() || blocks.x == 0) return;
  void* pointers[] = {&arguments...};
  check(cudaLaunchKernel(kernel, blocks, threads, pointers, 0, nullptr), "kernel launch");
}

}  // namespace tapir::cuda

#include "tensor/cuda.h"

#include "tensor/error.h"
#include "tensor/launch.h"

namespace tapir::cuda {
namespace {

std::string version(int number) { return text(number / 1000, '.', number % 1000 / 10); }

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const std::string rule = text(call, ": ", cudaGetErrorString(status));
  cudaGetLastError();   // the next call is not blamed for it
  throw Error("cuda", rule);
}

void require_device() {
  int devices = 0, driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "driver version");
  check(cudaRuntimeGetVersion(&runtime), "runtime version");
  require(driver / 1000 >= runtime / 1000, "device",
          [&] { return driver == 0 ? "cuda needs a driver, and there is none"
                                   : text("the driver is for CUDA ", version(driver), ", this build for ", version(runtime)); },
          "install a newer NVIDIA driver, or use cpu");
  require(cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0, "device", [] { return "there is no CUDA device"; },
          "use cpu");
}

void* take(int64_t bytes) {
  void* block = nullptr;
  if (cudaMalloc(&block, static_cast<size_t>(bytes)) == cudaSuccess) return block;
  cudaGetLastError();
  return nullptr;
}

void give(void* block) noexcept { cudaFree(block); }

void fill(void* block, uint8_t value, int64_t bytes) {
  check(cudaMemset(block, value, static_cast<size_t>(bytes)), "fill memory");
}

void copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "copy");
}

}  // namespace tapir::cuda

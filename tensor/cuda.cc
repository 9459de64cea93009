#include "tensor/cuda.h"

#include <algorithm>
#include <cstring>

#include "tensor/error.h"
#include "tensor/launch.h"

namespace tapir::cuda {
namespace {

std::string version(int number) { return text(number / 1000, '.', number % 1000 / 10); }

// Pinned memory that bytes pass through on their way to the device. They are put one behind the other into a half of it, from
// which the device fetches them when it comes to that; only who comes back to a half waits until its last bytes are fetched.
class Staging {
 public:
  static Staging& instance() {   // never destroyed, as the arenas
    static Staging* const only = new Staging;
    return *only;
  }

  void send(char* to, const char* from, int64_t bytes) {
    while (bytes > 0) {
      if (used_ == half) turn();
      const int64_t part = std::min(bytes, half - used_);
      char* const place = halves_[current_].memory + used_;
      std::memcpy(place, from, static_cast<size_t>(part));
      check(cudaMemcpyAsync(to, place, static_cast<size_t>(part), cudaMemcpyHostToDevice, nullptr), "copy to the device");
      used_ += part;
      to += part, from += part, bytes -= part;
    }
  }

 private:
  static constexpr int64_t half = int64_t{1} << 20;

  Staging() {
    for (Half& one : halves_) {
      void* memory = nullptr;
      check(cudaMallocHost(&memory, half), "pinned memory");
      one.memory = static_cast<char*>(memory);
      check(cudaEventCreateWithFlags(&one.fetched, cudaEventDisableTiming), "event");
    }
  }

  void turn() {
    check(cudaEventRecord(halves_[current_].fetched, nullptr), "event");
    current_ ^= 1;
    check(cudaEventSynchronize(halves_[current_].fetched), "copy to the device");
    used_ = 0;
  }

  struct Half {
    char* memory;
    cudaEvent_t fetched;   // the last bytes of it
  };
  Half halves_[2];
  int current_ = 0;
  int64_t used_ = 0;   // bytes of the current half
};

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const std::string rule = text(call, ": ", cudaGetErrorString(status));
  cudaGetLastError();   // the next call is not blamed for it, but what a kernel has broken stays
  const cudaError_t now = cudaStreamQuery(nullptr);
  const bool lost = now != cudaSuccess && now != cudaErrorNotReady;
  cudaGetLastError();
  throw Error(RunningOp::name_or("cuda"), rule,
              lost ? "the device is lost to this process, cpu is not; CUDA_LAUNCH_BLOCKING=1 tells whose kernel it was" : "");
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
  const cudaError_t status = cudaMalloc(&block, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "memory");   // what an earlier kernel broke
  return block;
}

void give(void* block) noexcept { cudaFree(block); }

void fill(void* block, uint8_t value, int64_t bytes) {
  check(cudaMemset(block, value, static_cast<size_t>(bytes)), "fill memory");
}

void send(void* to, const void* from, int64_t bytes) {
  Staging::instance().send(static_cast<char*>(to), static_cast<const char*>(from), bytes);
}

void copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "copy");
}

}  // namespace tapir::cuda

// The part of the CUDA runtime that tapir uses, executed on the host: every CUDA thread is a fiber, blocks run one after the
// other. Kernels and host code compile unchanged with an ordinary compiler.
//
// What a device would forgive or hang on is an error here: a barrier or a shuffle that not all threads reach, a shuffle
// from a lane outside of its mask, a grid or block beyond the limits, memory that is not the device's. It is found at the
// launch, which returns cudaErrorLaunchFailure; cudaGetErrorString then tells the place.
#pragma once
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

#define __global__
#define __launch_bounds__(threads, blocks)
#define __device__
#define __host__

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDefault = 4 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
constexpr unsigned cudaEventDisableTiming = 2;

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaMalloc(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaMemset(void* block, int value, size_t bytes);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
// From pinned memory to the device. It happens as late as a device may leave it: when the bytes are waited for, or needed.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMallocHost(void** block, size_t bytes);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

namespace emulator {

extern thread_local uint3 thread_index, block_index;
extern thread_local dim3 block_size, grid_size;

// Where a thread waits. Sources are named in errors.
using Place = std::source_location;

void barrier(const Place& place);                                   // of the block
unsigned lane();                                                    // of this thread in its warp
// All lanes of the mask give a value and take that of lane `from`.
uint64_t exchange(unsigned mask, uint64_t value, unsigned from, const Place& place);

void* shared_memory();   // of the running block; all bits set at its start, and nothing behind it

struct Argument {
  const void* data;
  size_t bytes;
};
cudaError_t run(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, std::initializer_list<Argument> arguments,
                const std::function<void()>& thread);

}  // namespace emulator

#define threadIdx emulator::thread_index
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t) {
  return [&]<size_t... K>(std::index_sequence<K...>) {
#if __has_builtin(__builtin_clear_padding)   // what lies between members may look like an address
    (__builtin_clear_padding(static_cast<Parameters*>(arguments[K])), ...);
#endif
    return emulator::run(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, {{arguments[K], sizeof(Parameters)}...},
                         [&] { kernel(*static_cast<Parameters*>(arguments[K])...); });
  }(std::index_sequence_for<Parameters...>{});
}

inline void __syncthreads(emulator::Place place = emulator::Place::current()) { emulator::barrier(place); }

inline void __syncwarp(unsigned mask = 0xffffffffu, emulator::Place place = emulator::Place::current()) {
  emulator::exchange(mask, 0, emulator::lane(), place);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int = 32, emulator::Place place = emulator::Place::current()) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = emulator::exchange(mask, bits, emulator::lane() ^ static_cast<unsigned>(lane_mask), place);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// Threads take turns, and none ends inside of these. Of integers alone: a sum of floats would depend on the order of threads.
template <std::integral T> T atomicExch(T* place, std::type_identity_t<T> value) { return std::exchange(*place, value); }
template <std::integral T> T atomicAdd(T* place, std::type_identity_t<T> value) { return std::exchange(*place, *place + value); }
template <std::integral T> T atomicMin(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, *place < value ? *place : value);
}
template <std::integral T> T atomicMax(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, *place < value ? value : *place);
}
template <std::integral T> T atomicCAS(T* place, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return std::exchange(*place, *place == expected ? value : *place);
}

// What tapir asks of a CUDA device, without a word of CUDA. Builds without it (TAPIR_CUDA=OFF) have no_cuda.cc, where all
// of this is an error; the loop engines' part is in parallel_cuda.h.
#pragma once
#include <cstdint>

#include "tensor/gemm.h"

namespace tapir::cuda {

#ifdef TAPIR_CUDA
inline constexpr bool built = true;
#else
inline constexpr bool built = false;
#endif

// Throws Error unless this build has CUDA, the driver is new enough for its runtime and there is a device.
void require_device();

void* take(int64_t bytes);   // null: there is none
void give(void* block) noexcept;
void fill(void* block, uint8_t value, int64_t bytes);

// From memory of the host, which may change as soon as this returns; the device has the bytes before what it is told next.
void send(void* to, const void* from, int64_t bytes);
void copy(void* to, const void* from, int64_t bytes);   // from the device, there or to the host: returns when it is done

template <class T>
void multiply(const MatrixProduct<T>& product);   // k > 0, and C is not empty

template <class T>
void real_transform(int64_t rows, int64_t n, const T* x, T* X);   // fft.h
template <class T>
void inverse_real_transform(int64_t rows, int64_t n, const T* X, T* x);

}  // namespace tapir::cuda

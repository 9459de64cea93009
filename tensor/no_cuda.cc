// CUDA in a build without it.
#include "tensor/cuda.h"
#include "tensor/error.h"

namespace tapir::cuda {

void require_device() { throw Error("device", "this build of tapir has no cuda", "use cpu, or build with -DTAPIR_CUDA=ON"); }

// Never called: no tensor can be there.
void* take(int64_t) { return nullptr; }
void give(void*) noexcept {}
void fill(void*, uint8_t, int64_t) {}
void send(void*, const void*, int64_t) {}
void copy(void*, const void*, int64_t) {}
template <class T> void multiply(const MatrixProduct<T>&) {}
template void multiply(const MatrixProduct<float>&);
template void multiply(const MatrixProduct<double>&);
template <class T> void real_transform(int64_t, int64_t, const T*, T*) {}
template void real_transform(int64_t, int64_t, const float*, float*);
template void real_transform(int64_t, int64_t, const double*, double*);
template <class T> void inverse_real_transform(int64_t, int64_t, const T*, T*) {}
template void inverse_real_transform(int64_t, int64_t, const float*, float*);
template void inverse_real_transform(int64_t, int64_t, const double*, double*);

}  // namespace tapir::cuda

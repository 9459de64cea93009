// Real Fourier transforms by cuFFT. It wants real rows to begin where a complex number could, says nothing of imaginary parts
// that have to be 0, neither of those that it writes nor of those that it reads, and overwrites what it transforms back: hence
// the kernels.
#include <cufft.h>

#include "tensor/cuda.h"
#include "tensor/dry_run.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace tapir::cuda {
namespace {

void check(cufftResult status, const char* call) {
  require(status == CUFFT_SUCCESS, RunningOp::name_or("cuda"),
          [&] { return text(call, ": cuFFT returns ", static_cast<int>(status)); });
}

// Of dense rows: `from` numbers of one become `to`, real or complex as the type says.
class Plan {
 public:
  Plan(cufftType type, int64_t rows, int64_t n, int64_t from, int64_t to) {
    int length = static_cast<int>(n), inner = static_cast<int>(from), outer = static_cast<int>(to);
    check(cufftPlanMany(&handle_, 1, &length, &inner, 1, inner, &outer, 1, outer, type, static_cast<int>(rows)),
          "plan of a Fourier transform");
  }
  ~Plan() { cufftDestroy(handle_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  void forward(float* x, float* X) const { done(cufftExecR2C(handle_, x, reinterpret_cast<cufftComplex*>(X))); }
  void forward(double* x, double* X) const { done(cufftExecD2Z(handle_, x, reinterpret_cast<cufftDoubleComplex*>(X))); }
  void inverse(float* X, float* x) const { done(cufftExecC2R(handle_, reinterpret_cast<cufftComplex*>(X), x)); }
  void inverse(double* X, double* x) const { done(cufftExecZ2D(handle_, reinterpret_cast<cufftDoubleComplex*>(X), x)); }

 private:
  static void done(cufftResult status) { check(status, "Fourier transform"); }
  cufftHandle handle_;
};

template <class T> struct CopyNumber {
  const T* from;
  T* to;
  HD void operator()(int64_t i) const { to[i] = from[i]; }
};

// Im X_0 = 0 and, for even n, Im X_{n/2} = 0
template <class T> struct ClearEnds {
  T* X;
  int64_t n;
  HD void operator()(int64_t row) const {
    T* line = X + row * (n / 2 + 1) * 2;
    line[1] = T(0);
    if (n % 2 == 0) line[n + 1] = T(0);
  }
};

// Y = X/n with 0 in these places
template <class T> struct ScaledSpectrum {
  const T* X;
  T* Y;
  int64_t n;
  HD void operator()(int64_t i) const {
    const int64_t k = i / 2 % (n / 2 + 1);
    Y[i] = i % 2 == 1 && (k == 0 || 2 * k == n) ? T(0) : X[i] / T(n);
  }
};

template <class T> constexpr bool narrow = sizeof(T) == sizeof(float);

template <class T>
void transform(int64_t rows, int64_t n, const T* x, T* X) {
  if (DryRun::current()) return;
  const Plan plan(narrow<T> ? CUFFT_R2C : CUFFT_D2Z, rows, n, n, n / 2 + 1);
  plan.forward(const_cast<T*>(x), X);   // which it only reads
  for_each(rows, ClearEnds<T>{X, n});
}

}  // namespace

template <class T>
void real_transform(int64_t rows, int64_t n, const T* x, T* X) {
  if (rows == 0) return;
  if (reinterpret_cast<uintptr_t>(x) % (2 * sizeof(T)) == 0) return transform(rows, n, x, X);
  const Storage copy(rows * n * static_cast<int64_t>(sizeof(T)), Device::cuda);
  T* const aligned = static_cast<T*>(copy.data);
  for_each(rows * n, CopyNumber<T>{x, aligned});
  transform(rows, n, aligned, X);
}

template <class T>
void inverse_real_transform(int64_t rows, int64_t n, const T* X, T* x) {
  if (rows == 0) return;
  const int64_t count = rows * (n / 2 + 1) * 2;
  const Storage scaled(count * static_cast<int64_t>(sizeof(T)), Device::cuda);
  T* const Y = static_cast<T*>(scaled.data);
  for_each(count, ScaledSpectrum<T>{X, Y, n});
  if (DryRun::current()) return;
  const Plan plan(narrow<T> ? CUFFT_C2R : CUFFT_Z2D, rows, n, n / 2 + 1, n);
  plan.inverse(Y, x);
}

template void real_transform(int64_t, int64_t, const float*, float*);
template void real_transform(int64_t, int64_t, const double*, double*);
template void inverse_real_transform(int64_t, int64_t, const float*, float*);
template void inverse_real_transform(int64_t, int64_t, const double*, double*);

}  // namespace tapir::cuda

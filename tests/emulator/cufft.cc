#include "tests/emulator/cufft.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "tests/emulator/state.h"

namespace {

struct Plan {
  int n, batch;
  cufftType type;
};
std::map<cufftHandle, Plan> plans;
cufftHandle last = 0;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// e^(2πi t/n) for t < n
struct Turns {
  explicit Turns(int n_) : n(n_) {
    for (int t = 0; t < n; ++t) {
      cosine.push_back(std::cos(2 * M_PI * t / n));
      sine.push_back(std::sin(2 * M_PI * t / n));
    }
  }
  size_t place(int j, int k) const { return static_cast<size_t>(int64_t{j} * k % n); }
  int n;
  std::vector<double> cosine, sine;
};

template <class Real, class Complex>
void forward(const Turns& turns, const Real* x, Complex* X) {
  for (int k = 0; k <= turns.n / 2; ++k) {
    double real = 0, imaginary = 0;
    for (int j = 0; j < turns.n; ++j) {
      real += x[j] * turns.cosine[turns.place(j, k)];
      imaginary -= x[j] * turns.sine[turns.place(j, k)];
    }
    X[k] = {static_cast<Real>(real), static_cast<Real>(imaginary)};
  }
}

template <class Real, class Complex>
void inverse(const Turns& turns, Complex* X, Real* x) {
  const int n = turns.n, half = n / 2;
  const bool real_ends = X[0].y == 0 && (n % 2 == 1 || X[half].y == 0);
  for (int j = 0; j < n; ++j) {
    double total = 0;
    for (int k = 0; k <= half; ++k) {
      const double term = X[k].x * turns.cosine[turns.place(j, k)] - X[k].y * turns.sine[turns.place(j, k)];
      total += k == 0 || 2 * k == n ? term : 2 * term;
    }
    x[j] = static_cast<Real>(real_ends ? total : nan);
  }
  for (int k = 0; k <= half; ++k) X[k] = {static_cast<Real>(nan), static_cast<Real>(nan)};
}

// transform(turns, row of in, row of out) for every row, where the plan is one of this type.
template <class In, class Out, class Transform>
cufftResult execute(cufftHandle handle, cufftType type, In* in, Out* out, size_t alignment, const Transform& transform) {
  const auto found = plans.find(handle);
  if (found == plans.end() || found->second.type != type) return CUFFT_INVALID_PLAN;
  if (!emulator::in_region(in) || !emulator::in_region(out)) return CUFFT_INVALID_VALUE;
  if (reinterpret_cast<uintptr_t>(in) % alignment != 0 || reinterpret_cast<uintptr_t>(out) % alignment != 0)
    return CUFFT_UNALIGNED_DATA;
  const Plan& plan = found->second;
  const bool forwards = type == CUFFT_R2C || type == CUFFT_D2Z;
  const int64_t wide = plan.n, narrow = plan.n / 2 + 1;
  const Turns turns(plan.n);
  emulator::open_memory();
  for (int64_t row = 0; row < plan.batch; ++row)
    transform(turns, in + row * (forwards ? wide : narrow), out + row * (forwards ? narrow : wide));
  emulator::close_memory();
  return CUFFT_SUCCESS;
}

}  // namespace

cufftResult cufftPlanMany(cufftHandle* handle, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                          int ostride, int odist, cufftType type, int batch) {
  if (rank != 1 || *n < 1 || batch < 1) return CUFFT_INVALID_VALUE;
  const bool forwards = type == CUFFT_R2C || type == CUFFT_D2Z;
  const int complex = *n / 2 + 1, from = forwards ? *n : complex, to = forwards ? complex : *n;
  const bool dense = inembed && onembed && istride == 1 && ostride == 1 && *inembed == from && idist == from &&
                     *onembed == to && odist == to;
  if (!dense) return CUFFT_NOT_SUPPORTED;   // by the emulator
  plans[*handle = ++last] = {*n, batch, type};
  return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle plan) { return plans.erase(plan) ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN; }

cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out) {
  return execute(plan, CUFFT_R2C, in, out, sizeof *out,
                 [](const Turns& t, const float* x, cufftComplex* X) { forward(t, x, X); });
}
cufftResult cufftExecD2Z(cufftHandle plan, cufftDoubleReal* in, cufftDoubleComplex* out) {
  return execute(plan, CUFFT_D2Z, in, out, sizeof *out,
                 [](const Turns& t, const double* x, cufftDoubleComplex* X) { forward(t, x, X); });
}
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out) {
  return execute(plan, CUFFT_C2R, in, out, sizeof *in, [](const Turns& t, cufftComplex* X, float* x) { inverse(t, X, x); });
}
cufftResult cufftExecZ2D(cufftHandle plan, cufftDoubleComplex* in, cufftDoubleReal* out) {
  return execute(plan, CUFFT_Z2D, in, out, sizeof *in,
                 [](const Turns& t, cufftDoubleComplex* X, double* x) { inverse(t, X, x); });
}

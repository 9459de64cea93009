// Real Fourier transforms, on the CPU by kissfft. In double for float too: the loops are not vectorised, so that costs little,
// and the result is rounded once.
#include "tensor/fft.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "kissfft/kissfft.hh"
#include "tensor/cuda.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

using Complex = std::complex<double>;

// A real row of even length n is a complex one of half the length; an odd one is a complex one without imaginary parts.
int64_t complex_length(int64_t n) { return n % 2 == 0 ? n / 2 : n; }

// What a thread needs: its own plan, since that of kissfft has a buffer within, and room for a row.
struct Row {
  Row(int64_t n, const kissfft<double>& plan_) : plan(plan_), in(complex_length(n)), out(complex_length(n)) {}
  kissfft<double> plan;
  std::vector<Complex> in, out;
};

template <class T>
void forward(Row& row, int64_t n, const T* x, T* X) {
  const int64_t length = complex_length(n), last = n / 2;
  for (int64_t j = 0; j < length; ++j)
    row.in[j] = n % 2 == 0 ? Complex(x[2 * j], x[2 * j + 1]) : Complex(x[j], 0);
  if (n % 2 == 0) row.plan.transform_real(reinterpret_cast<const double*>(row.in.data()), row.out.data());
  else row.plan.transform(row.in.data(), row.out.data());
  for (int64_t k = 1; k < length && k <= last; ++k) {
    X[2 * k] = static_cast<T>(row.out[k].real());
    X[2 * k + 1] = static_cast<T>(row.out[k].imag());
  }
  X[0] = static_cast<T>(row.out[0].real());
  X[1] = 0;
  if (n % 2 == 0) {   // kissfft has it there
    X[2 * last] = static_cast<T>(row.out[0].imag());
    X[2 * last + 1] = 0;
  }
}

// For even n, h = n/2, Z_k = X_k + X*_{h−k} + i e^(2πi k/n) (X_k − X*_{h−k}):  Σ_k Z_k e^(2πi jk/h) = n (x_{2j} + i x_{2j+1})
template <class T>
void inverse(Row& row, int64_t n, const std::vector<Complex>& turns, const T* X, T* x) {
  const int64_t length = complex_length(n), last = n / 2;
  const double scale = 1 / static_cast<double>(n);   // at once, so that sums are no larger than what comes of them
  const auto coefficient = [&](int64_t k) {
    const bool real = k == 0 || 2 * k == n;
    return scale * Complex(X[2 * k], real ? 0 : X[2 * k + 1]);
  };
  if (n % 2 == 0) {
    for (int64_t k = 0; k < length; ++k) {
      const Complex a = coefficient(k), b = std::conj(coefficient(last - k));
      row.in[k] = a + b + turns[k] * (a - b);
    }
  } else {
    for (int64_t k = 0; k <= last; ++k) {
      row.in[k] = coefficient(k);
      if (k > 0) row.in[n - k] = std::conj(row.in[k]);
    }
  }
  row.plan.transform(row.in.data(), row.out.data());
  for (int64_t j = 0; j < length; ++j) {
    if (n % 2 == 0) {
      x[2 * j] = static_cast<T>(row.out[j].real());
      x[2 * j + 1] = static_cast<T>(row.out[j].imag());
    } else {
      x[j] = static_cast<T>(row.out[j].real());
    }
  }
}

// transform(row, r) of every row r. They do not depend on each other, so each thread has one run of them.
template <class Transform>
void for_each_transform(int64_t rows, int64_t n, bool back, const Transform& transform) {
  if (DryRun::current() || rows == 0) return;
  const int64_t ranges = std::clamp<int64_t>(rows * n / elements_per_range, 1, std::min<int64_t>(threads(), rows));
  const int64_t grain = (rows + ranges - 1) / ranges;
  std::vector<Row> room(ranges, Row(n, kissfft<double>(static_cast<size_t>(complex_length(n)), back)));
  for_each_range(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) transform(room[begin / grain], r);
  });
}

}  // namespace

template <class T>
void real_transform(Device device, int64_t rows, int64_t n, const T* x, T* X) {
  if (device == Device::cuda) return cuda::real_transform(rows, n, x, X);
  for_each_transform(rows, n, false,
                     [&](Row& row, int64_t r) { forward(row, n, x + r * n, X + r * (n / 2 + 1) * 2); });
}

template <class T>
void inverse_real_transform(Device device, int64_t rows, int64_t n, const T* X, T* x) {
  if (device == Device::cuda) return cuda::inverse_real_transform(rows, n, X, x);
  std::vector<Complex> turns;   // i e^(2πi k/n)
  if (n % 2 == 0 && !DryRun::current())
    for (int64_t k = 0; k < n / 2; ++k) {
      const double angle = 2 * M_PI * static_cast<double>(k) / static_cast<double>(n);
      turns.emplace_back(-std::sin(angle), std::cos(angle));
    }
  for_each_transform(rows, n, true,
                     [&](Row& row, int64_t r) { inverse(row, n, turns, X + r * (n / 2 + 1) * 2, x + r * n); });
}

template void real_transform(Device, int64_t, int64_t, const float*, float*);
template void real_transform(Device, int64_t, int64_t, const double*, double*);
template void inverse_real_transform(Device, int64_t, int64_t, const float*, float*);
template void inverse_real_transform(Device, int64_t, int64_t, const double*, double*);

}  // namespace tapir

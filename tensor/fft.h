// Real Fourier transforms of dense rows. A complex number is a pair, the real part first.
#pragma once
#include <cstdint>

#include "tensor/device.h"

namespace tapir {

// X_k = Σ_j x_j e^(−2πi jk/n), k = 0 … ⌊n/2⌋:  x (rows,n) → X (rows,⌊n/2⌋+1,2). The imaginary parts of X_0 and, for even n,
// of X_{n/2} are exactly 0. T is float or double, the memory is on `device`, and X does not overlap x. The same bits at any
// thread count. n ≥ 1, rows ≥ 0; neither is more than 2³¹ − 1, which is as far as cuFFT counts.
template <class T>
void real_transform(Device device, int64_t rows, int64_t n, const T* x, T* X);

// And back: x_j = 1/n Σ_k c_k Re(X_k e^(2πi jk/n)), c_k = 1 for the two above, whose imaginary parts are not read, else 2.
template <class T>
void inverse_real_transform(Device device, int64_t rows, int64_t n, const T* X, T* x);

}  // namespace tapir

// Real Fourier transforms along the last axis. Complex values are pairs along a last axis of 2: real part, imaginary part.
// NaN in a row may be NaN in all that is made of it, also where its factor, a sine or cosine, is 0; ∞ may be NaN.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// X_k = Σ_j x_j e^(−2πi jk/n), 0 ≤ k ≤ n/2: x (…,n) → (…,⌊n/2⌋+1,2), any 1 ≤ n < 2³¹
Tensor rfft(const Tensor& x);
// The inverse, X (…,⌊n/2⌋+1,2) → (…,n): x_j = 1/n Σ_k c_k Re(X_k e^(2πi jk/n)), where c_k is 1 for k = 0 and k = n/2, whose
// imaginary parts are not read, and 2 for all others. As PyTorch's rfft and irfft, but that the length is asked for.
Tensor irfft(const Tensor& X, Count n);

struct Rfft;
struct Irfft;
using FourierOps = OpList<Rfft, Irfft>;
template <OneOf<FourierOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

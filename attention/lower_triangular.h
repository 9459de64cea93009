// Lower triangular matrices by halves: one of 2n rows is two of n rows on its diagonal, and a square below. Letters: B batch,
// N matrices of a sample, n rows, F features.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

// Σ_f q_tf k_sf exp(Σ_{s < i ≤ t} g_if) where s ≤ t, else 0: (B,N,n,F) each → (B,N,n,n), n a power of two. g ≤ 0 are logarithms
// of decays. In a square they are summed up from the last token of its first half, before and after it, so that no exponential
// is above 1, and nothing is divided by a product of decays, however small. NaN of later tokens reaches no row.
Tensor decayed_products(const Tensor& q, const Tensor& k, const Tensor& g);

// (I + A)⁻¹ of a strictly lower triangular A (B,N,n,n), n a power of two, of which nothing else is read:  [X 0; −Y C X, Y] of
// [I+A₁ 0; C, I+A₂] with their inverses X and Y. It is not a series of powers of A, which may be large where the inverse is not.
Tensor inverse_of_unit_lower(const Tensor& A);

// The matrix with the rows x (B,N,1,n) on its diagonal: (B,N,n,n)
Tensor diagonal(const Tensor& x);

// A B of a lower triangular A, the upper part of which is not read: rows know nothing of later ones, NaN included.
Tensor lower_times(const Tensor& A, const Tensor& B);

}  // namespace tapir

// Matrix products of row-major matrices.
#pragma once
#include <cstdint>

#include "tensor/device.h"

namespace tapir {

// C_i = alpha · op(A_i) · op(B_i) + beta · C_i  for i < batch, with op(A) of shape (m,k), op(B) (k,n), C (m,n).
// In memory A is (m,k), or (k,m) if transpose_a; B is (k,n), or (n,k) if transpose_b. C must not overlap A or B.
template <class T>
struct MatrixProduct {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  const T* a = nullptr;
  int64_t lda = 0, stride_a = 0;   // elements from one row to the next, from one matrix to the next (0: the same for all)
  bool transpose_a = false;
  const T* b = nullptr;
  int64_t ldb = 0, stride_b = 0;
  bool transpose_b = false;
  T* c = nullptr;
  int64_t ldc = 0, stride_c = 0;
  T alpha = 1, beta = 0;   // beta = 0 writes C without reading it: NaN in C does not matter
};

// T is float, whose operands are rounded to precision(), or double. The same bits at any thread count. k = 0 gives beta · C.
// The matrices are on `device`. Throws Error if k or a leading dimension exceeds 2³¹ − 1, which is as far as BLAS counts.
template <class T>
void gemm(Device device, const MatrixProduct<T>& product);

// Its parts: C_i = beta · C_i, and the product with k > 0 on the CPU (gemm_cpu.cc). On CUDA: cuda.h.
template <class T>
void scale(Device device, const MatrixProduct<T>& product);
template <class T>
void multiply_on_cpu(const MatrixProduct<T>& product);

}  // namespace tapir

#include <cblas.h>

#include <algorithm>

#include "tests/emulator/cublas_v2.h"
#include "tests/emulator/state.h"

namespace {

CBLAS_TRANSPOSE op(cublasOperation_t transpose) { return transpose == CUBLAS_OP_T ? CblasTrans : CblasNoTrans; }

void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha, const float* a, int lda, const float* b,
             int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasColMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha, const double* a, int lda,
             const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasColMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
cublasStatus_t batched(cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, T alpha, const T* a, int lda,
                       long long stride_a, const T* b, int ldb, long long stride_b, T beta, T* c, int ldc,
                       long long stride_c, int batch) {
  const bool fits = m >= 0 && n >= 0 && k >= 0 && batch >= 0 && lda >= std::max(1, ta == CUBLAS_OP_T ? k : m) &&
                    ldb >= std::max(1, tb == CUBLAS_OP_T ? n : k) && ldc >= std::max(1, m);
  const bool on_device = emulator::in_region(a) && emulator::in_region(b) && emulator::in_region(c);
  if (!fits || !on_device) return CUBLAS_STATUS_INVALID_VALUE;
  emulator::open_memory();
  for (int i = 0; i < batch; ++i)
    product(op(ta), op(tb), m, n, k, alpha, a + i * stride_a, lda, b + i * stride_b, ldb, beta, c + i * stride_c, ldc);
  emulator::close_memory();
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) { return *handle = nullptr, CUBLAS_STATUS_SUCCESS; }

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "an argument has an invalid value";
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                                         const float* alpha, const float* a, int lda, long long stride_a, const float* b,
                                         int ldb, long long stride_b, const float* beta, float* c, int ldc,
                                         long long stride_c, int batch) {
  return batched(ta, tb, m, n, k, *alpha, a, lda, stride_a, b, ldb, stride_b, *beta, c, ldc, stride_c, batch);
}

cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                                         const double* alpha, const double* a, int lda, long long stride_a, const double* b,
                                         int ldb, long long stride_b, const double* beta, double* c, int ldc,
                                         long long stride_c, int batch) {
  return batched(ta, tb, m, n, k, *alpha, a, lda, stride_a, b, ldb, stride_b, *beta, c, ldc, stride_c, batch);
}

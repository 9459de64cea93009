// Matrix products by cuBLAS, which counts columns first: to it our row-major C is Cᵀ = op(B)ᵀ op(A)ᵀ.
#include <cublas_v2.h>

#include "tensor/cuda.h"
#include "tensor/dry_run.h"
#include "tensor/error.h"

namespace tapir::cuda {
namespace {

cublasOperation_t op(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }

constexpr auto batched(float) { return cublasSgemmStridedBatched; }
constexpr auto batched(double) { return cublasDgemmStridedBatched; }

void check(cublasStatus_t status, const char* call) {
  require(status == CUBLAS_STATUS_SUCCESS, "cuda", [&] { return text(call, ": ", cublasGetStatusString(status)); });
}

cublasHandle_t handle() {
  static const cublasHandle_t only = [] {
    cublasHandle_t made;
    check(cublasCreate(&made), "start cuBLAS");
    return made;
  }();
  return only;
}

}  // namespace

template <class T>
void multiply(const MatrixProduct<T>& p) {
  if (DryRun::current()) return;
  const auto integer = [](int64_t value) { return static_cast<int>(value); };
  check(batched(T())(handle(), op(p.transpose_b), op(p.transpose_a), integer(p.n), integer(p.m), integer(p.k), &p.alpha, p.b,
                     integer(p.ldb), p.stride_b, p.a, integer(p.lda), p.stride_a, &p.beta, p.c, integer(p.ldc), p.stride_c,
                     integer(p.batch)),
        "matrix product");
}

template void multiply(const MatrixProduct<float>&);
template void multiply(const MatrixProduct<double>&);

}  // namespace tapir::cuda

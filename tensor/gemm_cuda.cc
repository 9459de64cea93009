// Matrix products by cuBLAS, which counts columns first: to it our row-major C is Cᵀ = op(B)ᵀ op(A)ᵀ.
#include <cublas_v2.h>

#include "tensor/cuda.h"
#include "tensor/dry_run.h"
#include "tensor/error.h"
#include "tensor/rounded.h"

namespace tapir::cuda {
namespace {

cublasOperation_t op(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }

void check(cublasStatus_t status, const char* call) {
  require(status == CUBLAS_STATUS_SUCCESS, RunningOp::name_or("cuda"), [&] { return text(call, ": ", cublasGetStatusString(status)); });
}

cublasHandle_t handle() {
  static const cublasHandle_t only = [] {
    cublasHandle_t made;
    check(cublasCreate(&made), "start cuBLAS");
    return made;
  }();
  return only;
}

// Operands, C, and what sums are made in. By default cuBLAS keeps the operands' bits: TF32 is used where it is asked for.
struct Types {
  cudaDataType operand, result;
  cublasComputeType_t compute;
};
constexpr Types f64{CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F}, f32{CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F},
    tf32{CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32}, bf16{CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};

template <class T>
void call(const MatrixProduct<T>& p, const void* a, const void* b, const Types& types) {
  if (DryRun::current()) return;
  const auto integer = [](int64_t value) { return static_cast<int>(value); };
  check(cublasGemmStridedBatchedEx(handle(), op(p.transpose_b), op(p.transpose_a), integer(p.n), integer(p.m), integer(p.k),
                                   &p.alpha, b, types.operand, integer(p.ldb), p.stride_b, a, types.operand, integer(p.lda),
                                   p.stride_a, &p.beta, p.c, types.result, integer(p.ldc), p.stride_c, integer(p.batch),
                                   types.compute, CUBLAS_GEMM_DEFAULT),
        "matrix product");
}

}  // namespace

template <>
void multiply(const MatrixProduct<double>& p) { call(p, p.a, p.b, f64); }

// The operands are rounded by the CPU's kernel: the tensor cores read numbers that they need not change.
template <>
void multiply(const MatrixProduct<float>& p) {
  const auto with = [](const Types& types) {
    return [&types](const MatrixProduct<float>& q, const void* a, const void* b) { call(q, a, b, types); };
  };
  switch (precision()) {
    case Precision::f32: return call(p, p.a, p.b, f32);
    case Precision::tf32: return with_rounded<Tf32, float>(Device::cuda, p, with(tf32));
    case Precision::bf16: return with_rounded<Bf16, Bf16>(Device::cuda, p, with(bf16));
  }
}

}  // namespace tapir::cuda

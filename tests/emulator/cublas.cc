#include <cblas.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "tests/emulator/cublas_v2.h"
#include "tests/emulator/state.h"

namespace {

CBLAS_TRANSPOSE op(cublasOperation_t transpose) { return transpose == CUBLAS_OP_T ? CblasTrans : CblasNoTrans; }

// A matrix as it lies in memory: columns of `rows` numbers, `leading` apart.
struct Columns { int rows, columns, leading; };

// The product reads T; a matrix of another format becomes a copy that has its values.
const float* as_read(const float* from, const Columns&, std::vector<float>&) { return from; }
const double* as_read(const double* from, const Columns&, std::vector<double>&) { return from; }

template <class From, class Value>
const float* converted(const From* from, const Columns& matrix, std::vector<float>& copy, const Value& value) {
  copy.assign(static_cast<size_t>(matrix.leading) * matrix.columns, 0);
  for (int j = 0; j < matrix.columns; ++j)
    for (int i = 0; i < matrix.rows; ++i) {
      const size_t at = static_cast<size_t>(j) * matrix.leading + i;
      copy[at] = value(from[at]);
    }
  return copy.data();
}

struct Bf16 { uint16_t bits; };
const float* as_read(const Bf16* from, const Columns& matrix, std::vector<float>& copy) {
  return converted(from, matrix, copy, [](Bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); });
}

struct Tf32 { uint32_t bits; };   // the last 13 bits are there, and not read
const float* as_read(const Tf32* from, const Columns& matrix, std::vector<float>& copy) {
  return converted(from, matrix, copy, [](Tf32 x) { return std::bit_cast<float>(x.bits & ~0x1fffu); });
}

void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha, const float* a, int lda, const float* b,
             int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasColMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha, const double* a, int lda,
             const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasColMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) { return *handle = nullptr, CUBLAS_STATUS_SUCCESS; }

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "success"
         : status == CUBLAS_STATUS_NOT_SUPPORTED ? "there is no product of these types"
                                                 : "an argument has an invalid value";
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType type_a, int lda,
                                          long long stride_a, const void* b, cudaDataType type_b, int ldb,
                                          long long stride_b, const void* beta, void* c, cudaDataType type_c, int ldc,
                                          long long stride_c, int batch, cublasComputeType_t compute, cublasGemmAlgo_t) {
  const Columns of_a = ta == CUBLAS_OP_T ? Columns{k, m, lda} : Columns{m, k, lda};
  const Columns of_b = tb == CUBLAS_OP_T ? Columns{n, k, ldb} : Columns{k, n, ldb};
  const bool fits = m >= 0 && n >= 0 && k >= 0 && batch >= 0 && lda >= std::max(1, of_a.rows) &&
                    ldb >= std::max(1, of_b.rows) && ldc >= std::max(1, m);
  const bool on_device = emulator::in_region(a) && emulator::in_region(b) && emulator::in_region(c);
  if (!fits || !on_device) return CUBLAS_STATUS_INVALID_VALUE;

  const auto multiply = [&](auto format, auto number) {
    using Format = decltype(format);
    using T = decltype(number);
    std::vector<T> copy_a, copy_b;
    emulator::open_memory();
    for (int i = 0; i < batch; ++i)
      product(op(ta), op(tb), m, n, k, *static_cast<const T*>(alpha),
              as_read(static_cast<const Format*>(a) + i * stride_a, of_a, copy_a), lda,
              as_read(static_cast<const Format*>(b) + i * stride_b, of_b, copy_b), ldb, *static_cast<const T*>(beta),
              static_cast<T*>(c) + i * stride_c, ldc);
    emulator::close_memory();
    return CUBLAS_STATUS_SUCCESS;
  };
  const auto types = [&](cudaDataType operands, cudaDataType result, cublasComputeType_t sums) {
    return type_a == operands && type_b == operands && type_c == result && compute == sums;
  };
  if (types(CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F)) return multiply(double{}, double{});
  if (types(CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F)) return multiply(float{}, float{});
  if (types(CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32)) return multiply(Tf32{}, float{});
  if (types(CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F)) return multiply(Bf16{}, float{});
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

// What products on every device share: the checks, one tall product in place of many, and sums of nothing.
#include "tensor/gemm.h"

#include <algorithm>
#include <limits>

#include "tensor/cuda.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

template <class T> struct ScaleRow {
  MatrixProduct<T> p;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    T* c = p.c + row / p.m * p.stride_c + row % p.m * p.ldc;
    team.each(p.n, [&](int64_t j) { c[j] = p.beta == 0 ? T(0) : p.beta * c[j]; });
  }
};

}  // namespace

template <class T>
void scale(Device device, const MatrixProduct<T>& p) {
  for_each_row(device, p.batch * p.m, p.n, ScaleRow<T>{p});
}

template <class T>
void gemm(Device device, const MatrixProduct<T>& product) {
  MatrixProduct<T> p = product;
  if (p.batch <= 0 || p.m <= 0 || p.n <= 0) return;
  if (DryRun* dry = DryRun::current()) dry->count(2 * p.batch * p.m * p.n * p.k);
  // BLAS wants leading dimensions of at least the row's width even where there is a single row or none.
  p.lda = std::max({p.lda, p.transpose_a ? p.m : p.k, int64_t{1}});
  p.ldb = std::max({p.ldb, p.transpose_b ? p.k : p.n, int64_t{1}});
  p.ldc = std::max(p.ldc, p.n);
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  require(std::max({p.batch, p.m, p.k, p.lda, p.ldb, p.ldc}) <= limit, "matmul", [&] {
    return text("sizes and row strides must be at most ", limit, ", found batch ", p.batch, ", m ", p.m, ", k ", p.k, ", lda ", p.lda,
                ", ldb ", p.ldb, ", ldc ", p.ldc);
  });
  // One B for matrices A that follow each other in memory: one tall product.
  if (p.stride_b == 0 && !p.transpose_a && p.stride_a == p.m * p.lda && p.stride_c == p.m * p.ldc &&
      p.m * p.batch <= limit) {
    p.m *= p.batch;
    p.batch = 1;
  }
  if (p.k == 0) return scale(device, p);
  device == Device::cuda ? cuda::multiply(p) : multiply_on_cpu(p);
}

template void scale(Device, const MatrixProduct<float>&);
template void scale(Device, const MatrixProduct<double>&);
template void gemm(Device, const MatrixProduct<float>&);
template void gemm(Device, const MatrixProduct<double>&);

}  // namespace tapir

// Tiles whose size depends on the shape alone, each one single-threaded BLAS call: so the thread count changes no bit.
#include <cblas.h>

#include <algorithm>
#include <limits>

#include "tensor/blas.h"
#include "tensor/error.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "tensor/rounded.h"

namespace tapir {
namespace {

// Multiply-adds below which waking a second thread costs more than it brings.
constexpr int64_t work_per_range = 1 << 18;

CBLAS_TRANSPOSE op(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }

void blas_gemm(const MatrixProduct<float>& p) {
  cblas_sgemm(CblasRowMajor, op(p.transpose_a), op(p.transpose_b), p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta,
              p.c, p.ldc);
}
void blas_gemm(const MatrixProduct<double>& p) {
  cblas_dgemm(CblasRowMajor, op(p.transpose_a), op(p.transpose_b), p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta,
              p.c, p.ldc);
}

// y = alpha · op(M) · x + beta · y with M of `rows` × `columns` in memory.
void blas_gemv(bool transpose, int64_t rows, int64_t columns, float alpha, const float* matrix, int64_t ld, const float* x,
               int64_t step_x, float beta, float* y, int64_t step_y) {
  cblas_sgemv(CblasRowMajor, op(transpose), rows, columns, alpha, matrix, ld, x, step_x, beta, y, step_y);
}
void blas_gemv(bool transpose, int64_t rows, int64_t columns, double alpha, const double* matrix, int64_t ld,
               const double* x, int64_t step_x, double beta, double* y, int64_t step_y) {
  cblas_dgemv(CblasRowMajor, op(transpose), rows, columns, alpha, matrix, ld, x, step_x, beta, y, step_y);
}

// One BLAS call. OpenBLAS's gemm is three times slower than its gemv where C is one column or one row.
template <class T>
void multiply_tile(const MatrixProduct<T>& p) {
  if (p.n == 1) {
    blas_gemv(p.transpose_a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.alpha, p.a, p.lda, p.b,
              p.transpose_b ? 1 : p.ldb, p.beta, p.c, p.ldc);
  } else if (p.m == 1) {
    blas_gemv(!p.transpose_b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.alpha, p.b, p.ldb, p.a,
              p.transpose_a ? p.lda : 1, p.beta, p.c, 1);
  } else {
    blas_gemm(p);
  }
}

struct Tiles {
  int64_t extent, size, count;

  // Cuts `extent` into at most `most` tiles of at least `least`, all but the last equal and a multiple of 64.
  Tiles(int64_t extent, int64_t least, int64_t most) : extent(extent) {
    const int64_t wanted = std::clamp<int64_t>(extent / least, 1, most);
    size = wanted == 1 ? extent : (extent + 64 * wanted - 1) / (64 * wanted) * 64;
    count = (extent + size - 1) / size;
  }

  int64_t begin(int64_t tile) const { return tile * size; }
  int64_t length(int64_t tile) const { return std::min(size, extent - begin(tile)); }
};

template <class T>
void multiply_tiles(const MatrixProduct<T>& p) {
  // Measured: tiles of full width and at least 256 rows cost least; columns are cut where rows give too few tiles.
  const Tiles rows(p.m, 256, std::max<int64_t>(8, p.m / 1024));
  const Tiles columns(p.n, 512, std::max<int64_t>(1, 4 / (p.batch * rows.count)));
  const int64_t tiles = p.batch * rows.count * columns.count;
  const int64_t work = p.k * rows.size * columns.size;
  for_each_range(tiles, std::max<int64_t>(1, work_per_range / work), [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const int64_t column = index % columns.count, row = index / columns.count % rows.count;
      const int64_t i = rows.begin(row), j = columns.begin(column), item = index / (columns.count * rows.count);
      MatrixProduct<T> tile = p;
      tile.m = rows.length(row);
      tile.n = columns.length(column);
      tile.a += item * p.stride_a + (p.transpose_a ? i : i * p.lda);
      tile.b += item * p.stride_b + (p.transpose_b ? j * p.ldb : j);
      tile.c += item * p.stride_c + i * p.ldc + j;
      multiply_tile(tile);
    }
  });
}

// A small C with long sums (weight gradients) has too few tiles: its sums are cut into at most 16 parts of at least
// `least_depth` terms, a batch of products that are then added in order.
constexpr int64_t least_depth = 512;

template <class T>
bool worth_splitting(const MatrixProduct<T>& p) {
  return p.batch == 1 && p.k >= 2 * least_depth && p.m * p.n <= (1 << 17) && p.m * p.n * p.k >= 2 * work_per_range;
}

template <class T>
void multiply_parts(const MatrixProduct<T>& p) {
  const int64_t depth = std::max(least_depth, p.k / 16), parts = p.k / depth, size = p.m * p.n;
  const int64_t step_a = p.transpose_a ? p.lda : 1, step_b = p.transpose_b ? 1 : p.ldb;   // from one term to the next
  Storage sums(parts * size * static_cast<int64_t>(sizeof(T)), Device::cpu);

  MatrixProduct<T> part = p;
  part.batch = parts;
  part.k = depth;
  part.stride_a = depth * step_a;
  part.stride_b = depth * step_b;
  part.c = static_cast<T*>(sums.data);
  part.ldc = p.n;
  part.stride_c = size;
  part.beta = 0;
  multiply_tiles(part);

  MatrixProduct<T> rest = p;
  rest.k = p.k % depth;
  rest.a += parts * part.stride_a;
  rest.b += parts * part.stride_b;
  if (rest.k == 0) scale(Device::cpu, rest);
  else multiply_tiles(rest);

  for_each_range(p.m, std::max<int64_t>(1, elements_per_range / (parts * p.n)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* c = p.c + i * p.ldc;
      for (int64_t q = 0; q < parts; ++q) {
        const T* sum = part.c + q * size + i * p.n;
#pragma omp simd
        for (int64_t j = 0; j < p.n; ++j) c[j] += sum[j];
      }
    }
  });
}

template <class T>
void multiply(const MatrixProduct<T>& p) {
  worth_splitting(p) ? multiply_parts(p) : multiply_tiles(p);
}

template <class Format>
void multiply_as(const MatrixProduct<float>& p) {
  with_rounded<Format, float>(Device::cpu, p, [](MatrixProduct<float> q, const float* a, const float* b) {
    q.a = a;
    q.b = b;
    multiply(q);
  });
}

}  // namespace

template <class T>
void multiply_on_cpu(const MatrixProduct<T>& p) {
  prepare_blas();
  if constexpr (std::is_same_v<T, float>) {
    if (precision() == Precision::tf32) return multiply_as<Tf32>(p);
    if (precision() == Precision::bf16) return multiply_as<Bf16>(p);
  }
  multiply(p);
}

template void multiply_on_cpu(const MatrixProduct<float>&);
template void multiply_on_cpu(const MatrixProduct<double>&);

}  // namespace tapir

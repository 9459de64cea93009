// Matrix products against the definition, C_ij = alpha Σ_p A_ip B_pj + beta C_ij, summed in double.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/blas.h"
#include "tensor/gemm.h"
#include "tensor/threads.h"
#include "tests/messages.h"
#include "tests/tensor/numbers.h"
#include "tests/tensor/policies.h"

using namespace tapir;

namespace {

using testing::numbers;

// A product that owns its matrices; `padding` elements lie between the rows, `gap` between the matrices.
template <class T>
struct Case {
  MatrixProduct<T> p;
  std::vector<T> a, b, c;

  Case(int64_t batch, int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b, int64_t padding = 0,
       int64_t gap = 0) {
    const int64_t rows_a = transpose_a ? k : m, rows_b = transpose_b ? n : k;
    p = {.batch = batch, .m = m, .n = n, .k = k, .transpose_a = transpose_a, .transpose_b = transpose_b};
    p.lda = (transpose_a ? m : k) + padding;
    p.ldb = (transpose_b ? k : n) + padding;
    p.ldc = n + padding;
    p.stride_a = rows_a * p.lda + gap;
    p.stride_b = rows_b * p.ldb + gap;
    p.stride_c = m * p.ldc + gap;
    a = numbers<T>(batch * p.stride_a, 1);
    b = numbers<T>(batch * p.stride_b, 2);
    c = numbers<T>(batch * p.stride_c, 3);
  }

  std::vector<T> run() const {
    std::vector<T> result = c;
    MatrixProduct<T> q = p;
    q.a = a.data();
    q.b = b.data();
    q.c = result.data();
    gemm(Device::cpu, q);
    return result;
  }

  // Largest error of a run; elements of C outside of the matrices must be untouched.
  double error() const { return error_of(run()); }
  double error_of(const std::vector<T>& result) const {
    std::vector<double> expected(c.begin(), c.end());
    for (int64_t item = 0; item < p.batch; ++item)
      for (int64_t i = 0; i < p.m; ++i)
        for (int64_t j = 0; j < p.n; ++j) {
          double sum = 0;
          for (int64_t q = 0; q < p.k; ++q)
            sum += static_cast<double>(a[item * p.stride_a + (p.transpose_a ? q * p.lda + i : i * p.lda + q)]) *
                   static_cast<double>(b[item * p.stride_b + (p.transpose_b ? j * p.ldb + q : q * p.ldb + j)]);
          double& y = expected[item * p.stride_c + i * p.ldc + j];
          y = p.alpha * sum + (p.beta == 0 ? 0 : p.beta * y);
        }
    double worst = 0;
    for (size_t i = 0; i < result.size(); ++i) {
      const double difference = std::abs(static_cast<double>(result[i]) - expected[i]);
      worst = difference <= worst ? worst : difference;   // NaN in the result stays
    }
    return worst;
  }
};

// Each of k additions rounds a partial sum of about √k/3; the errors add up like a random walk: about k/8 epsilon.
template <class T>
double tolerance(int64_t k) { return std::numeric_limits<T>::epsilon() * static_cast<double>(k + 8); }

struct Extents { int64_t batch, m, n, k; };

template <class T>
void equals_definition(const Extents& e, int64_t padding, int64_t gap, T alpha, T beta) {
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true}) {
      Case<T> test(e.batch, e.m, e.n, e.k, transpose_a, transpose_b, padding, gap);
      test.p.alpha = alpha;
      test.p.beta = beta;
      CAPTURE(e.batch);
      CAPTURE(e.m);
      CAPTURE(e.n);
      CAPTURE(e.k);
      CAPTURE(transpose_a);
      CAPTURE(transpose_b);
      CHECK(test.error() <= tolerance<T>(e.k) * (std::abs(alpha) + std::abs(beta)));
    }
}

// One extent of each kind: single tile, cut rows, cut columns, one row, one column, split sums with and without a rest.
const Extents shapes[] = {{1, 1, 1, 1},   {1, 5, 7, 3},      {3, 16, 16, 16},  {1, 1, 37, 129},  {1, 261, 1, 67},
                          {1, 1, 1, 2048}, {2, 259, 31, 33}, {1, 600, 70, 50}, {1, 33, 1100, 9}, {1, 64, 33, 1024},
                          {1, 40, 41, 1301}, {1, 1, 130, 8200}, {1, 300, 2, 2000}, {1, 3, 5, 20011}, {2, 20, 30, 1500},
                          {70, 9, 8, 7}};

}  // namespace

TEST_CASE_TEMPLATE("gemm equals its definition for all transpositions", T, float, double) {
  for (const Extents& e : shapes) {
    equals_definition<T>(e, 0, 0, 1, 0);
    equals_definition<T>(e, 3, 5, T(-0.5), T(2));
    equals_definition<T>(e, 1, 0, T(1), T(1));
  }
}

TEST_CASE_TEMPLATE("gemm broadcasts a matrix with batch stride 0", T, float, double) {
  for (const bool of_b : {false, true})
    for (const bool transpose_a : {false, true})
      for (const int64_t gap_a : {0, 4})
        for (const int64_t gap_c : {0, 4}) {
          const int64_t m = 20, n = 6, k = 20, batch = 5;   // m = k: a transposed A has the strides of one that is not
          Case<T> test(batch, m, n, k, transpose_a, of_b, 0, 4);
          test.p.stride_a = m * k + gap_a;
          test.p.stride_c = m * n + gap_c;
          (of_b ? test.p.stride_b : test.p.stride_a) = 0;
          CHECK(test.error() <= tolerance<T>(k));
        }
}

TEST_CASE_TEMPLATE("gemm without terms gives beta C, and writes zeros for beta = 0 over NaN", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const auto& [batch, m, n, k] : {Extents{2, 5, 6, 0}, {1, 1, 9, 0}, {1, 9, 1, 0}, {1, 600, 40, 0}}) {
    equals_definition<T>({batch, m, n, k}, 2, 1, 1, T(3));
    Case<T> test(batch, m, n, k, false, false);
    for (T& value : test.c) value = nan;
    CHECK(test.error() == 0);
  }
  for (const Extents& e : shapes)
    for (const bool transpose : {false, true}) {
      Case<T> test(e.batch, e.m, e.n, e.k, transpose, transpose);
      for (T& value : test.c) value = nan;
      CHECK(test.error() <= tolerance<T>(e.k));
    }
}

TEST_CASE("gemm of rounded operands equals the definition's sums of rounded numbers") {
  for (const Extents& e : shapes)
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const bool shared : {false, true})   // one A for all products
          for (const Precision precision : {Precision::tf32, Precision::bf16}) {
            Case<float> test(e.batch, e.m, e.n, e.k, transpose_a, transpose_b, 3, 5);
            if (shared) test.p.stride_a = 0;
            test.p.alpha = -0.5;
            test.p.beta = 2;
            const InPrecision scope(precision);
            const std::vector<float> result = test.run();
            for (std::vector<float>* values : {&test.a, &test.b})
              for (float& x : *values) x = precision == Precision::tf32 ? float(Tf32(x)) : float(Bf16(x));
            CAPTURE(e.m);
            CAPTURE(e.n);
            CAPTURE(e.k);
            CAPTURE(shared);
            CHECK(test.error_of(result) <= tolerance<float>(e.k) * 2.5);
          }
}

TEST_CASE("gemm of no matrices, rows or columns touches nothing") {
  for (const auto& [batch, m, n, k] : {Extents{0, 3, 3, 4}, {2, 0, 3, 4}, {2, 3, 0, 4}})
    gemm(Device::cpu, MatrixProduct<float>{.batch = batch, .m = m, .n = n, .k = k});
}

TEST_CASE_TEMPLATE("gemm gives the same bits at any thread count", T, float, double) {
  const int before = threads();
  for (const auto& [batch, m, n, k] : {Extents{1, 700, 130, 90}, {1, 100, 90, 3000}, {1, 200, 1500, 70}, {1, 3000, 1, 300},
                                       {1, 1, 3000, 300}, {24, 60, 50, 40}, {1, 2, 64, 8192}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true}) {
        Case<T> test(batch, m, n, k, transpose_a, transpose_b);
        set_threads(1);
        const std::vector<T> expected = test.run();
        for (const int count : {1, 2, 3}) {
          set_threads(count);
          const std::vector<T> result = test.run();
          CHECK(std::memcmp(result.data(), expected.data(), expected.size() * sizeof(T)) == 0);
        }
      }
  set_threads(before);
}

TEST_CASE("gemm refuses sizes beyond BLAS's integers") {
  const auto refusal = [](const MatrixProduct<float>& product) { return message_of([&] { gemm(Device::cpu, product); }); };
  constexpr int64_t many = 1ll << 31;
  const std::string rule = "matmul: sizes and row strides must be at most 2147483647, found ";
  CHECK(refusal({.m = 1, .n = 1, .k = many}).starts_with(rule + "batch 1, m 1, k 2147483648,"));
  CHECK(refusal({.m = many, .n = 1, .k = 1}).starts_with(rule + "batch 1, m 2147483648, k 1,"));
  CHECK(refusal({.batch = many, .m = 1, .n = 1, .k = 1}).starts_with(rule + "batch 2147483648, m 1, k 1,"));
}

TEST_CASE("BLAS kernels are switched by name, and an unknown name is explained") {
  const std::string core = blas_core();
  REQUIRE(!core.empty());
  const std::string warning = select_blas_core("NoSuchCore");
  CHECK(warning.find("expected NoSuchCore for this CPU; set OPENBLAS_CORETYPE=NoSuchCore before") != std::string::npos);
  CHECK(select_blas_core("Prescott") == "");
  CHECK(blas_core() == "Prescott");
  CHECK(select_blas_core(core) == "");
  CHECK(blas_core() == core);
}

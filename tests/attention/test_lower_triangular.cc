// Lower triangular matrices by halves against scalar loops, where the obvious ways fail too.
#include <doctest/doctest.h>

#include "attention/lower_triangular.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "tests/attention/attention_helpers.h"

using namespace tapir;

namespace {

using Values = std::vector<double>;

// Forward substitution: (I + A) X = I.
Values inverse_by_rows(const Values& A, int64_t n) {
  Values X(n * n, 0.0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      X[i * n + j] = i == j;
      for (int64_t m = j; m < i; ++m) X[i * n + j] -= A[i * n + m] * X[m * n + j];
    }
  return X;
}

}  // namespace

TEST_CASE("lower_triangular: the inverse is that of forward substitution, for each size and matrix") {
  for (const int64_t n : {1, 2, 4, 8, 16}) {
    const Tensor A = tril(random_normal({2, 3, n, n}, 1, "A"), -1);
    const Values all = A.values<double>(), found = inverse_of_unit_lower(A).values<double>();
    for (int64_t i = 0; i < 6; ++i) {
      const Values expected = inverse_by_rows({all.begin() + i * n * n, all.begin() + (i + 1) * n * n}, n);
      CHECK(frobenius_error({found.begin() + i * n * n, found.begin() + (i + 1) * n * n}, expected) <= 1e-12);
    }
  }
}

TEST_CASE("lower_triangular: ones below the diagonal have an exact inverse, though their powers reach 10¹⁷") {
  constexpr int64_t n = 64;
  const Tensor ones = Tensor::full({1, 1, n, n}, 1, DType::f32), A = tril(ones, -1);
  const Tensor expected = sub(triu(tril(ones)), triu(tril(ones, -1), -1));   // 1 on the diagonal, −1 below it
  CHECK(inverse_of_unit_lower(A).to(DType::f64).values<double>() == expected.to(DType::f64).values<double>());
  Tensor power = A.to(DType::f64);
  for (int64_t i = 0; i < 5; ++i) power = matmul(power, power);   // A³²
  CHECK(max(power).item() > 1e17);
}

TEST_CASE("lower_triangular: decayed products against scalar loops, for rates from nearly none to all") {
  for (const int64_t n : {1, 2, 4, 8, 16})
    for (const double rate : {1e-3, 1.0, 1e3}) {
      const int64_t F = 3;
      const Tensor q = random_normal({2, 2, n, F}, 1, "q"), k = random_normal({2, 2, n, F}, 1, "k"),
                   g = affine(abs(random_normal({2, 2, n, F}, 1, "g")), -rate, 0);
      const Values Q = q.values<double>(), K = k.values<double>(), G = g.values<double>();
      Values expected(4 * n * n, 0.0);
      for (int64_t m = 0; m < 4; ++m)
        for (int64_t t = 0; t < n; ++t)
          for (int64_t s = 0; s <= t; ++s)
            for (int64_t f = 0; f < F; ++f) {
              double sum = 0;
              for (int64_t i = s + 1; i <= t; ++i) sum += G[(m * n + i) * F + f];
              expected[(m * n + t) * n + s] += Q[(m * n + t) * F + f] * K[(m * n + s) * F + f] * std::exp(sum);
            }
      CHECK(frobenius_error(decayed_products(q, k, g).values<double>(), expected) <= 1e-13);
    }
}

TEST_CASE("lower_triangular: gradients and second derivatives against differences") {
  const auto draw = [](const char* site) { return random_normal({1, 2, 4, 3}, 1, site); };
  const Function products = [](const std::vector<Tensor>& in) { return decayed_products(in[0], in[1], neg(square(in[2]))); };
  const Function inverse = [](const std::vector<Tensor>& in) { return inverse_of_unit_lower(tril(in[0], -1)); };
  const std::vector<Tensor> qkg{draw("q"), draw("k"), draw("g")}, A{random_normal({1, 2, 4, 4}, 1, "A")};
  for (const GradcheckResult& check : {gradcheck("products", products, qkg), gradgradcheck("products", products, qkg),
                                       gradcheck("inverse", inverse, A), gradgradcheck("inverse", inverse, A)}) {
    CAPTURE(check.report);
    CHECK(check.passed);
  }
}

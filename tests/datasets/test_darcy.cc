// Darcy's flow: the solver against manufactured solutions, elimination and another reading in Python; the law of coefficients.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "datasets/synthetic/darcy.h"
#include "tests/golden_file.h"
#include "tests/messages.h"

using namespace tapir;
using Values = std::vector<double>;

namespace {

constexpr double pi = std::numbers::pi;

template <class F> Values sampled(int64_t n, const F& f) {
  Values values;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      values.push_back(
          f(static_cast<double>(i) / static_cast<double>(n - 1), static_cast<double>(j) / static_cast<double>(n - 1)));
  return values;
}

double largest_difference(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
  return worst;
}

double largest(const Values& a) { return *std::max_element(a.begin(), a.end()); }

Values ones(int64_t n) { return Values(static_cast<size_t>(n * n), 1); }

// The system of all points as a full matrix, by Gauss's elimination with pivots.
Values eliminated(const Values& a, const Values& f, int64_t n) {
  const int64_t N = n * n;
  Values matrix(N * N), right(N);
  for (int64_t p = 0; p < N; ++p) {
    const int64_t i = p / n, j = p % n;
    if (i == 0 || j == 0 || i == n - 1 || j == n - 1) {
      matrix[p * N + p] = 1;
      continue;
    }
    right[p] = f[p];
    for (const int64_t q : {p - n, p + n, p - 1, p + 1}) {
      const double flow = 0.5 * (a[p] + a[q]) * static_cast<double>((n - 1) * (n - 1));
      matrix[p * N + p] += flow;
      matrix[p * N + q] -= flow;
    }
  }
  for (int64_t c = 0; c < N; ++c) {
    int64_t pivot = c;
    for (int64_t r = c + 1; r < N; ++r)
      if (std::fabs(matrix[r * N + c]) > std::fabs(matrix[pivot * N + c])) pivot = r;
    for (int64_t k = c; k < N; ++k) std::swap(matrix[c * N + k], matrix[pivot * N + k]);
    std::swap(right[c], right[pivot]);
    for (int64_t r = c + 1; r < N; ++r) {
      const double factor = matrix[r * N + c] / matrix[c * N + c];
      for (int64_t k = c; k < N; ++k) matrix[r * N + k] -= factor * matrix[c * N + k];
      right[r] -= factor * right[c];
    }
  }
  for (int64_t r = N; r-- > 0;) {
    for (int64_t k = r + 1; k < N; ++k) right[r] -= matrix[r * N + k] * right[k];
    right[r] /= matrix[r * N + r];
  }
  return right;
}

}  // namespace

TEST_CASE("darcy: manufactured solutions, whose error falls with the square of the distance of points") {
  // −∇a·∇u − a Δu
  const auto a = [](double x, double y) { return 1 + x + y * y; };
  const auto u = [](double x, double y) { return std::sin(pi * x) * std::sin(2 * pi * y); };
  const auto f = [&](double x, double y) {
    return -pi * std::cos(pi * x) * std::sin(2 * pi * y) - 2 * y * 2 * pi * std::sin(pi * x) * std::cos(2 * pi * y) +
           a(x, y) * 5 * pi * pi * u(x, y);
  };
  const auto error = [&](int64_t n) {
    return largest_difference(darcy_solution(sampled(n, a), sampled(n, f), n), sampled(n, u));
  };
  CHECK(std::log2(error(17) / error(33)) == doctest::Approx(2).epsilon(0.01));
  CHECK(std::log2(error(33) / error(65)) == doctest::Approx(2).epsilon(0.01));
  CHECK(error(65) < 1e-3);
}

TEST_CASE("darcy: a polynomial of second degree in each coordinate is met exactly, where a is a constant") {
  const auto u = [](double x, double y) { return x * (1 - x) * y * (1 - y); };
  const auto f = [](double x, double y) { return 5 * 2 * (x * (1 - x) + y * (1 - y)); };
  for (const int64_t n : {3, 4, 21})
    CHECK(largest_difference(darcy_solution(Values(n * n, 5), sampled(n, f), n), sampled(n, u)) < 1e-14);
}

TEST_CASE("darcy: coefficients that jump, and functions that are wild, as elimination has them") {
  constexpr int64_t n = 12;
  const Values a = darcy_coefficients("train", 3, n, 12, 3);
  for (int64_t row = 0; row < 3; ++row) {
    const Values own(a.begin() + row * n * n, a.begin() + (row + 1) * n * n);
    const Values by_elimination = eliminated(own, ones(n), n);   // a residual of 10⁻¹² times a condition of about 100
    CHECK(largest_difference(darcy_solution(own, ones(n), n), by_elimination) < 1e-10 * largest(by_elimination));
  }
  const auto wild = [](double x, double y) { return std::exp(6 * std::sin(50 * x + 77 * y * y)); };
  const auto f = [](double x, double y) { return std::sin(91 * x * y); };
  const Values by_elimination = eliminated(sampled(n, wild), sampled(n, f), n);
  CHECK(largest_difference(darcy_solution(sampled(n, wild), sampled(n, f), n), by_elimination) < 1e-9 * largest(by_elimination));
}

TEST_CASE("darcy: fields and pressures that another reading in Python makes of the same random bits") {
  const nlohmann::json golden = golden_file("darcy.json");
  for (const auto& one : golden.at("cases")) {
    const auto n = one.at("points").get<int64_t>(), row = one.at("row").get<int64_t>();
    const auto larger = one.at("larger").get<double>(), smaller = one.at("smaller").get<double>();
    const Values all = darcy_coefficients(one.at("part").get<std::string>(), row + 1, n, larger, smaller);
    const Values a(all.begin() + row * n * n, all.end());
    for (int64_t i = 0; i < n; ++i) {
      const auto line = one.at("field").at(static_cast<size_t>(i)).get<std::string>();
      for (int64_t j = 0; j < n; ++j) CHECK(a[i * n + j] == (line[static_cast<size_t>(j)] == '1' ? larger : smaller));
    }
    const Values u = darcy_solution(a, ones(n), n);
    Values shared;
    for (int64_t i = 0; i < n; i += 4)
      for (int64_t j = 0; j < n; j += 4) shared.push_back(u[i * n + j]);
    CHECK(largest_difference(shared, one.at("pressure").get<Values>()) < 1e-10 * largest(u));
  }
}

TEST_CASE("darcy: 0 on the boundary, positive inside, within the pressures of the two coefficients, and turned with the square") {
  constexpr int64_t n = 31;
  const Values a = darcy_coefficients("valid", 4, n, 12, 3), u = darcy_solution(a, ones(n), n);
  const Values slow = darcy_solution(Values(n * n, 3), ones(n), n);
  for (int64_t row = 0; row < 4; ++row) {
    Values turned(n * n), expected(n * n);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        const double own = u[(row * n + i) * n + j];
        if (i == 0 || j == 0 || i == n - 1 || j == n - 1) CHECK(own == 0);
        else CHECK(own > 0);
        turned[j * n + n - 1 - i] = a[(row * n + i) * n + j];
        expected[j * n + n - 1 - i] = own;
      }
    CHECK(largest(expected) < largest(slow));
    CHECK(largest(expected) > largest(slow) / 4);
    CHECK(largest_difference(darcy_solution(turned, ones(n), n), expected) < 1e-12 * largest(expected));
  }
  Values doubled = a;
  for (double& one : doubled) one *= 2;
  Values halved = u;
  for (double& one : halved) one /= 2;
  CHECK(largest_difference(darcy_solution(doubled, ones(n), n), halved) < 1e-13 * largest(u));
}

TEST_CASE("darcy: two coefficients, as often equal at two points as the covariance of their law says") {
  constexpr int64_t rows = 4000, n = 9;
  const Values a = darcy_coefficients("train", rows, n, 12, 4);
  const auto covariance = [](double x, double y, double x2, double y2) {   // Σ c_k² c_l² (π²(k² + l²) + 9)⁻² cos cos cos cos
    double sum = 0;
    for (int k = 0; k < 64; ++k)
      for (int l = k == 0; l < 64; ++l)
        sum += (k ? 2 : 1) * (l ? 2 : 1) * std::pow(pi * pi * (k * k + l * l) + 9, -2) * std::cos(pi * k * x) * std::cos(pi * k * x2) *
               std::cos(pi * l * y) * std::cos(pi * l * y2);
    return sum;
  };
  const auto place = [](int64_t k) { return static_cast<double>(k) / (n - 1); };
  for (const auto& [i, j, k, l] : std::vector<std::array<int64_t, 4>>{{4, 4, 4, 5}, {0, 0, 0, 1}, {2, 3, 5, 6}, {0, 0, 8, 8}, {4, 4, 0, 4}}) {
    int64_t equal = 0, positive = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const double one = a[(row * n + i) * n + j], other = a[(row * n + k) * n + l];
      CHECK((one == 12 || one == 4));
      equal += one == other;
      positive += one == 12;
    }
    const double rho = covariance(place(i), place(j), place(k), place(l)) /
                       std::sqrt(covariance(place(i), place(j), place(i), place(j)) * covariance(place(k), place(l), place(k), place(l)));
    CHECK(std::fabs(static_cast<double>(equal) / rows - (0.5 + std::asin(rho) / pi)) < 0.03);   // Sheppard 1899
    CHECK(std::fabs(static_cast<double>(positive) / rows - 0.5) < 0.03);
  }
}

TEST_CASE("darcy: coefficients are the same among more of them and on more points, and others in another part") {
  const Values few = darcy_coefficients("train", 2, 15, 12, 3), many = darcy_coefficients("train", 5, 15, 12, 3),
               fine = darcy_coefficients("train", 2, 29, 12, 3);
  CHECK(few == Values(many.begin(), many.begin() + 2 * 15 * 15));
  Values shared;
  for (int64_t row = 0; row < 2; ++row)
    for (int64_t i = 0; i < 29; i += 2)
      for (int64_t j = 0; j < 29; j += 2) shared.push_back(fine[(row * 29 + i) * 29 + j]);
  CHECK(few == shared);
  CHECK(darcy_coefficients("test", 2, 15, 12, 3) != few);
  CHECK(Values(few.begin(), few.begin() + 225) != Values(few.begin() + 225, few.end()));
}

TEST_CASE("darcy: what cannot be solved is refused") {
  CHECK(message_of([] { darcy_solution(Values(4, 1), Values(4, 1), 2); }) ==
        "darcy: expected 3 points or more along a side, and as many of a and f, found 2, 4 and 4 numbers");
  CHECK(message_of([] { darcy_solution(Values(10, 1), Values(9, 1), 3); }) ==
        "darcy: expected 3 points or more along a side, and as many of a and f, found 3, 10 and 9 numbers");
  CHECK(message_of([] { darcy_solution(Values(9, 0), Values(9, 1), 3); }) == "darcy: a must be positive, and a and f finite");
  CHECK(message_of([] { darcy_solution(Values(9, 1), Values(9, HUGE_VAL), 3); }) == "darcy: a must be positive, and a and f finite");
  CHECK(message_of([] { darcy_coefficients("train", 1, 1, 12, 3); }) ==
        "darcy: expected 2 points or more along a side, found 1");
}

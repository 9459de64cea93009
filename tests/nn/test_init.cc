// Initialisers: moments, bounds, orthogonality; each value a function of seed, site and element.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nn/init.h"
#include "tests/messages.h"

using namespace tapir;
using Values = std::vector<double>;

namespace {

Tensor filled(const nn::Init& init, const Shape& shape, uint64_t seed = 1, DType type = DType::f64) {
  Tensor value = Tensor::empty(shape, type);
  init.fill(value, {.seed = seed, .step = 0, .site = site_of("w")});
  return value;
}

struct Moments {
  double mean, deviation, kurtosis, largest;
};

Moments moments_of(const Values& x) {
  const double n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double second = 0, fourth = 0, largest = 0;
  for (const double value : x) {
    const double d = value - mean;
    second += d * d / n;
    fourth += d * d * d * d / n;
    largest = std::max(largest, std::fabs(value));
  }
  return {mean, std::sqrt(second), fourth / (second * second), largest};
}

// Of 60,000 numbers: mean and deviation within 4 of their own deviations, the fourth moment within 3 %.
void check_moments(const nn::Init& init, double deviation, double kurtosis) {
  const Moments m = moments_of(filled(init, {300, 200}).values<double>());
  CHECK(std::fabs(m.mean) < 4 * deviation / std::sqrt(60000.0));
  CHECK(std::fabs(m.deviation / deviation - 1) < 4 * std::sqrt((kurtosis - 1) / (4 * 60000.0)));
  CHECK(m.kurtosis == doctest::Approx(kurtosis).epsilon(0.03));
}

// Σ over the longer axis: rows or columns of (M,N), whichever are fewer, against gain² on the diagonal.
double worst_orthogonality(const Tensor& x, double gain) {
  const Values v = x.values<double>();
  const int64_t M = x.size(0), N = x.size(1), few = std::min(M, N), many = std::max(M, N);
  double worst = 0;
  for (int64_t i = 0; i < few; ++i)
    for (int64_t j = 0; j < few; ++j) {
      double product = 0;
      for (int64_t k = 0; k < many; ++k) product += M <= N ? v[i * N + k] * v[j * N + k] : v[k * N + i] * v[k * N + j];
      worst = std::max(worst, std::fabs(product - (i == j ? gain * gain : 0)));
    }
  return worst;
}

}  // namespace

TEST_CASE("init: moments of the rules; 1.8 is the fourth of a uniform one, 3 of a normal one") {
  check_moments(nn::Init::xavier_uniform(), std::sqrt(2.0 / 500), 1.8);
  check_moments(nn::Init::xavier_uniform(0.3), 0.3 * std::sqrt(2.0 / 500), 1.8);
  check_moments(nn::Init::xavier_normal(), std::sqrt(2.0 / 500), 3);
  check_moments(nn::Init::he(), std::sqrt(2.0 / 200), 3);
  check_moments(nn::Init::normal(0.3), 0.3, 3);
  check_moments(nn::Init::uniform(0.3), 0.3 / std::sqrt(3.0), 1.8);
}

TEST_CASE("init: bounds are kept, and nearly reached") {
  const double bound = std::sqrt(6.0 / 500);
  const Moments uniform = moments_of(filled(nn::Init::xavier_uniform(), {300, 200}).values<double>());
  CHECK(uniform.largest <= bound);
  CHECK(uniform.largest > 0.999 * bound);
  const Moments truncated = moments_of(filled(nn::Init::truncated_normal(0.5), {300, 200}).values<double>());
  CHECK(truncated.largest <= 1);
  CHECK(truncated.largest > 0.999);
  for (const double value : filled(nn::Init::constant(0), {3, 4}).values<double>()) CHECK(value == 0);
}

TEST_CASE("init: a normal distribution cut at two deviations has the moments of one") {
  // With φ(2) = 0.05399 and Z = Φ(2) − Φ(−2) = 0.95450: variance 1 − 4 φ(2)/Z, fourth moment 3 variance − 16 φ(2)/Z.
  const double cut = 0.053990966513188 / 0.954499736103642, variance = 1 - 4 * cut, fourth = 3 * variance - 16 * cut;
  check_moments(nn::Init::truncated_normal(0.7), 0.7 * std::sqrt(variance), fourth / (variance * variance));
}

TEST_CASE("init: leading axes count matrices, so fans are those of the last two") {
  const Moments m = moments_of(filled(nn::Init::he(), {6, 100, 100}).values<double>());
  CHECK(m.deviation == doctest::Approx(std::sqrt(2.0 / 100)).epsilon(0.01));
}

TEST_CASE("init: orthogonal rows or columns, of the length that was asked for, square, wide and tall") {
  for (const Shape& shape : {Shape{1, 1}, Shape{40, 40}, Shape{7, 50}, Shape{50, 7}, Shape{1, 5}})
    for (const double gain : {1.0, 0.3}) {
      const double worst = worst_orthogonality(filled(nn::Init::orthogonal(gain), shape), gain);
      CAPTURE(text(shape));
      CHECK(worst < 1e-14);
    }
  const Tensor both = filled(nn::Init::orthogonal(), {2, 5, 3});
  for (int64_t i = 0; i < 2; ++i) CHECK(worst_orthogonality(both.strided({5, 3}, {3, 1}, 15 * i), 1) < 1e-14);
  CHECK(filled(nn::Init::orthogonal(), {0, 3}).elements() == 0);
  CHECK(filled(nn::Init::orthogonal(), {3, 0}).elements() == 0);
}

TEST_CASE("init: orthogonal matrices are spread evenly: each element has mean 0 and variance 1/n") {
  Values corners;
  for (uint64_t seed = 0; seed < 2000; ++seed)
    corners.push_back(filled(nn::Init::orthogonal(), {4, 4}, seed).values<double>()[0]);
  const Moments m = moments_of(corners);
  CHECK(std::fabs(m.mean) < 4 * 0.5 / std::sqrt(2000.0));
  CHECK(m.deviation == doctest::Approx(0.5).epsilon(0.06));
}

TEST_CASE("init: a multiple of the identity is added to every matrix, wide or tall, and to no vector") {
  for (const Shape& shape : {Shape{3, 3}, Shape{2, 5}, Shape{2, 4, 3}}) {
    const nn::Init plain = nn::Init::xavier_uniform(0.5);
    const Values without = filled(plain, shape).values<double>(),
                 with = filled(plain.plus_identity(0.25), shape).values<double>();
    const int64_t I = shape[-1], O = shape[-2];
    for (int64_t i = 0; i < static_cast<int64_t>(with.size()); ++i)
      CHECK(with[i] == without[i] + (i % I == i / I % O ? 0.25 : 0));
  }
  CHECK(message_of([] { filled(nn::Init::normal(1).plus_identity(1), {5}); }) ==
        "init: an identity needs a matrix (…,O,I), got shape [5]");
  CHECK(message_of([] { nn::Init::normal(1).plus_identity(HUGE_VAL); }) ==
        "init: the factor of the identity must be in (-inf, inf), got inf");
  CHECK(message_of([] { nn::Init::xavier_uniform(-1); }) == "init: its number must be in [0, inf), got -1");
}

TEST_CASE("init: the f32 fill is the rounded f64 fill, and another seed is another fill") {
  for (const nn::Init& init :
       {nn::Init::truncated_normal(1), nn::Init::xavier_normal(), nn::Init::orthogonal(), nn::Init::he()}) {
    const Values wide = filled(init, {5, 7}).values<double>();
    const std::vector<float> narrow = filled(init, {5, 7}, 1, DType::f32).values<float>();
    for (size_t i = 0; i < wide.size(); ++i) CHECK(narrow[i] == static_cast<float>(wide[i]));
    CHECK(filled(init, {5, 7}, 2).values<double>() != wide);
  }
}

TEST_CASE("init: rules of matrices refuse vectors") {
  for (const nn::Init& init :
       {nn::Init::xavier_uniform(), nn::Init::xavier_normal(), nn::Init::he(), nn::Init::orthogonal()})
    CHECK(message_of([&] { filled(init, {5}); }) == "init: this rule needs a matrix (…,O,I), got shape [5]");
  CHECK(message_of([] { filled(nn::Init::truncated_normal(1), {5}); }) == "no error");
}

TEST_CASE("init: numbers that are given are those, in row-major order and of either type; too few or infinite ones are refused") {
  CHECK(filled(nn::Init::values({1, 2, 3, 4, 5, 6.5}), {2, 3}).values<double>() == Values{1, 2, 3, 4, 5, 6.5});
  CHECK(filled(nn::Init::values({0.5, -2}), {2}, 1, DType::f32).values<float>() == std::vector<float>{0.5, -2});
  CHECK(message_of([] { filled(nn::Init::values({1, 2, 3}), {2, 2}); }) == "init: there are 3 numbers for shape [2,2]");
  CHECK(contains_text(message_of([] { nn::Init::values({1, INFINITY}); }), "init: each number"));
}

// Real Fourier transforms against their definition, summed in long double.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/dry_run.h"
#include "tensor/fft.h"
#include "tensor/threads.h"
#include "tests/tensor/numbers.h"

using namespace tapir;

namespace {

using testing::numbers;

using Wide = long double;

Wide angle(int64_t jk, int64_t n) { return 2 * std::acos(Wide{-1}) * static_cast<Wide>(jk % n) / static_cast<Wide>(n); }

template <class T>
std::vector<Wide> spectrum_of(const std::vector<T>& x) {
  const auto n = static_cast<int64_t>(x.size());
  std::vector<Wide> cosine, sine, X;
  for (int64_t i = 0; i < n; ++i) {
    cosine.push_back(std::cos(angle(i, n)));
    sine.push_back(std::sin(angle(i, n)));
  }
  for (int64_t k = 0; k <= n / 2; ++k) {
    Wide real = 0, imaginary = 0;
    for (int64_t j = 0; j < n; ++j) {
      real += static_cast<Wide>(x[j]) * cosine[j * k % n];
      imaginary -= static_cast<Wide>(x[j]) * sine[j * k % n];
    }
    X.push_back(real);
    X.push_back(imaginary);
  }
  return X;
}

// Largest error of any, by the largest number.
template <class T, class U>
double error_of(const std::vector<T>& found, const std::vector<U>& expected) {
  Wide largest = 0, worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const Wide difference = std::fabs(static_cast<Wide>(found[i]) - static_cast<Wide>(expected[i]));
    largest = std::max(largest, std::fabs(static_cast<Wide>(expected[i])));
    worst = difference <= worst ? worst : difference;   // NaN in the result stays
  }
  return static_cast<double>(worst / largest);
}

template <class T>
std::vector<T> forward(int64_t rows, int64_t n, const std::vector<T>& x) {
  std::vector<T> X(rows * (n / 2 + 1) * 2, T(7));
  real_transform(Device::cpu, rows, n, x.data(), X.data());
  return X;
}

template <class T>
std::vector<T> inverse(int64_t rows, int64_t n, const std::vector<T>& X) {
  std::vector<T> x(rows * n, T(7));
  inverse_real_transform(Device::cpu, rows, n, X.data(), x.data());
  return x;
}

std::vector<int64_t> lengths() {
  std::vector<int64_t> all;
  for (int64_t n = 1; n <= 70; ++n) all.push_back(n);
  for (const int64_t n : {81, 121, 125, 128, 142, 243, 251, 256, 257, 343, 512, 1000, 1001, 1009, 1024, 1155, 2018, 2048})
    all.push_back(n);
  return all;
}

// Float is computed in double and rounded once; double loses some roundings in each of log n stages.
template <class T>
constexpr double bound = std::numeric_limits<T>::epsilon() * (std::is_same_v<T, float> ? 1 : 16);

template <class T>
void judge(int64_t n) {
  CAPTURE(n);
  const std::vector<T> x = numbers<T>(n, static_cast<uint64_t>(n));
  const std::vector<T> X = forward(1, n, x);
  CHECK(error_of(X, spectrum_of(x)) <= bound<T>);
  CHECK(X[1] == 0);
  if (n % 2 == 0) CHECK(X[n + 1] == 0);

  // Imaginary parts that have to be 0 are not read.
  std::vector<T> given = X;
  given[1] = std::numeric_limits<T>::quiet_NaN();
  if (n % 2 == 0) given[n + 1] = std::numeric_limits<T>::infinity();
  CHECK(error_of(inverse(1, n, given), x) <= 2 * bound<T>);
}

}  // namespace

TEST_CASE_TEMPLATE("fft: transforms of every kind of length agree with the definition, and come back", T, float, double) {
  for (const int64_t n : lengths()) judge<T>(n);
}

TEST_CASE("fft: a spectrum that no transform gave comes back as the definition has it") {
  for (const int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 30, 31, 64}) {
    CAPTURE(n);
    std::vector<double> X = numbers<double>((n / 2 + 1) * 2, 5);
    const std::vector<double> x = inverse(1, n, X);
    X[1] = 0;
    if (n % 2 == 0) X[n + 1] = 0;
    CHECK(error_of(spectrum_of(x), X) <= 1e-14);
  }
}

TEST_CASE("fft: rows do not touch each other, and have the same bits at any number of threads") {
  const int before = threads();
  for (const int64_t n : {1, 7, 48, 4096, 5005}) {
    CAPTURE(n);
    const int64_t rows = 3 + 100000 / n;
    const std::vector<float> x = numbers<float>(rows * n, 3), X = forward(rows, n, x), back = inverse(rows, n, X);
    const std::vector<float> last_row(x.end() - n, x.end()), last = forward(1, n, last_row);
    CHECK(std::memcmp(X.data() + X.size() - last.size(), last.data(), last.size() * sizeof(float)) == 0);
    for (const int count : {1, 2, 3, 7}) {
      set_threads(count);
      CHECK(std::memcmp(forward(rows, n, x).data(), X.data(), X.size() * sizeof(float)) == 0);
      CHECK(std::memcmp(inverse(rows, n, X).data(), back.data(), back.size() * sizeof(float)) == 0);
    }
    set_threads(before);
  }
}

TEST_CASE("fft: no rows, and a dry run, write nothing") {
  std::vector<double> x{1, 2, 3, 4}, X(6, 7.0);
  real_transform(Device::cpu, 0, 4, x.data(), X.data());
  inverse_real_transform(Device::cpu, 0, 4, X.data(), x.data());
  {
    const DryRun dry;
    real_transform(Device::cpu, 1, 4, x.data(), X.data());
    inverse_real_transform(Device::cpu, 1, 4, X.data(), x.data());
  }
  CHECK(X == std::vector<double>(6, 7.0));
  CHECK(x == std::vector<double>{1, 2, 3, 4});
}

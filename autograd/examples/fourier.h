// Real Fourier transforms, from their definition.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/fourier.h"
#include "autograd/ops/shape.h"

namespace tapir {

// cos and sin of 2π jk/n, with jk taken modulo n first.
struct Waves {
  explicit Waves(int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const double angle = 2 * M_PI * static_cast<double>(i) / static_cast<double>(n);
      cosine.push_back(std::cos(angle));
      sine.push_back(std::sin(angle));
    }
  }
  std::vector<double> cosine, sine;
};

inline std::vector<double> spectrum_of(const std::vector<double>& x) {
  const auto n = static_cast<int64_t>(x.size());
  const Waves waves(n);
  std::vector<double> X;
  for (int64_t k = 0; k <= n / 2; ++k) {
    double real = 0, imaginary = 0;
    for (int64_t j = 0; j < n; ++j) {
      real += x[j] * waves.cosine[j * k % n];
      imaginary -= x[j] * waves.sine[j * k % n];
    }
    X.push_back(real);
    X.push_back(imaginary);
  }
  return X;
}

// Over all n frequencies: those above n/2 are the conjugates of their mirror images.
inline std::vector<double> signal_of(const std::vector<double>& X, int64_t n) {
  const Waves waves(n);
  std::vector<double> x;
  for (int64_t j = 0; j < n; ++j) {
    double total = 0;
    for (int64_t k = 0; k < n; ++k) {
      const int64_t from = 2 * k <= n ? k : n - k;
      const double imaginary = k == 0 || 2 * k == n ? 0 : 2 * k < n ? X[2 * from + 1] : -X[2 * from + 1];
      total += X[2 * from] * waves.cosine[j * k % n] - imaginary * waves.sine[j * k % n];
    }
    x.push_back(total / static_cast<double>(n));
  }
  return x;
}

// Powers of 2, of 3, of 5, products, primes. Where the last element meets a sine or cosine that is 0, NaN goes where another
// value would not.
template <> struct Examples<Rfft> {
  static OpExamples all() {
    std::vector<Example> rows;
    const auto row = [&](const std::string& label, const Shape& from) {
      Shape to = from.with(-1, from[-1] / 2 + 1);
      to.push_back(2);
      rows.push_back({.label = label,
                      .function = [](const std::vector<Tensor>& x) { return rfft(x[0]); },
                      .inputs = {{from}},
                      .reference = [=](const Arrays& in) { return by_rows(in[0], to, spectrum_of); },
                      .nan_elsewhere = from[-1] % 4 == 0});
    };
    for (const int64_t n : {7, 2, 3, 4, 5, 6, 8, 9, 12, 15, 16, 25, 30, 49, 64, 101}) row(text("length ", n), {2, n});
    row("one element", {1});
    row("rows of one", {2, 3, 1});
    row("of rank 3", {2, 3, 10});
    row("none", {0, 4});
    row("several ranges", {300, 256});
    row("several ranges, odd", {300, 255});
    rows.push_back({.label = "from an odd place in memory",
                    .function = [](const std::vector<Tensor>& x) { return rfft(slice(x[0], 0, 1, 2)); },
                    .inputs = {{{3, 7}}},
                    .reference = [](const Arrays& in) {
                      Array y = by_rows(in[0], {3, 4, 2}, spectrum_of);
                      y.values.erase(y.values.begin(), y.values.begin() + 8);
                      y.shape = {2, 4, 2};
                      return y;
                    }});
    return {.op = "rfft",
            .rows = std::move(rows),
            .errors = {{[] { rfft(zeros({})); }, {"rfft", "[]"}},
                       {[] { rfft(zeros({2, 0})); }, {"rfft", "elements along the last axis", "[2,0]"}},
                       {[] { rfft(expand(zeros({1}), {int64_t{1} << 31})); }, {"rfft", "at most 2147483647", "[2147483648]"}},
                       {[] { rfft(expand(zeros({1, 1}), {int64_t{1} << 31, 1})); }, {"rfft", "2147483648 of 1"}}}};
  }
};

template <> struct Examples<Irfft> {
  static OpExamples all() {
    std::vector<Example> rows;
    const auto row = [&](const std::string& label, const Shape& to) {
      const int64_t n = to[-1];
      Shape from = to.with(-1, n / 2 + 1);
      from.push_back(2);
      rows.push_back({.label = label,
                      .function = [=](const std::vector<Tensor>& X) { return irfft(X[0], n); },
                      .inputs = {{from}},
                      .reference =
                          [=](const Arrays& in) {
                            Array y{to, {}};
                            const int64_t width = (n / 2 + 1) * 2;
                            for (int64_t begin = 0; begin < in[0].shape.elements(); begin += width) {
                              const auto first = in[0].values.begin() + begin;
                              const std::vector<double> line = signal_of({first, first + width}, n);
                              y.values.insert(y.values.end(), line.begin(), line.end());
                            }
                            return y;
                          },
                      .nan_elsewhere = n % 2 == 1 && n > 1});
    };
    for (const int64_t n : {7, 2, 3, 4, 5, 6, 8, 9, 12, 15, 16, 25, 30, 49, 64, 101}) row(text("length ", n), {2, n});
    row("one element", {1});
    row("rows of one", {2, 3, 1});
    row("of rank 3", {2, 3, 10});
    row("none", {0, 4});
    row("several ranges", {300, 256});
    row("several ranges, odd", {300, 255});
    return {.op = "irfft",
            .rows = std::move(rows),
            .errors = {{[] { irfft(zeros({3}), 4); }, {"irfft", "(…,⌊n/2⌋+1,2)", "[3]", "n = 4"}},
                       {[] { irfft(zeros({2, 3, 3}), 4); }, {"irfft", "[2,3,3]", "n = 4"}},
                       {[] { irfft(zeros({2, 3, 2}), 6); }, {"irfft", "[2,3,2]", "n = 6"}},
                       {[] { irfft(zeros({1, 2}), 0); }, {"irfft", "n ≥ 1", "[1,2]", "n = 0"}},
                       {[] { irfft(expand(zeros({1, 2}), {int64_t{1} << 31, 1, 2}), 1); }, {"irfft", "2147483648 of 1"}}},
            .smallest = 2};
  }
};

}  // namespace tapir

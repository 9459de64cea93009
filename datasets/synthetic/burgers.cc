#include "datasets/synthetic/burgers.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "tensor/fft.h"
#include "tensor/random.h"

namespace tapir {
namespace {

using Complex = std::complex<double>;

int64_t rows_of(const std::vector<double>& u, int64_t n) {
  const auto size = static_cast<int64_t>(u.size());
  require(n >= 4 && size % n == 0, "burgers",
          [&] { return text("rows must have 4 points or more, got ", size, " numbers in rows of ", n); });
  return size / n;
}

// Modes of rows of functions at n points of a circle, (rows, ⌊n/2⌋ + 1).
class Circle {
 public:
  Circle(int64_t n, double length) : n_(n), modes_(n / 2 + 1), step_(2 * std::numbers::pi / length) {}

  double wave_number(size_t i) const { return step_ * static_cast<double>(mode(i)); }   // κ of element i
  int64_t mode(size_t i) const { return static_cast<int64_t>(i) % modes_; }
  bool aliases(size_t i) const { return 3 * mode(i) >= n_; }

  std::vector<Complex> modes(const std::vector<double>& u) const {
    const int64_t rows = rows_of(u, n_);
    std::vector<Complex> result(rows * modes_);
    real_transform(Device::cpu, rows, n_, u.data(), reinterpret_cast<double*>(result.data()));   // pairs, [complex.numbers]
    return result;
  }
  std::vector<double> values(const std::vector<Complex>& modes) const {
    const auto rows = static_cast<int64_t>(modes.size()) / modes_;
    std::vector<double> result(rows * n_);
    inverse_real_transform(Device::cpu, rows, n_, reinterpret_cast<const double*>(modes.data()), result.data());
    return result;
  }

 private:
  int64_t n_, modes_;
  double step_;
};

// −(iκ/2) (u²)^, without the modes that alias
std::vector<Complex> advection(const Circle& circle, const std::vector<Complex>& modes) {
  std::vector<double> u = circle.values(modes);
  for (double& value : u) value *= value;
  std::vector<Complex> result = circle.modes(u);
  for (size_t i = 0; i < result.size(); ++i)
    result[i] *= circle.aliases(i) ? Complex() : Complex(0, -circle.wave_number(i) / 2);
  return result;
}

}  // namespace

std::vector<double> BurgersEquation::solve(const std::vector<double>& initial, int64_t n) const {
  const Circle circle(n, length);
  std::vector<Complex> now = circle.modes(initial);
  const double dt = time / static_cast<double>(steps);
  std::vector<double> half(now.size());   // e^(−νκ² dt/2)
  for (size_t i = 0; i < half.size(); ++i)
    half[i] = std::exp(-viscosity * circle.wave_number(i) * circle.wave_number(i) * dt / 2);
  const auto stage = [&](const auto& value) {   // the slope where element i is value(i)
    std::vector<Complex> at(now.size());
    for (size_t i = 0; i < at.size(); ++i) at[i] = value(i);
    return advection(circle, at);
  };
  for (int64_t step = 0; step < steps; ++step) {
    const std::vector<Complex> a = advection(circle, now);
    const std::vector<Complex> b = stage([&](size_t i) { return half[i] * (now[i] + dt / 2 * a[i]); });
    const std::vector<Complex> c = stage([&](size_t i) { return half[i] * now[i] + dt / 2 * b[i]; });
    const std::vector<Complex> d = stage([&](size_t i) { return half[i] * (half[i] * now[i] + dt * c[i]); });
    for (size_t i = 0; i < now.size(); ++i)
      now[i] = half[i] * (half[i] * (now[i] + dt / 6 * a[i]) + dt / 3 * (b[i] + c[i])) + dt / 6 * d[i];
  }
  return circle.values(now);
}

std::vector<double> circle_derivative(const std::vector<double>& u, int64_t n, double length) {
  const Circle circle(n, length);
  std::vector<Complex> modes = circle.modes(u);
  for (size_t i = 0; i < modes.size(); ++i) modes[i] *= 2 * circle.mode(i) == n ? Complex() : Complex(0, circle.wave_number(i));
  return circle.values(modes);
}

std::vector<double> burgers_initial(std::string_view part, int64_t rows, int64_t n) {
  constexpr int64_t most = 127;
  const int64_t J = std::min(most, (n + 2) / 3 - 1), modes = n / 2 + 1;
  Tensor draws = Tensor::empty({rows, most, 2}, DType::f64, Device::cpu);
  normal_(draws, 0, 1, {.seed = 0, .step = 0, .site = site_of("burgers " + std::string(part))});
  const std::vector<double> normal = draws.values<double>();
  std::vector<Complex> spectrum(rows * modes);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t j = 1; j <= J; ++j) {
      const double wave = 2 * std::numbers::pi * static_cast<double>(j);
      const double size = std::numbers::sqrt2 * 25 / (wave * wave + 25);
      const double* const drawn = normal.data() + (row * most + j - 1) * 2;   // ξ, η: a cosine and a sine have n/2 (ξ − iη)
      spectrum[row * modes + j] = size * static_cast<double>(n) / 2 * Complex(drawn[0], -drawn[1]);
    }
  return Circle(n, 1).values(spectrum);
}

}  // namespace tapir

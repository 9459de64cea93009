#include "datasets/synthetic/darcy.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "datasets/draws.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/sine.h"

namespace tapir {
namespace {

using Values = std::vector<double>;

double dot(const Values& x, const Values& y) {
  double sum = 0;
  for (size_t p = 0; p < x.size(); ++p) sum += x[p] * y[p];
  return sum;
}

// The system of one row, A u = h² f. Values are those of all points, 0 on the boundary.
class FivePoints {
 public:
  FivePoints(const double* a, int64_t n) : n_(n), east_(n * n), south_(n * n), diagonal_(n * n), factor_(n * n) {
    const auto face = [&](int64_t p, int64_t q) { return (a[p] + a[q]) / 2; };
    for_each_inner([&](int64_t p) {
      diagonal_[p] = face(p, p - 1) + face(p, p + 1) + face(p, p - n) + face(p, p + n);
      if (p % n < n - 2) east_[p] = face(p, p + 1);   // to inner points alone
      if (p / n < n - 2) south_[p] = face(p, p + n);
    });
    // E of L = (strictly lower part of A) E + E⁻¹, so that L Lᵀ is A but for entries that A has not; 97 % of them are taken
    // off the diagonal.
    for_each_inner([&](int64_t p) {
      const int64_t west = p - 1, north = p - n;
      const double from_west = east_[west] * factor_[west], from_north = south_[north] * factor_[north];
      const double lost = from_west * factor_[west] * south_[west] + from_north * factor_[north] * east_[north];
      factor_[p] = 1 / std::sqrt(diagonal_[p] - from_west * from_west - from_north * from_north - 0.97 * lost);
    });
  }

  Values times(const Values& u) const {
    Values result(u.size());
    for_each_inner([&](int64_t p) {
      result[p] = diagonal_[p] * u[p] - east_[p] * u[p + 1] - east_[p - 1] * u[p - 1] - south_[p] * u[p + n_] -
                  south_[p - n_] * u[p - n_];
    });
    return result;
  }

  Values preconditioned(const Values& r) const {   // (L Lᵀ)⁻¹ r
    Values z(r.size());
    for_each_inner([&](int64_t p) {
      const int64_t west = p - 1, north = p - n_;
      z[p] = factor_[p] * (r[p] + east_[west] * factor_[west] * z[west] + south_[north] * factor_[north] * z[north]);
    });
    for (int64_t p = n_ * n_ - n_ - 2; p > n_; --p)   // factor is 0 on the boundary
      z[p] = factor_[p] * (z[p] + factor_[p] * (east_[p] * z[p + 1] + south_[p] * z[p + n_]));
    return z;
  }

  Values solve(const Values& b) const {   // Hestenes & Stiefel 1952
    Values u(b.size()), r = b, z = preconditioned(r), direction = z;
    double rz = dot(r, z);
    for (const double small = 1e-24 * dot(b, b); dot(r, r) > small;) {
      const Values image = times(direction);
      const double step = rz / dot(direction, image);
      for (size_t p = 0; p < u.size(); ++p) {
        u[p] += step * direction[p];
        r[p] -= step * image[p];
      }
      z = preconditioned(r);
      const double before = rz;
      rz = dot(r, z);
      for (size_t p = 0; p < u.size(); ++p) direction[p] = z[p] + rz / before * direction[p];
    }
    return u;
  }

 private:
  template <class F> void for_each_inner(const F& f) const {
    for (int64_t row = 1; row < n_ - 1; ++row)
      for (int64_t column = 1; column < n_ - 1; ++column) f(row * n_ + column);
  }

  int64_t n_;
  Values east_, south_, diagonal_, factor_;
};

}  // namespace

Values darcy_solution(const Values& a, const Values& f, int64_t n) {
  const auto size = static_cast<int64_t>(a.size());
  require(n >= 3 && size % (n * n) == 0 && static_cast<int64_t>(f.size()) == n * n, "darcy", [&] {
    return text("expected 3 points or more along a side, and as many of a and f, found ", n, ", ", size, " and ", f.size(),
                " numbers");
  });
  require(std::all_of(a.begin(), a.end(), [](double one) { return one > 0 && std::isfinite(one); }) &&
              std::all_of(f.begin(), f.end(), [](double one) { return std::isfinite(one); }),
          "darcy", [] { return "a must be positive, and a and f finite"; });
  Values b(f.size()), u(a.size());
  for (int64_t row = 1; row < n - 1; ++row)
    for (int64_t p = row * n + 1; p < row * n + n - 1; ++p) b[p] = f[p] / static_cast<double>((n - 1) * (n - 1));
  for_each_range(size / (n * n), 1, [&](int64_t row, int64_t) {
    const Values own = FivePoints(a.data() + row * n * n, n).solve(b);
    std::copy(own.begin(), own.end(), u.begin() + row * n * n);
  });
  return u;
}

Values darcy_coefficients(std::string_view part, int64_t rows, int64_t n, double larger, double smaller) {
  require(n >= 2, "darcy", [&] { return text("expected 2 points or more along a side, found ", n); });
  constexpr int64_t modes = 64;
  Values waves(modes * n);   // c_k cos πkx
  for (int64_t k = 0; k < modes; ++k)
    for (int64_t i = 0; i < n; ++i)
      waves[k * n + i] =
          k == 0 ? 1 : std::numbers::sqrt2 * math::cos(std::numbers::pi * static_cast<double>(k * i) / static_cast<double>(n - 1));
  Values all(rows * n * n);
  for_each_range(rows, 1, [&](int64_t row, int64_t) {
    Draws draws({.seed = 0, .step = static_cast<uint32_t>(row), .site = site_of(text("darcy ", part))}, 0);
    Values along(modes * n);   // Σ_l c_l size_kl ξ_kl cos πly
    for (int64_t k = 0; k < modes; ++k)
      for (int64_t l = 0; l < modes; ++l) {
        const double drawn = draws.normal();
        if (k + l == 0) continue;
        const double size = drawn / (std::numbers::pi * std::numbers::pi * static_cast<double>(k * k + l * l) + 9);
        for (int64_t j = 0; j < n; ++j) along[k * n + j] += size * waves[l * n + j];
      }
    double* const own = all.data() + row * n * n;
    for (int64_t k = 0; k < modes; ++k)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) own[i * n + j] += waves[k * n + i] * along[k * n + j];
    for (int64_t p = 0; p < n * n; ++p) own[p] = own[p] > 0 ? larger : smaller;
  });
  return all;
}

}  // namespace tapir

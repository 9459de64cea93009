// Burgers' equation on a circle, a solver, and functions to begin with: what an operator is learned from.
//
//   u_t + u u_x = ν u_xx,   u(x + L, t) = u(x, t)
//
// Solver: Fourier modes of wave numbers κ = 2πj/L, û' = −(iκ/2) (u²)^ − ν κ² û. The linear part is integrated exactly, by a
// factor e^(−νκ²t), the rest by the classical Runge–Kutta method of order 4; modes from n/3 on are removed from the
// product, which would fall back onto others (Orszag's rule of 2/3).
#pragma once
#include <cstdint>
#include <numbers>
#include <string_view>
#include <vector>

namespace tapir {

struct BurgersEquation {
  double viscosity = 0.1;                   // ν > 0
  double length = 2 * std::numbers::pi;     // L > 0
  double time = 1;
  int64_t steps = 100;                      // of the solver

  // u at `time` of rows of u at 0 (rows,n), at the points L j/n. Throws Error unless n ≥ 4 divides the numbers.
  std::vector<double> solve(const std::vector<double>& initial, int64_t n) const;
};

// ∂u/∂x of rows (rows,n) at the points L j/n, exact for functions whose modes are below n/2. Throws as solve().
std::vector<double> circle_derivative(const std::vector<double>& u, int64_t n, double length);

// Rows of initial functions at n points of a circle of length 1: normal with mean 0 and covariance 625 (25 − Δ)⁻²
//   u(x) = Σ_{j=1}^{J} √2·25/((2πj)² + 25) (ξ_j cos 2πjx + η_j sin 2πjx),   J = min(127, ⌈n/3⌉ − 1)
// Function i of a part is the same for every number of points, but for the modes that these leave out, and among any number
// of rows.
std::vector<double> burgers_initial(std::string_view part, int64_t rows, int64_t n);

}  // namespace tapir

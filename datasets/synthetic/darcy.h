// Darcy's flow through the unit square, a solver, and coefficients to begin with: what an operator is learned from.
//
//   −div(a ∇u) = f on [0, 1]²,   u = 0 on its boundary
//
// Solver: five points, fluxes through faces half-way between two points with the mean of a there, of inner points p at
// distance h:
//   Σ_q (a_p + a_q)/2 (u_p − u_q) = h² f_p,   q the four neighbours of p
// The system is symmetric and positive definite; conjugate gradients solve it, preconditioned by an incomplete Cholesky
// factor that keeps most of the sums of rows (Gustafsson 1978), down to a residual of 10⁻¹².
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace tapir {

// u of rows of a (rows,n,n) > 0 at the points (i, j)/(n − 1), boundary included, with f (n,n) of all. Throws Error unless
// n ≥ 3, sizes agree, and a is positive and all finite.
std::vector<double> darcy_solution(const std::vector<double>& a, const std::vector<double>& f, int64_t n);

// Rows of coefficients (rows,n,n) at these points: `larger` where a normal function with mean 0 and covariance (9 − Δ)⁻² is
// positive, else `smaller`. Its slope across the boundary is 0:
//   g(x, y) = Σ_{k,l < 64} c_k c_l (π²(k² + l²) + 9)⁻¹ ξ_kl cos πkx cos πly,   c_0 = 1, c_k = √2, ξ_00 = 0
// Function i of a part is the same for every number of points, and among any number of rows.
std::vector<double> darcy_coefficients(std::string_view part, int64_t rows, int64_t n, double larger, double smaller);

}  // namespace tapir

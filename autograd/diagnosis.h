// What a wrong gradient looks like: compares it with the right one, known from differences, and with what derivatives are
// usually missing.
#pragma once
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tapir {

struct WrongGradient {
  std::vector<Tensor> inputs;      // x₀, x₁, …
  size_t argument;                 // the one whose gradient is wrong
  Tensor y, g;                     // the function's value and the cotangent
  std::vector<double> analytic;    // of ⟨g, y⟩ with respect to the argument, by the reverse walk
  std::vector<double> numeric;     // by differences
  std::vector<double> jacobian;    // by differences, ∂y_k/∂x_i at [i · y.elements() + k]
};

// In this order: no gradient at all; a constant factor; the sign; a constant that is added; the last two axes exchanged; a sum
// over an axis of y of which one index alone is counted; a term missing out of g, x, y, their products, and sums of these over
// the last axis, also divided by what rows are normalised by: rms(x), σ(x), |x|. Numbers in it are whole, or one over a whole
// number, at most 10,000. Empty if none fits within 1e-5 of the difference. All in f64.
std::string diagnose(const WrongGradient& wrong);

// Whether each has the gradient of the other.
bool exchanged(const WrongGradient& a, const WrongGradient& b);

}  // namespace tapir

// Products with the derivatives of a function, whose matrices are never formed. f is made of ops, J = ∂f/∂inputs.
//
//   vjp   Jᵀ u    one walk back
//   jvp   J v     two walks: J v = ∂⟨Jᵀ u, v⟩/∂u, as Jᵀ u is linear in u                    (Townsend 2017)
//   hvp   H v     two walks: H v = ∂⟨∂f/∂x, v⟩/∂x for an f of one element                    (Pearlmutter 1994)
//
// A walk costs about twice f; the second also holds the graph of the first. J v takes no derivative of higher order than J
// does: what does not lead to u is not visited. The inputs are taken as values (f32 or f64,
// else Error), the results carry no graph. Throws Error where counts, shapes or types do not fit.
#pragma once
#include <vector>

#include "autograd/backward.h"

namespace tapir {

struct PulledBack {
  Tensor value;                      // y = f(inputs)
  std::vector<Tensor> gradients;     // Jᵀ u, one of each input's shape
};
PulledBack vjp(const Function& f, const std::vector<Tensor>& inputs, const Tensor& u);   // u: of y's shape

struct PushedForward {
  Tensor value;                      // y = f(inputs)
  Tensor tangent;                    // J v, of y's shape
};
PushedForward jvp(const Function& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v);   // v: as inputs

// H v, one of each input's shape.
std::vector<Tensor> hvp(const Function& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v);

}  // namespace tapir

// Gradient check: backward against differences, in f64.
//
// For a random cotangent u and random directions v the two sides of   ⟨u, J v⟩ = ⟨Jᵀ u, v⟩   are compared: the left one
// from differences that know their own error (differences.h), the right one from the reverse walk. Only when they differ the
// elements at fault are looked for, and what the gradient looks like: "looks like: factor 2 missing" (diagnosis.h). Kinks are
// no faults: where no derivative exists, a number between those from the left and from the right is accepted, and noted.
#pragma once
#include <string>
#include <vector>

#include "autograd/backward.h"

namespace tapir {

struct GradcheckOptions {
  double step = 1e-3;            // the longest but one of the differences; in doubt it is halved, down to step 2⁻²⁵
  double relative = 1e-6;        // |analytic − numeric| ≤ absolute + relative max(|analytic|, |numeric|), both finite
  double absolute = 1e-8;
  uint64_t seed = 1;             // of u and v
  int directions = 2;
  bool full_jacobian = false;    // compare every ∂y_k/∂x_i as well: a walk for each k, four evaluations for each i
  bool may_vanish = false;       // accept that an input's whole gradient is zero
};

struct GradcheckResult {
  bool passed = true;
  std::string report;   // a line for each fault: name, argument, index, analytic and numeric value, shapes, seed; guesses
  std::string notes;    // "kink near argument 0, index 3", and what else was not judged
  bool vanished = false;   // nothing is wrong but that whole gradients of inputs are zero, as differences say, too
  double worst = 0;     // largest |analytic − numeric| / max(|analytic|, |numeric|, absolute / relative); ∞: one is not finite
};

// Checks f at `inputs`, which must be f64 (else Error); what is not differentiable f keeps to itself. `name` goes into the
// report.
GradcheckResult gradcheck(const std::string& name, const Function& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

// Second order: gradcheck of (x, u) ↦ Jᵀ(x) u, made with create_graph. It also compares that gradient with the one that is
// made without a graph, which may come from another kernel.
GradcheckResult gradgradcheck(const std::string& name, const Function& f, const std::vector<Tensor>& inputs,
                              GradcheckOptions options = {.relative = 1e-5});

}  // namespace tapir

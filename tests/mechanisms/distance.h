// How far a mechanism is from its two oracles: the scalar loops of its test file, and what an independent PyTorch script has
// recorded in float64.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tests/mechanisms/subject.h"

namespace tapir {

struct Worst {   // the largest of some errors, and where it is
  double error = 0;
  std::string where;
  void take(double other, const std::string& place);
};

// Relative, Frobenius. Where terms cancel a gradient is held against their rounding too: of a single key y = v s/(s + ε), and
// the gradient of s is the ε/(s + ε)-th part of two terms as large as that of v.
struct Distance {
  static constexpr double forward_bound = 1e-10, gradient_bound = 1e-8;

  Worst forward, gradient;
  int comparisons = 0;
  void take(const Distance& other);
  bool within_bounds() const { return forward.error <= forward_bound && gradient.error <= gradient_bound; }
};

// Of the output and every gradient, at sizes with and without masks. Throws Error where a gradient has nothing to compare it with.
Distance from_scalar_loops(const Oracle& oracle, const nn::Options& options);
Distance from_truth(const Subject& subject, const reference::Attention& truth, const std::string& place);

// Of a case of tests/golden/mechanisms.json.
Distance from_recorded(const nlohmann::json& one);
Subject subject_of(const nlohmann::json& one);

}  // namespace tapir

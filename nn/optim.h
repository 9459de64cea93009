// AdamW and the clipping of gradients by their global norm.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nn/fields.h"
#include "nn/module.h"

namespace tapir::nn {

struct AdamWOptions : Options {
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double decay = 0.1;

  void fields(FieldVisitor& visit) override {
    visit("beta1", beta1, "decay of the mean of gradients", between(0, 0.999999));
    visit("beta2", beta2, "decay of the mean of their squares", between(0, 0.999999));
    visit("epsilon", epsilon, "added to the root of the mean square", between(1e-30, 1));
    visit("decay", decay, "weight decay, of weights of linear layers alone", between(0, 10));
  }
};

// AdamW (Loshchilov & Hutter 2019, algorithm 2). At step n, for each parameter θ with gradient g:
//   θ ← θ − rate·decay·θ                     (ParameterKind::weight alone)
//   m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
//   θ ← θ − rate / (1 − β₁ⁿ) · m / (√v / √(1 − β₂ⁿ) + ε)
class AdamW {
 public:
  AdamW(Module& model, const AdamWOptions& options);   // the model must be initialised and must outlive this

  // One step with the gradients times `gradient_scale`. Parameters without a gradient stay as they are.
  void step(double rate, double gradient_scale = 1);

  void clear_gradients();
  double gradient_norm() const;   // √Σ g² over all parameters, in double

  // State by name, for checkpoints: "NAME.m", "NAME.v" (the tensors themselves, not copies), and the number of steps taken.
  std::vector<std::pair<std::string, Tensor>> state() const;
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  struct Slot {
    std::string name;
    ParameterKind kind;
    Tensor value, m, v;
  };
  AdamWOptions options_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

}  // namespace tapir::nn

// Exponential moving average of the weights, to be evaluated in their place (Polyak & Juditsky 1992 average uniformly).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"

namespace tapir::nn {

// a ← β a + (1 − β) θ after each step; at the start a = θ.
class Ema {
 public:
  Ema(Module& model, double decay);   // the model must be initialised (else Error) and must outlive this; 0 ≤ β < 1

  void update();   // throws Error while the averages are in the model

  // The model gets the averages, which cannot be trained, and at the next call its own weights back, bit by bit.
  void exchange();
  std::vector<std::pair<std::string, Tensor>> state() const;   // averages by parameter, the tensors themselves

 private:
  struct Slot {
    std::string name;
    Parameter* parameter;
    Tensor average;
    Tensor own{};   // the model's weights, while it has the averages
  };
  double decay_;
  bool exchanged_ = false;
  std::vector<Slot> slots_;
};

}  // namespace tapir::nn

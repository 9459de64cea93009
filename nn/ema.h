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

  void update();
  void exchange();   // the model gets the averages, and at the next call its own weights back, bit by bit
  std::vector<std::pair<std::string, Tensor>> state() const;   // averages by parameter, the tensors themselves

 private:
  struct Slot {
    std::string name;
    Parameter* parameter;
    Tensor average;
  };
  double decay_;
  std::vector<Slot> slots_;
};

}  // namespace tapir::nn

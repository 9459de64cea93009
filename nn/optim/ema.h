// Exponential moving average of the weights, to be evaluated in their place (Polyak & Juditsky 1992 average uniformly).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"

namespace tapir::nn {

// a ← β a + (1 − β) θ after each step, of parameters θ and of buffers that are statistics; at the start a = θ.
class Ema {
 public:
  Ema(Module& model, double decay);   // the model must be initialised (else Error) and must outlive this; 0 ≤ β < 1

  void update();   // throws Error while the averages are in the model

  // The numbers of model and averages change places, and at the next call back again, bit by bit. The parameters stay what they
  // are, so a model that has the averages can be trained on. Throws Error where one was given another tensor in between.
  void exchange();
  std::vector<std::pair<std::string, Tensor>> state() const;   // averages by name, the tensors themselves

 private:
  struct Slot {
    std::string name;
    const Tensor* value;   // where the model has it
    Tensor average;
    Tensor exchanged{};    // what stood there, while the model has the averages
  };
  template <template <class> class Element, class... Numbers> void each(Numbers... numbers);   // over all averages and values

  double decay_;
  bool exchanged_ = false;
  std::vector<Slot> slots_;
};

}  // namespace tapir::nn

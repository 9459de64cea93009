// A multilayer perceptron, the net that people meet first. Letters: … any axes, I inputs, O outputs.
#pragma once
#include <vector>

#include "nn/fields.h"
#include "nn/layers/linear.h"

namespace tapir::nn {

struct MlpOptions : Options {
  int64_t width = 64;
  int64_t layers = 2;
  std::string activation = "tanh";

  void fields(FieldVisitor& visit) override {
    visit("width", width, "units of a hidden layer", between(1, 1 << 20));
    visit("layers", layers, "hidden layers", between(0, 1024));
    visit("activation", activation, "after each hidden layer", Choices{"tanh", "relu", "gelu", "silu"});
    visit.only(layers > 0, "layers is not 0", {"width", "activation"});
  }
};

// y = W_L f(… f(W_1 x + b_1) …) + b_L
class Mlp : public Module {
 public:
  Mlp(const MlpOptions& options, int64_t inputs, int64_t outputs);   // throws Error for options that are none
  Tensor forward(const Tensor& x) const;                             // (…,I) → (…,O)

 private:
  Tensor (*activation_)(const Tensor&);
  std::vector<Linear*> layers_;   // the last one gives y
};

}  // namespace tapir::nn

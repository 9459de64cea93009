// Implicit representations: nets of coordinates that are a signal, such as a picture, and know it between its samples.
// Letters: … any axes, I inputs, O outputs.
#pragma once
#include <vector>

#include "nn/fields.h"
#include "nn/layers/linear.h"

namespace tapir::nn {

struct ImplicitOptions : Options {
  int64_t width = 256;
  int64_t layers = 4;
  std::string activation = "sine";
  double first_omega = 30;
  double omega = 30;
  double first_bias = 0;
  std::string encoding = "none";
  int64_t frequencies = 10;
  std::string kernel = "linear";
  double scale = 1;
  std::string shift = "none";

  void fields(FieldVisitor& visit) override {
    visit("width", width, "units of a hidden layer", between(1, 1 << 20));
    visit("layers", layers, "hidden layers, the first among them", between(1, 1024));
    visit("activation", activation,
          "of W h + b = z: sin ωz; finer: sin ω(|z| + 1)z; finer_detached: the same, but its gradient takes |z| + 1 for a "
          "constant; relu",
          Choices{"sine", "finer", "finer_detached", "relu"});
    visit("first_omega", first_omega, "ω of the first layer, of sine and finer", between(1e-3, 1e6));
    visit("omega", omega, "ω of the other hidden layers", between(1e-3, 1e6));
    visit.only(activation != "relu", "activation is not \"relu\"", {"first_omega", "omega"});
    visit("first_bias", first_bias, "biases of the first layer begin in (−k, k); 0: in ±1/√inputs, as those of all layers",
          between(0, 1e6));
    visit("encoding", encoding, "positional: sines and cosines of π, 2π, 4π, … times each coordinate take its place",
          Choices{"none", "positional"});
    visit("frequencies", frequencies, "of the positional encoding", between(1, 64));
    visit.only(encoding == "positional", "encoding = \"positional\"", {"frequencies"});
    visit("kernel", kernel,
          "of each scaled coordinate z: linear z; polynomial (z + 1)²; gaussian exp(−z²/2); laplacian exp(−|z|)",
          Choices{"linear", "polynomial", "gaussian", "laplacian"});
    visit("scale", scale, "factor s of the coordinates", between(1e-3, 1e6));
    visit("shift", shift, "mean: the mean of what is learned is added to each output, and not trained",
          Choices{"none", "mean"});
  }
};

// y = f(γ(k(s x))) + μ, with the kernel k of each number, the encoding γ and the mean μ of each output:
//   γ(z) = sin 2⁰πz, cos 2⁰πz, …, sin 2^(L−1)πz, cos 2^(L−1)πz                    Mildenhall et al. 2020, eq. 4
//   f    h₁ = σ(ω₁, W₁ γ + b₁),  hₙ = σ(ω, Wₙ hₙ₋₁ + bₙ),  y = W h + b
//   σ    sin ωz                                                                  Sitzmann et al. 2020 (SIREN), section 3
//        sin ω(|z| + 1)z                                                         Liu et al. 2024 (FINER)
//   s, μ                                                                         Zheng et al. 2025, arXiv 2504.04728
// Weights begin uniform: with sines W₁ in ±1/I and the others in ±√(6/inputs)/ω, so that ω W h has deviation 1 and h the
// distribution of a sine (SIREN, section 3.2); with relu in ±1/√inputs.
class Implicit : public Module {
 public:
  // `mean`: μ of each output, where the task knows it. Throws Error for options that are none, and where shift asks for a mean
  // that is not there.
  Implicit(const ImplicitOptions& options, int64_t inputs, int64_t outputs, const std::vector<double>& mean = {});
  Tensor forward(const Tensor& x) const;   // (…,I) → (…,O)

 private:
  const ImplicitOptions options_;
  std::vector<Linear*> layers_;   // the last one gives y
  Buffer* shift_ = nullptr;       // (O), never written; null without
};

}  // namespace tapir::nn

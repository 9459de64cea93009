// Focused linear attention, FLatten (Han et al. 2023, arXiv 2308.00442): features of linear attention that point more towards
// their largest channels, and a depthwise convolution of the values, which gives the map of weights the rank that sums over
// keys lack.
//   y_i = φ(q_i) Σ_j φ(k_j) v_jᵀ / φ(q_i)·Σ_j φ(k_j) + (w * V)_i
//   φ(x) = f(relu(x)),   f(x) = ‖x‖ xᵖ/‖xᵖ‖,  element by element
// The convolution is over the cells of a grid, centred. In a sequence it is over tokens: centred, and under a causal mask it
// ends at the query. The authors' code differs from the formula:
//   φ(x) = f((relu(x) + ε)/softplus(θ)), θ of each channel;  ‖·‖ over the channels of all heads;  keys have learned vectors of
//   their cells added first;  Σ_j (φ(q_i)·φ(k_j) + ε) divides;  w is one for all heads
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"
#include "attention/state_attention.h"

namespace tapir {

struct FlattenOptions : StateOptions {
  int64_t power = 3;    // p
  int64_t kernel = 5;
  std::string norm = "head";
  bool shared_kernel = false;
  bool channel_scale = false;
  bool key_positions = false;
  double epsilon = 0;

  void fields(nn::FieldVisitor& visit) override {
    visit("power", power, "p: how much features are focused; 1: not at all", nn::between(1, 64));
    visit("kernel", kernel, "side of the convolution's window of values, an odd number; 0: no convolution", nn::between(0, 63));
    visit("norm", norm, "channels that norms of features are over: a head's, or as in the authors' code those of all heads",
          {"head", "all"});
    visit("shared_kernel", shared_kernel, "one convolution for all heads, as in the authors' code, or one for each");
    visit.only(power > 1, "power is not 1", {"norm"});
    visit.only(kernel > 0, "kernel is not 0", {"shared_kernel"});
    visit("channel_scale", channel_scale, "queries and keys are divided by learned numbers, as in the authors' code");
    visit("key_positions", key_positions, "on a grid: learned vectors of the cells are added to keys, as in the authors' code");
    visit("epsilon", epsilon,
          "added to features before the power, and for each key to the sum that divides; the authors' code: 1e-6",
          nn::between(0, 1));
    StateOptions::fields(visit);
  }
};

// Throws Error for an even kernel, and for positions of keys where tokens are not on a grid.
std::unique_ptr<StateAttention> make_flatten(const FlattenOptions& options, const MixerShape& shape);
Mechanism flatten_row();

// f above, along the last axis; numbers of any size that are ≥ 0, and 0 gives 0.
Tensor focused(const Tensor& x, int64_t power);

}  // namespace tapir

// Sigmoid attention (Ramapuram et al. 2024, arXiv 2409.04431): each pair has a weight of its own, and keys do not compete.
//   a_ij = σ(q_i·k_j / √D + b + β_h),   b = −log n
// At first scores are near 0 and a_ij near 1/(n + 1), so a row of n keys sums to about 1; it need not later. n is how many keys
// query i may see, or the same number for every row. β_h starts at 0.
#pragma once
#include <memory>

#include "attention/mechanism.h"

namespace tapir {

struct SigmoidOptions : nn::Options {
  int64_t length = 0;
  bool learned = false;

  void fields(nn::FieldVisitor& visit) override {
    visit("length", length, "n of b = −log n; 0: as many keys as the query may see", nn::between(0, 1 << 30));
    visit("learned", learned, "a bias more, learnt, one for each head");
  }
};

std::unique_ptr<nn::TokenMixer> make_sigmoid(const SigmoidOptions& options, const MixerShape& shape);
Mechanism sigmoid_row();

}  // namespace tapir

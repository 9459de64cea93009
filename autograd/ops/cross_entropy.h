// Cross-entropy of logits and target classes: a sum over rows, not a mean (autograd/ops.h).
#pragma once
#include <cstdint>

#include "autograd/op_list.h"
#include "tensor/tensor.h"

namespace tapir {

// Σ_n −log softmax(logits_n)[target_n] over the rows whose target is not `ignored`; logits (…,V), targets i32 (…).
// label_smoothing ε in [0, 1]: the target distribution is (1 − ε) onehot + ε/V                  Szegedy et al. 2016, § 7
struct CrossEntropyOptions {
  int32_t ignored = -1;
  double label_smoothing = 0;
};
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options = {});

struct CrossEntropy;
using CrossEntropyOps = OpList<CrossEntropy>;
template <OneOf<CrossEntropyOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

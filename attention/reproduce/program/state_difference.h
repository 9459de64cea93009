// Where two states of a training differ, tensor by tensor.
#pragma once
#include <string>
#include <vector>

#include "nn/files/safetensors.h"

namespace tapir {

struct TensorDifference {
  std::string name;    // "model/blocks.0.attention.query.weight"
  std::string words;   // "[3, 5] 0.25 against 0.125, 1 of 64 numbers": where the difference is largest
};

// In the order of `a`; then what only `b` has. `tolerance`: relative to the largest number of the tensor in `a`; 0: every bit
// counts.
std::vector<TensorDifference> state_differences(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b,
                                                double tolerance);

}  // namespace tapir

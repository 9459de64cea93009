// The key `positions` of models of sequences, and the vectors of places that they add.
#pragma once
#include <string>

#include "nn/positions.h"
#include "tensor/tensor.h"

namespace tapir::nn {

// Those of that name that attention itself takes into account; none where the model adds vectors.
Positions attention_positions(const std::string& name);

// Wave vectors (nn/layers/waves.h) of places begin, begin + 1, …: (length,width) in f64.
Tensor sequence_waves(int64_t begin, int64_t length, int64_t width, Device device);

}  // namespace tapir::nn

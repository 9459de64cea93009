// A table of vectors. Letters: … any axes, V rows, C channels.
#pragma once
#include "nn/module.h"

namespace tapir::nn {

struct Embedding : Module {   // y = table[index]
  Embedding(int64_t rows, int64_t width, const Init& init, ParameterKind kind = ParameterKind::embedding);
  Tensor forward(const Tensor& indices) const;   // i32 (…) → (…,C)

  Parameter& weight;   // (V,C)
};

}  // namespace tapir::nn

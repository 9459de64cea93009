// Random fills. Element i (in row-major order) is a pure function of (key, i): not of threads, device or history. Values
// are computed in double and rounded once, so the f32 fill is the rounded f64 fill.
#pragma once
#include "tensor/philox.h"
#include "tensor/tensor.h"

namespace tapir {

// In place, y f32 or f64 and contiguous, numbers finite, low ≤ high and deviation ≥ 0 (else Error). Each counts as a write
// to y.
void uniform_(Tensor& y, double low, double high, const RandomKey& key);        // low < y_i < high, but for rounding
void normal_(Tensor& y, double mean, double deviation, const RandomKey& key);   // Box, Muller 1958; within 5.8 deviations
void truncated_normal_(Tensor& y, double mean, double deviation, const RandomKey& key);   // |y_i − mean| ≤ 2 deviations

}  // namespace tapir

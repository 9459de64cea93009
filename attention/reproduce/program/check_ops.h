// The gradient check of ops on the rows of examples that the tests sweep: the compiler demands a row for each op.
#pragma once
#include <cstdint>
#include <vector>

#include "attention/claims.h"
#include "autograd/examples/example.h"

namespace tapir {

// "gradient" and "double_gradient" over all rows of an op, in f64, along random directions; where the inputs are small,
// every element of the Jacobian. A fault is told with op, row, shapes, seed, argument, index, both values, and a guess.
std::vector<Proof> check_op(const OpExamples& op, uint64_t seed);

}  // namespace tapir

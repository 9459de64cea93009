// What leaves the program is finite: results, saved weights, logits that are drawn from, statistics.
#pragma once
#include <string_view>

#include "tensor/error.h"
#include "tensor/tensor.h"

namespace tapir {

struct NotFinite : Error {
  using Error::Error;
};

// Throws NotFinite "<where>: <what> is nan" unless the value is finite.
void require_finite(std::string_view where, std::string_view what, double value, std::string_view hint = {});

// Throws NotFinite "<where>: <what> has 3 NaN and 1 infinite among f32[16,16]" unless all elements are finite. Integers are.
void require_finite(std::string_view where, std::string_view what, const Tensor& tensor, std::string_view hint = {});

}  // namespace tapir

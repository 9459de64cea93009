#include "tensor/shape.h"

namespace tapir {

void Shape::refuse(const char* function) const {
  const bool negative = std::any_of(begin(), end(), [](int64_t extent) { return extent < 0; });
  throw Error(RunningOp::name_or(function), negative ? text("negative extent in shape ", *this)
                                                     : text("shape ", *this, " has more than 2⁶⁰ − 1 elements"));
}

void Shape::refuse_rank() { throw Error(RunningOp::name_or("shape"), text("a tensor has at most ", max_rank, " axes")); }

void Shape::refuse_axis(int axis, const char* function) const {
  throw Error(RunningOp::name_or(function), text("axis ", axis, " does not exist in shape ", *this));
}

}  // namespace tapir

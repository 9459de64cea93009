#include "autograd/operators.h"

namespace tapir {
namespace {

// The number as a tensor that x broadcasts with.
Tensor beside(const Tensor& x, double number) {
  require_same_kind("div", {&x});
  require_in(interval::numbers, "div", "number", number);
  return with_float("div", x.dtype(), [&](auto) { return Tensor::full({}, number, x.dtype(), x.device()); });
}

const Tensor& no_condition(const char* name, const Tensor& x) {
  require_defined(name, "x", x);
  require(x.dtype() != DType::u8, name, [&] { return text("a condition, ", x.dtype(), x.shape(), ", beside a number"); },
          "a < x < b is two conditions: where(a < x, where(x < b, y, z), z)");
  return x;
}

}  // namespace

Tensor operator/(const Tensor& x, Number number) { return div(x, beside(x, number)); }
Tensor operator/(Number number, const Tensor& x) { return div(beside(x, number), x); }

Tensor operator<(const Tensor& x, Number number) { return less(no_condition("less", x), number); }
Tensor operator<=(const Tensor& x, Number number) { return less_equal(no_condition("less_equal", x), number); }
Tensor operator>(const Tensor& x, Number number) { return greater(no_condition("greater", x), number); }
Tensor operator>=(const Tensor& x, Number number) { return greater_equal(no_condition("greater_equal", x), number); }

}  // namespace tapir

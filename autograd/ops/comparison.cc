// Comparisons, element by element.
#include "autograd/ops/comparison.h"

#include <functional>

#include "tensor/elementwise.h"

namespace tapir {
namespace {

template <class F> struct WithNumber {
  F compare;
  double number;
  template <class T> HD bool operator()(T x) const {
    using Common = std::conditional_t<std::is_floating_point_v<T>, T, double>;   // double has every i32 and u8
    return compare(static_cast<Common>(x), static_cast<Common>(number));
  }
};

template <class F> Tensor compared(const char* name, const F& compare, const Tensor& a, const Tensor& b) {
  require_same_kind(name, {&a, &b});
  Tensor y = Tensor::empty(broadcast(name, a.shape(), b.shape()), DType::u8, a.device());
  with_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T, T>(y, compare, with_dense_rows(a), with_dense_rows(b));
  });
  return y;
}

template <class F> Tensor compared(const char* name, const F& compare, const Tensor& x, Number number) {
  require_same_kind(name, {&x});
  require_in(interval::numbers, name, "number", number);
  Tensor y = Tensor::empty(x.shape(), DType::u8, x.device());
  with_type(x.dtype(), [&](auto zero) {
    map_into<uint8_t, decltype(zero)>(y, WithNumber<F>{compare, number}, with_dense_rows(x));
  });
  return y;
}

}  // namespace

Tensor less(const Tensor& a, const Tensor& b) { return compared("less", std::less<>(), a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) { return compared("less_equal", std::less_equal<>(), a, b); }
Tensor greater(const Tensor& a, const Tensor& b) { return compared("greater", std::greater<>(), a, b); }
Tensor greater_equal(const Tensor& a, const Tensor& b) { return compared("greater_equal", std::greater_equal<>(), a, b); }
Tensor equal(const Tensor& a, const Tensor& b) { return compared("equal", std::equal_to<>(), a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) { return compared("not_equal", std::not_equal_to<>(), a, b); }

Tensor less(const Tensor& x, Number number) { return compared("less", std::less<>(), x, number); }
Tensor less_equal(const Tensor& x, Number number) { return compared("less_equal", std::less_equal<>(), x, number); }
Tensor greater(const Tensor& x, Number number) { return compared("greater", std::greater<>(), x, number); }
Tensor greater_equal(const Tensor& x, Number number) { return compared("greater_equal", std::greater_equal<>(), x, number); }
Tensor equal(const Tensor& x, Number number) { return compared("equal", std::equal_to<>(), x, number); }
Tensor not_equal(const Tensor& x, Number number) { return compared("not_equal", std::not_equal_to<>(), x, number); }

}  // namespace tapir

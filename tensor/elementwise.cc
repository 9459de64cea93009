#include "tensor/elementwise.h"

namespace tapir {
namespace {

template <class T> struct Constant {
  T value;
  HD T operator()() const { return value; }
};

template <class Y> struct Convert {
  template <class X> HD Y operator()(X x) const { return static_cast<Y>(x); }
};

struct Plus {
  template <class T> HD T operator()(T a, T b) const { return a + b; }
};

template <class T> struct Times {
  T factor;
  HD T operator()(T x) const { return factor * x; }
};

void require_expands(const char* op, const Tensor& y, const Tensor& x) {
  require(broadcast(op, y.shape(), x.shape()) == y.shape(), op,
          [&] { return text("shape ", x.shape(), " does not expand to ", y.shape()); });
}

}  // namespace

void fill_(Tensor& y, double value) {
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T>(y, Constant<T>{static_cast<T>(value)});
  });
  y.wrote();
}

void copy_(Tensor& y, const Tensor& x) {
  require_expands("copy_", y, x);
  with_type(y.dtype(), [&](auto to) {
    with_type(x.dtype(), [&](auto from) { map_into<decltype(to), decltype(from)>(y, Convert<decltype(to)>{}, x); });
  });
  y.wrote();
}

void add_(Tensor& y, const Tensor& x) {
  require_same_kind("add_", {&y, &x});
  require_expands("add_", y, x);
  with_float("add_", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(y, Plus{}, y, x);
  });
  y.wrote();
}

void scale_(Tensor& y, double factor) {
  with_float("scale_", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T>(y, Times<T>{static_cast<T>(factor)}, y);
  });
  y.wrote();
}

}  // namespace tapir

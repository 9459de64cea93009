// Arithmetic with broadcasting. The engine sums each gradient to its input's shape (apply.h).
#include "autograd/apply.h"
#include "autograd/ops.h"
#include "tensor/elementwise.h"

namespace tapir {
namespace {

struct Plus { template <class T> HD T operator()(T a, T b) const { return a + b; } };
struct Minus { template <class T> HD T operator()(T a, T b) const { return a - b; } };
struct Times { template <class T> HD T operator()(T a, T b) const { return a * b; } };
struct Over { template <class T> HD T operator()(T a, T b) const { return a / b; } };
struct Larger { template <class T> HD T operator()(T a, T b) const { return a > b || a != a ? a : b; } };  // NaN passes
struct Smaller { template <class T> HD T operator()(T a, T b) const { return a < b || a != a ? a : b; } };
struct LargerShare { template <class T> HD T operator()(T a, T b) const { return a > b ? T(1) : a == b ? T(0.5) : T(0); } };

struct AffineOf {
  double factor, shift;
  template <class T> HD T operator()(T x) const { return static_cast<T>(factor) * x + static_cast<T>(shift); }
};

struct Choose { template <class T> HD T operator()(uint8_t c, T a, T b) const { return c ? a : b; } };

}  // namespace

// y = x;  dx = g
struct Identity {
  static constexpr const char* name = "identity";
  Tensor forward(const Tensor& x) { return x; }
  Gradients backward(const Tensor& g, const Backward&) const { return {g}; }
};
Tensor identity(const Tensor& x) { return apply(Identity{}, x); }

// y = a + b;  da = g,  db = g
struct Add {
  static constexpr const char* name = "add";
  static constexpr bool broadcasts = true;
  Tensor forward(const Tensor& a, const Tensor& b) { return map(name, Plus{}, a, b); }
  Gradients backward(const Tensor& g, const Backward&) const { return {g, g}; }
};
Tensor add(const Tensor& a, const Tensor& b) { return apply(Add{}, a, b); }

// y = a − b;  da = g,  db = −g
struct Sub {
  static constexpr const char* name = "sub";
  static constexpr bool broadcasts = true;
  Tensor forward(const Tensor& a, const Tensor& b) { return map(name, Minus{}, a, b); }
  Gradients backward(const Tensor& g, const Backward& at) const { return {g, at.needs(1) ? neg(g) : Tensor()}; }
};
Tensor sub(const Tensor& a, const Tensor& b) { return apply(Sub{}, a, b); }

// y = a b;  da = g b,  db = g a
struct Mul {
  static constexpr const char* name = "mul";
  static constexpr bool broadcasts = true;
  Saved a, b;
  Tensor forward(const Tensor& a_, const Tensor& b_) {
    a = a_;
    b = b_;
    return map(name, Times{}, a_, b_);
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    return {at.needs(0) ? mul(g, *b) : Tensor(), at.needs(1) ? mul(g, *a) : Tensor()};
  }
};
Tensor mul(const Tensor& a, const Tensor& b) { return apply(Mul{}, a, b); }

// y = a / b;  da = g / b,  db = −g y / b
struct Div {
  static constexpr const char* name = "div";
  static constexpr bool broadcasts = true;
  Saved b;
  SavedOutput y;
  Tensor forward(const Tensor& a, const Tensor& b_) {
    const Tensor quotient = map(name, Over{}, a, b_);
    b = b_;
    y = quotient;
    return quotient;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor da = div(g, *b);
    return {da, at.needs(1) ? neg(mul(da, at.output(y))) : Tensor()};
  }
};
Tensor div(const Tensor& a, const Tensor& b) { return apply(Div{}, a, b); }

// y = factor x + shift;  dx = factor g
struct Affine {
  static constexpr const char* name = "affine";
  double factor, shift;
  Tensor forward(const Tensor& x) { return map(name, AffineOf{factor, shift}, x); }
  Gradients backward(const Tensor& g, const Backward&) const { return {affine(g, factor, 0)}; }
};
Tensor affine(const Tensor& x, double factor, double shift) { return apply(Affine{factor, shift}, x); }

// y = max(a, b);  da = g share,  db = g (1 − share);  share = 1 where a > b, ½ where a = b, else 0
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr bool broadcasts = true;
  Saved a, b;
  Tensor forward(const Tensor& a_, const Tensor& b_) {
    a = a_;
    b = b_;
    return map(name, Larger{}, a_, b_);
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor share = map(name, LargerShare{}, *a, *b);
    return {mul(g, share), mul(g, affine(share, -1, 1))};
  }
};
Tensor maximum(const Tensor& a, const Tensor& b) { return apply(Maximum{}, a, b); }

// y = min(a, b);  the shares of max, exchanged
struct Minimum {
  static constexpr const char* name = "minimum";
  static constexpr bool broadcasts = true;
  Saved a, b;
  Tensor forward(const Tensor& a_, const Tensor& b_) {
    a = a_;
    b = b_;
    return map(name, Smaller{}, a_, b_);
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor share_of_b = map(name, LargerShare{}, *a, *b);
    return {mul(g, affine(share_of_b, -1, 1)), mul(g, share_of_b)};
  }
};
Tensor minimum(const Tensor& a, const Tensor& b) { return apply(Minimum{}, a, b); }

// y = c ? a : b;  da = c ? g : 0,  db = c ? 0 : g
struct Where {
  static constexpr const char* name = "where";
  static constexpr bool broadcasts = true;
  Tensor condition;
  Tensor forward(const Tensor& a, const Tensor& b) {
    require_same_kind(name, {&a, &b});
    require(condition.dtype() == DType::u8, name,
            [&] { return text("the condition must be u8, got ", condition.dtype()); });
    const Shape shape = broadcast(name, condition.shape(), broadcast(name, a.shape(), b.shape()));
    Tensor y = Tensor::empty(shape, a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      map_into<T, uint8_t, T, T>(y, Choose{}, condition, a, b);
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor zero = Tensor::zeros({}, g.dtype(), g.device());
    return {where(condition, g, zero), where(condition, zero, g)};
  }
};
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) { return apply(Where{condition}, a, b); }

}  // namespace tapir

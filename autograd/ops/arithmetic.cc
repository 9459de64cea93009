// Arithmetic with broadcasting. The engine sums each gradient to its input's shape (apply.h).
#include "autograd/ops/arithmetic.h"

#include "autograd/apply.h"
#include "autograd/ops/chained.h"
#include "autograd/ops/unary.h"
#include "tensor/elementwise.h"
#include "tensor/scalar_math.h"

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

struct GatedTimes { template <class T> HD T operator()(T g, T slope) const { return chained(g, slope); } };
template <int k> struct PowerOf {
  template <class T> HD T operator()(T a, T b) const { return math::pow<k>(a, static_cast<double>(b)); }
};

struct HiddenSlope { template <class T> HD uint8_t operator()(T g, T h) const { return g == T(0) && h - h != T(0); } };

// 1 where the condition holds
template <class Condition>
Tensor mask_where(const char* op, const Condition& condition, const Tensor& a, const Tensor& b) {
  Tensor mask = Tensor::empty(broadcast(op, a.shape(), b.shape()), DType::u8, a.device());
  with_float(op, a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T, T>(mask, condition, a, b);
  });
  return mask;
}

// aᵇ log a is 0 where aᵇ is, and is taken to be at 0⁰.
struct NoSlopeByExponent {
  template <class T> HD uint8_t operator()(T a, T b) const {
    return a == T(0) ? b >= T(0) : a == math::Format<T>::infinity && b < T(0);
  }
};

// a, but 1, whose logarithm is 0, where that is the slope
Tensor base_with_slope(const Tensor& a, const Tensor& b) {
  return where(mask_where("pow", NoSlopeByExponent{}, a, b), Tensor::full({}, 1, a.dtype(), a.device()), a);
}

struct Choose { template <class T> HD T operator()(uint8_t c, T a, T b) const { return c ? a : b; } };

}  // namespace

// y = x;  dx = g
struct Identity {
  static constexpr const char* name = "identity";
  Tensor forward(const Tensor& x) { return x; }
  Gradients backward(const Tensor& g, const Backward&) const { return {g}; }
};
Tensor identity(const Tensor& x) { return apply(Identity{}, x); }

// y = x, row-major in memory;  dx = g
struct Contiguous {
  static constexpr const char* name = "contiguous";
  Tensor forward(const Tensor& x) { return x.contiguous(); }
  Gradients backward(const Tensor& g, const Backward&) const { return {g}; }
};
Tensor contiguous(const Tensor& x) { return apply(Contiguous{}, x); }

// y = x, in memory of its own;  dx = g
struct Copy {
  static constexpr const char* name = "copy";
  Tensor forward(const Tensor& x) { return x.copy(); }
  Gradients backward(const Tensor& g, const Backward&) const { return {g}; }
};
Tensor copy(const Tensor& x) { return apply(Copy{}, x); }

// y = x as another type;  dx = g as the type of x
struct To {
  static constexpr const char* name = "to";
  DType type, from{};
  Tensor forward(const Tensor& x) {
    from = x.dtype();
    require(
        x.node == nullptr || type == DType::f32 || type == DType::f64, name,
        [&] { return text("whole numbers have no gradient: ", from, x.shape(), " to ", type); },
        "use Tensor::to of detach()");
    return x.to(type);
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {to(g, from)}; }
};
Tensor to(const Tensor& x, DType type) { return apply(To{type}, x); }

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
    return {at.needs(0) ? chain(g, *b) : Tensor(), at.needs(1) ? chain(g, *a) : Tensor()};
  }
};
Tensor mul(const Tensor& a, const Tensor& b) { return apply(Mul{}, a, b); }

// y = g s as in chained.h;  dg = h s,  ds = h g, and 0 where g = 0 and h, which brings the slopes of slopes, is infinite or
// NaN: no output depends on s there. Where h is finite the product stands, for the derivatives after these.
struct Chain {
  static constexpr const char* name = "chain";
  static constexpr bool broadcasts = true;
  Saved g, slope;
  Tensor forward(const Tensor& g_, const Tensor& slope_) {
    g = g_;
    slope = slope_;
    return map(name, GatedTimes{}, g_, slope_);
  }
  Gradients backward(const Tensor& h, const Backward& at) const {
    Tensor dg, ds;
    if (at.needs(0)) dg = chain(h, *slope);
    if (at.needs(1)) {
      const Tensor zero = Tensor::zeros({}, h.dtype(), h.device());
      ds = where(mask_where(name, HiddenSlope{}, *g, h), zero, chain(h, *g));
    }
    return {dg, ds};
  }
};
Tensor chain(const Tensor& g, const Tensor& slope) { return apply(Chain{}, g, slope); }

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
    const Tensor da = chain(g, reciprocal(*b));
    return {da, at.needs(1) ? neg(chain(da, at.output(y))) : Tensor()};
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
Tensor affine(const Tensor& x, Number factor, Number shift) {
  require_in(interval::numbers, Affine::name, "factor", factor);
  require_in(interval::numbers, Affine::name, "shift", shift);
  return apply(Affine{factor, shift}, x);
}

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
    return {chain(share, g), chain(affine(share, -1, 1), g)};
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
    return {chain(affine(share_of_b, -1, 1), g), chain(share_of_b, g)};
  }
};
Tensor minimum(const Tensor& a, const Tensor& b) { return apply(Minimum{}, a, b); }

// y = (b)ₖ aᵇ⁻ᵏ, the k-th derivative of aᵇ by a, (b)ₖ = b (b − 1) … (b − k + 1);  da = g (b)ₖ₊₁ aᵇ⁻ᵏ⁻¹,
// db = g aᵇ⁻ᵏ ((b)ₖ′ + (b)ₖ log a);  for k = 0 db is 0 where a = 0 and b ≥ 0
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr bool broadcasts = true;
  int k = 0;
  Saved a{}, b{};
  SavedOutput y{};
  Tensor forward(const Tensor& a_, const Tensor& b_) {
    a = a_;
    b = b_;
    const Tensor power = k == 0   ? map(name, PowerOf<0>{}, a_, b_)
                         : k == 1 ? map(name, PowerOf<1>{}, a_, b_)
                                  : map(name, PowerOf<2>{}, a_, b_);
    y = power;
    return power;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const auto minus = [&](int i) { return affine(*b, 1, -i); };
    Tensor falling = Tensor::full({}, 1, g.dtype(), g.device()), slope = Tensor::zeros({}, g.dtype(), g.device());
    for (int i = 0; i < k; ++i) {   // (b)ₖ and its derivative
      slope = add(mul(slope, minus(i)), falling);
      falling = mul(falling, minus(i));
    }
    Tensor da, db;
    if (at.needs(0)) da = k < 2 ? apply(Pow{k + 1}, *a, *b) : mul(mul(falling, minus(k)), pow(*a, minus(k + 1)));
    if (at.needs(1)) {
      db = k == 0 ? chain(at.output(y), log(base_with_slope(*a, *b)))
                  : chain(pow(*a, minus(k)), add(slope, chain(falling, log(*a))));
    }
    return {da.defined() ? chain(g, da) : da, db.defined() ? chain(g, db) : db};
  }
};
Tensor pow(const Tensor& a, const Tensor& b) { return apply(Pow{}, a, b); }

// y = c ? a : b;  da = c ? g : 0,  db = c ? 0 : g
struct Where {
  static constexpr const char* name = "where";
  static constexpr bool broadcasts = true;
  Saved condition;
  Tensor forward(const Tensor& a, const Tensor& b) {
    require_same_kind(name, {&a, &b});
    require_defined(name, "the condition", *condition);
    require(condition->dtype() == DType::u8, name,
            [&] { return text("the condition must be u8, got ", condition->dtype()); });
    require(condition->device() == a.device(), name,
            [&] { return text("the condition is on ", condition->device(), ", the others on ", a.device()); });
    const auto misfit = [&] {
      return text("shapes do not broadcast: ", condition->shape(), ", ", a.shape(), " and ", b.shape());
    };
    const Shape shape = broadcast(name, condition->shape(), broadcast(name, a.shape(), b.shape(), misfit), misfit);
    Tensor y = Tensor::empty(shape, a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      map_into<T, uint8_t, T, T>(y, Choose{}, *condition, a, b);
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor zero = Tensor::zeros({}, g.dtype(), g.device());
    return {where(*condition, g, zero), where(*condition, zero, g)};
  }
};
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) { return apply(Where{condition}, a, b); }

}  // namespace tapir

// Losses of x and a target of the same shape, summed over elements: y = Σ f(x_i, t_i), dx_i = g ∂f/∂x, dt_i = g ∂f/∂t.
#include "autograd/ops/pair_loss.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"
#include "tensor/elementwise.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir {
namespace loss {

struct Slopes { Tensor x, t; };   // ∂f/∂x and ∂f/∂t of ops, for second derivatives

// f = d², d = x − t
struct SquaredError {
  static constexpr const char* name = "squared_error";
  template <class T> HD_INLINE T f(T x, T t) const { return (x - t) * (x - t); }
  template <class T> HD_INLINE T dx(T x, T t) const { return T(2) * (x - t); }
  template <class T> HD_INLINE T dt(T x, T t) const { return T(-2) * (x - t); }
  Slopes slopes(const Tensor& x, const Tensor& t) const { return {affine(sub(x, t), 2, 0), affine(sub(x, t), -2, 0)}; }
};

struct Sign { template <class T> HD T operator()(T x, T t) const { return math::sign(x - t); } };

// f = |d|
struct L1 {
  static constexpr const char* name = "l1";
  template <class T> HD_INLINE T f(T x, T t) const { return math::abs(x - t); }
  template <class T> HD_INLINE T dx(T x, T t) const { return math::sign(x - t); }
  template <class T> HD_INLINE T dt(T x, T t) const { return -math::sign(x - t); }
  Slopes slopes(const Tensor& x, const Tensor& t) const {
    const Tensor sign = map(name, Sign{}, x, t);
    return {sign, neg(sign)};
  }
};

// f = c (d − c/2)/β, c = d clamped to [−β, β];  ∂f/∂d = c/β
struct SmoothL1 {
  static constexpr const char* name = "smooth_l1";
  double beta;
  template <class T> HD_INLINE T slope(T d) const { return math::clamp(d / T(beta), T(-1), T(1)); }
  template <class T> HD_INLINE T f(T x, T t) const {
    return slope(x - t) * ((x - t) - T(0.5) * T(beta) * slope(x - t));
  }
  template <class T> HD_INLINE T dx(T x, T t) const { return slope(x - t); }
  template <class T> HD_INLINE T dt(T x, T t) const { return -slope(x - t); }
  Slopes slopes(const Tensor& x, const Tensor& t) const {
    const Tensor dx = clamp(div(sub(x, t), Tensor::full({}, beta, x.dtype(), x.device())), -1, 1);
    return {dx, neg(dx)};
  }
};

// f = log(1 + eˣ) − t x, from e^−|x| so that the tails are exact;  ∂f/∂x = (1 − t) σ(x) − t σ(−x)
struct BceWithLogits {
  static constexpr const char* name = "bce_with_logits";
  template <class T> HD_INLINE T f(T x, T t) const {
    return math::select(x > T(0), math::gated(x, T(1) - t), math::gated(-x, t)) + math::log1p(math::exp(-math::abs(x)));
  }
  template <class T> HD_INLINE T dx(T x, T t) const { return (T(1) - t) * math::sigmoid(x) - t * math::sigmoid(-x); }
  template <class T> HD_INLINE T dt(T x, T) const { return -x; }
  Slopes slopes(const Tensor& x, const Tensor& t) const {
    return {sub(mul(affine(t, -1, 1), sigmoid(x)), mul(t, sigmoid(neg(x)))), neg(x)};
  }
};

struct NonZero { template <class T> HD uint8_t operator()(T x) const { return x != T(0); } };

// f = p (log p − log q), 0 where p = 0, whatever q is. There ∂f/∂p is 0 too, not −∞: behind a softmax that underflowed to 0
// comes a factor of 0.
struct KlDiv {
  static constexpr const char* name = "kl_div";
  template <class T> HD_INLINE T f(T log_q, T p) const { return math::select(p == T(0), T(0), p * (math::log(p) - log_q)); }
  template <class T> HD_INLINE T dx(T, T p) const { return -p; }
  template <class T> HD_INLINE T dt(T log_q, T p) const {
    return math::select(p == T(0), T(0), math::log(p) + T(1) - log_q);
  }
  Slopes slopes(const Tensor& log_q, const Tensor& p) const {
    Tensor some = Tensor::empty(p.shape(), DType::u8, p.device());
    with_float(name, p.dtype(), [&](auto zero) { map_into<uint8_t, decltype(zero)>(some, NonZero{}, p); });
    return {neg(p), where(some, sub(affine(log(p), 1, 1), log_q), Tensor::zeros({}, p.dtype(), p.device()))};
  }
};

}  // namespace loss

namespace {

template <class T, class F> struct Term {
  F loss;
  const T *x, *target;
  HD T operator()(int64_t i) const { return loss.f(x[i], target[i]); }
};

template <class T, class F> struct SlopeInX {
  F loss;
  const T *x, *target, *g;
  T* dx;
  HD void operator()(int64_t i) const { dx[i] = math::gated(loss.dx(x[i], target[i]), *g); }
};

template <class T, class F> struct SlopeInTarget {
  F loss;
  const T *x, *target, *g;
  T* dt;
  HD void operator()(int64_t i) const { dt[i] = math::gated(loss.dt(x[i], target[i]), *g); }
};

}  // namespace

template <class F> struct PairLoss {
  static constexpr const char* name = F::name;
  F loss{};
  Saved x{}, target{};

  Tensor forward(const Tensor& x_, const Tensor& target_) {
    require_same_kind(name, {&x_, &target_});
    require(x_.shape() == target_.shape(), name,
            [&] { return text("both tensors must have one shape, got ", x_.shape(), " and ", target_.shape()); });
    x = x_;
    target = target_;
    const Tensor a = x_.contiguous(), t = target_.contiguous(), total = Tensor::empty({}, a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      full_sum(a.device(), a.elements(), Term<T, F>{loss, a.data<T>(), t.data<T>()}, total.data<T>());
    });
    return total;
  }

  Gradients backward(const Tensor& g, const Backward& at) const {
    if (at.create_graph) {
      const loss::Slopes slopes = loss.slopes(*x, *target);
      return {chain(g, slopes.x), chain(g, slopes.t)};
    }
    const Tensor a = x->contiguous(), t = target->contiguous();
    const Tensor dx = Tensor::empty(a.shape(), a.dtype(), a.device()), dt = Tensor::empty(a.shape(), a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *ap = a.data<T>(), *tp = t.data<T>(), *gp = g.data<T>();
      if (at.needs(0)) for_each(a.device(), a.elements(), SlopeInX<T, F>{loss, ap, tp, gp, dx.data<T>()});
      if (at.needs(1)) for_each(a.device(), a.elements(), SlopeInTarget<T, F>{loss, ap, tp, gp, dt.data<T>()});
    });
    return {dx, dt};
  }
};

Tensor squared_error(const Tensor& x, const Tensor& target) { return apply(PairLoss<loss::SquaredError>{}, x, target); }
Tensor l1(const Tensor& x, const Tensor& target) { return apply(PairLoss<loss::L1>{}, x, target); }
Tensor bce_with_logits(const Tensor& x, const Tensor& target) { return apply(PairLoss<loss::BceWithLogits>{}, x, target); }
Tensor kl_div(const Tensor& log_q, const Tensor& p) { return apply(PairLoss<loss::KlDiv>{}, log_q, p); }

Tensor smooth_l1(const Tensor& x, const Tensor& target, Number beta) {
  require_in(interval::positive, loss::SmoothL1::name, "beta", beta);
  return apply(PairLoss<loss::SmoothL1>{{beta}}, x, target);
}

}  // namespace tapir

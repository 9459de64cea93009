// Running totals along an axis. Letters: N lines before the axis, T places along it, C columns behind it.
#include "autograd/ops/scan.h"

#include <cmath>
#include <limits>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir {
namespace {

template <class T> struct SumScan {
  using State = T;
  const T* x;
  T* y;
  HD State element(int64_t i) const { return x[i]; }
  HD static State join(State before, State after) { return before + after; }
  HD void store(int64_t i, State total) const { y[i] = total; }
};

// Σ exp x = sum exp(max): no exponential overflows, and a total of nothing, or of −inf alone, is −inf. Its logarithm is
// y + low, low what rounding took from y.
template <class T> struct LogSumExpScan {
  struct State {
    T max = -std::numeric_limits<T>::infinity(), sum = 0;
  };
  const T* x;
  T *low, *y;
  HD State element(int64_t i) const { return {x[i], T(1)}; }
  HD static State join(State a, State b) {
    const T smaller = a.max == b.max ? T(1) : math::exp(-math::abs(a.max - b.max));
    return {b.max > a.max ? b.max : a.max, b.max > a.max ? a.sum * smaller + b.sum : a.sum + b.sum * smaller};
  }
  HD void store(int64_t i, State total) const {
    const T log_sum = math::log(total.sum), sum = total.max + log_sum, added = sum - total.max;
    const T lost = (total.max - (sum - added)) + (log_sum - added);
    y[i] = sum;
    low[i] = sum - sum == T(0) ? lost : T(0);
  }
};

// The map y ↦ a y + b; one after the other: a₂ (a₁ y + b₁) + b₂
template <class T> struct RecurrenceScan {
  struct State {
    T a = 1, b = 0;
  };
  const T *a, *b;
  T* y;
  HD State element(int64_t i) const { return {a[i], b[i]}; }
  HD static State join(State first, State then) { return {first.a * then.a, then.a * first.b + then.b}; }
  HD void store(int64_t i, State total) const { y[i] = total.b; }
};

// Runs Kernel{inputs…, y} over (N, T, C).
template <template <class> class Kernel, class... Inputs>
Tensor scan_along(const char* op, int axis, bool reverse, const Tensor& x, const Inputs&... more) {
  axis = normal_axis(op, axis, x.shape());
  int64_t outer = 1, inner = 1;
  for (int a = 0; a < axis; ++a) outer *= x.size(a);
  for (int a = axis + 1; a < x.rank(); ++a) inner *= x.size(a);
  const Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const auto run = [&](const auto&... dense) {
    with_float(op, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      scan(x.device(), outer, x.size(axis), inner, reverse, Kernel<T>{dense.template data<T>()..., y.data<T>()});
    });
  };
  run(x.contiguous(), more.contiguous()...);
  return y;
}

// All but the first or the last along an axis, and 0 in place of the first or the last.
Tensor without(bool first, const Tensor& x, int axis) { return slice(x, axis, first ? 1 : 0, x.size(axis) - 1); }
Tensor with_zero(bool first, const Tensor& x, int axis) { return pad(x, axis, first ? 1 : 0, first ? 0 : 1); }

}  // namespace

// y_t = Σ_{s ≤ t} x_s, or s ≥ t in reverse;  dx = the sum of g the other way
struct CumSum {
  static constexpr const char* name = "cumsum";
  int axis;
  bool reverse;
  Tensor forward(const Tensor& x) { return scan_along<SumScan>(name, axis, reverse, x); }
  Gradients backward(const Tensor& g, const Backward&) const { return {cumsum(g, axis, !reverse)}; }
};
Tensor cumsum(const Tensor& x, Axis axis, Flag reverse) { return apply(CumSum{axis, reverse}, x); }

// y_t = a_t y_{t−1} + b_t (y_{t+1} in reverse), 0 beyond the end;
// db is the recurrence of g the other way:  db_t = g_t + a_{t+1} db_{t+1},  da_t = db_t y_{t−1}
struct LinearRecurrence {
  static constexpr const char* name = "linear_recurrence";
  int axis;
  bool reverse;
  Saved a{};
  SavedOutput y{};
  Tensor forward(const Tensor& a_, const Tensor& b) {
    require_same_kind(name, {&a_, &b});
    require(a_.shape() == b.shape(), name, [&] { return text("shapes differ: ", a_.shape(), " and ", b.shape()); });
    a = a_;
    const Tensor result = scan_along<RecurrenceScan>(name, axis, reverse, a_, b);
    y = result;
    return result;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    if (g.size(axis) == 0) return {g, g};
    const bool begins = !reverse;   // y begins with the first
    const Tensor db = linear_recurrence(with_zero(!begins, without(begins, *a, axis), axis), g, axis, !reverse);
    return {with_zero(begins, mul(without(begins, db, axis), without(!begins, at.output(y), axis)), axis), db};
  }
};
Tensor linear_recurrence(const Tensor& a, const Tensor& b, Axis axis, Flag reverse) {
  return apply(LinearRecurrence{axis, reverse}, a, b);
}

// y_t = log Σ_{s ≤ t} exp x_s;  dx_s = Σ_{t ≥ s} g_t exp(x_s − y_t) = exp(x_s − y_s) r_s,
// r_s = g_s + exp(y_s − y_{s+1}) r_{s+1}: no exponent is positive. y is y + low here, so that large x keep their weights.
struct LogCumSumExp {
  static constexpr const char* name = "logcumsumexp";
  int axis;
  Saved x{};
  SavedOutput y{};
  Saved low{};
  Tensor forward(const Tensor& x_) {
    x = x_;
    low = Tensor::empty(x_.shape(), x_.dtype(), x_.device());
    const Tensor result = scan_along<LogSumExpScan>(name, axis, false, x_, *low);
    y = result;
    return result;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    if (g.size(axis) == 0) return {g};
    const Tensor total = finite(at.output(y));
    const Tensor largest = finite(Tensor::full({}, HUGE_VAL, g.dtype(), g.device()));
    const auto step = [&](const Tensor& t) { return sub(without(false, t, axis), without(true, t, axis)); };
    const Tensor decay = with_zero(false, exp(add(step(total), step(*low))), axis);
    return {mul(linear_recurrence(decay, g, axis, true), exp(sub(sub(minimum(*x, largest), total), *low)))};
  }
};
Tensor logcumsumexp(const Tensor& x, Axis axis) { return apply(LogCumSumExp{axis}, x); }

}  // namespace tapir

// Softmax and its kin, along the last axis.
#include "autograd/ops/softmax.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir {
namespace {

// A_s = exp(E_s − max) / Σ over allowed keys; forbidden keys are not read and get 0. A row without allowed keys is 0.
template <class T> struct SoftmaxRow {
  const T* e;
  T* a;
  int64_t n;
  MaskView mask;

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t t = row % mask.queries, first = mask.first(t), seen = mask.limit(t) - first, behind = first + seen;
    const T* x = e + row * n + first;
    T* y = a + row * n + first;
    const T none = -std::numeric_limits<T>::infinity();
    const uint8_t* present = mask.present_in(row, first);
    if (present) {
      const T m = team.max(seen, [&](int64_t i) { return present[i] ? x[i] : none; });
      const T shift = m == none ? T(0) : m;
      team.each(seen, [&](int64_t i) { y[i] = present[i] ? math::exp(x[i] - shift) : T(0); });
    } else {
      const T m = team.max(seen, [&](int64_t i) { return x[i]; });
      const T shift = m == none ? T(0) : m;
      team.each(seen, [&](int64_t i) { y[i] = math::exp(x[i] - shift); });
    }
    const T total = team.sum(seen, [&](int64_t i) { return y[i]; });
    const T factor = total == T(0) ? T(0) : T(1) / total;
    if (present && factor != factor)   // NaN reaches every allowed key, however small its weight is, and no other
      team.each(seen, [&](int64_t i) { y[i] = present[i] ? factor : T(0); });
    else
      team.each(seen, [&](int64_t i) { y[i] *= factor; });
    team.each(first, [&](int64_t i) { y[i - first] = T(0); });
    team.each(n - behind, [&](int64_t i) { y[seen + i] = T(0); });
  }
};

// dE_s = A_s (g_s − Σ g A), 0 where A_s = 0 whatever the others are
template <class T> struct SoftmaxBackwardRow {
  const T *g, *a;
  T* de;
  int64_t n;
  MaskView mask;

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t t = row % mask.queries, first = mask.first(t), seen = mask.limit(t) - first, behind = first + seen;
    const T *gr = g + row * n + first, *y = a + row * n + first;
    T* dx = de + row * n + first;
    const T dot = team.sum(seen, [&](int64_t i) { return math::gated(gr[i], y[i]); });
    team.each(seen, [&](int64_t i) { dx[i] = math::gated(gr[i] - dot, y[i]); });
    team.each(first, [&](int64_t i) { dx[i - first] = T(0); });
    team.each(n - behind, [&](int64_t i) { dx[seen + i] = T(0); });
  }
};

// y = shift + log total: large x lose no digits to the logarithm where both are kept
template <class T> struct LogSumExpRow {
  const T* x;
  T *y, *shifts, *totals;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    const T m = team.max(n, [&](int64_t i) { return a[i]; });
    const T shift = m - m == T(0) ? m : T(0);   // ±inf must not meet itself
    const T total = team.sum(n, [&](int64_t i) { return math::exp(a[i] - shift); });
    y[row] = shift + math::log(total);
    shifts[row] = shift;
    totals[row] = total;
  }
};

// dx = g exp(x − shift) / total; where x is ∞ the weight is shared among those that are
template <class T> struct LogSumExpBackwardRow {
  const T *g, *x, *shifts, *totals;
  T* dx;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    T* out = dx + row * n;
    const T shift = shifts[row], total = totals[row], infinity = std::numeric_limits<T>::infinity();
    if (total == infinity) {
      const T largest = team.sum(n, [&](int64_t i) { return a[i] == infinity ? T(1) : T(0); });
      team.each(n, [&](int64_t i) { out[i] = a[i] == infinity ? g[row] / largest : T(0); });
    } else {
      const T factor = total == T(0) ? T(0) : g[row] / total;
      team.each(n, [&](int64_t i) { out[i] = math::exp(a[i] - shift) * factor; });
    }
  }
};

// y = (x − max) − log Σ exp(x − max): large x lose no digits to a large logarithm. A row of −inf stays −inf, as the
// logarithm of the weights 0 that softmax gives it.
template <class T> struct LogSoftmaxRow {
  const T* x;
  T* y;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    T* out = y + row * n;
    const T largest = team.max(n, [&](int64_t i) { return a[i]; });
    const T m = largest == -std::numeric_limits<T>::infinity() ? T(0) : largest;
    const T total = team.sum(n, [&](int64_t i) { return math::exp(a[i] - m); });
    const T log_total = math::log(total == T(0) ? T(1) : total);
    team.each(n, [&](int64_t i) { out[i] = (a[i] - m) - log_total; });
  }
};

// dx = g − exp(y) Σ g
template <class T> struct LogSoftmaxBackwardRow {
  const T *g, *y;
  T* dx;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T *gr = g + row * n, *b = y + row * n;
    T* out = dx + row * n;
    const T total = team.sum(n, [&](int64_t i) { return gr[i]; });
    team.each(n, [&](int64_t i) { out[i] = gr[i] - math::gated(math::exp(b[i]), total); });
  }
};

int64_t last_axis(const char* op, const Tensor& x) {
  require(x.rank() >= 1, op, [&] { return text("needs at least one axis, got shape ", x.shape()); });
  return x.size(-1);
}

// No mask: all rows belong to one batch and head.
MaskView unmasked(const Tensor& x) { return {false, 0, 1, std::max<int64_t>(1, x.elements()), x.size(-1), nullptr}; }

}  // namespace

// A = softmax(E) over the allowed keys;  dE = A (g − Σ_s g A)
struct Softmax {
  static constexpr const char* name = "softmax";
  std::optional<SavedMask> mask;
  SavedOutput y;

  Tensor forward(const Tensor& x_) {
    const int64_t n = last_axis(name, x_);
    const Tensor x = x_.contiguous();
    const Tensor a = Tensor::empty(x.shape(), x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (n > 0) for_each_row(x.device(), x.elements() / n, n, SoftmaxRow<T>{x.data<T>(), a.data<T>(), n, mask_of(x)});
    });
    y = a;
    return a;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor a = at.output(y);
    if (at.create_graph) {
      const Tensor weighted = chain(a, g_);
      return {sub(weighted, chain(a, sum(weighted, -1, true)))};
    }
    const Tensor g = g_.contiguous(), dx = Tensor::empty(g.shape(), g.dtype(), g.device());
    const int64_t n = g.size(-1);
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (n > 0)
        for_each_row(g.device(), g.elements() / n, n,
                     SoftmaxBackwardRow<T>{g.data<T>(), a.data<T>(), dx.data<T>(), n, mask_of(a)});
    });
    return {dx};
  }

 private:
  MaskView mask_of(const Tensor& x) const { return mask ? view_of(name, **mask, x.shape(), x.device()) : unmasked(x); }
};
Tensor softmax(const Tensor& x) { return apply(Softmax{std::nullopt, {}}, x); }
Tensor softmax(const Tensor& scores, const Mask& mask) { return apply(Softmax{mask.dense(), {}}, scores); }

// y = log Σ exp x;  dx = g softmax(x)
struct LogSumExp {
  static constexpr const char* name = "logsumexp";
  Saved x{};
  Saved shifts{}, totals{};   // of each row
  Tensor forward(const Tensor& x_) {
    const int64_t n = last_axis(name, x_);
    const Tensor dense = x_.contiguous();
    const Shape shape = x_.shape().without(-1);
    const Tensor y = Tensor::empty(shape, x_.dtype(), x_.device());
    shifts = Tensor::empty(shape, x_.dtype(), x_.device());
    totals = Tensor::empty(shape, x_.dtype(), x_.device());
    with_float(name, x_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(x_.device(), shape.elements(), n,
                   LogSumExpRow<T>{dense.data<T>(), y.data<T>(), shifts->data<T>(), totals->data<T>(), n});
    });
    x = x_;
    return y;
  }
  Gradients backward(const Tensor& g_, const Backward& at) const {
    if (at.create_graph) {
      const Tensor weights = softmax(minimum(*x, finite(Tensor::full({}, HUGE_VAL, g_.dtype(), g_.device()))));
      return {mul(reshape(g_, x->shape().with(-1, 1)), weights)};
    }
    const Tensor g = g_.contiguous(), a = x->contiguous(), dx = Tensor::empty(a.shape(), g.dtype(), g.device());
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(g.device(), g.elements(), a.size(-1),
                   LogSumExpBackwardRow<T>{g.data<T>(), a.data<T>(), shifts->data<T>(), totals->data<T>(), dx.data<T>(),
                                           a.size(-1)});
    });
    return {dx};
  }
};
Tensor logsumexp(const Tensor& x) { return apply(LogSumExp{}, x); }

// y = x − log Σ exp x;  dx = g − exp(y) Σ g
struct LogSoftmax {
  static constexpr const char* name = "log_softmax";
  SavedOutput y;
  Tensor forward(const Tensor& x_) {
    const int64_t n = last_axis(name, x_);
    const Tensor x = x_.contiguous(), result = Tensor::empty(x.shape(), x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (n > 0) for_each_row(x.device(), x.elements() / n, n, LogSoftmaxRow<T>{x.data<T>(), result.data<T>(), n});
    });
    y = result;
    return result;
  }
  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor result = at.output(y);
    if (at.create_graph) return {sub(g_, chain(sum(g_, -1, true), exp(result)))};
    const Tensor g = g_.contiguous(), dx = Tensor::empty(g.shape(), g.dtype(), g.device());
    const int64_t n = g.size(-1);
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (n > 0)
        for_each_row(g.device(), g.elements() / n, n,
                     LogSoftmaxBackwardRow<T>{g.data<T>(), result.data<T>(), dx.data<T>(), n});
    });
    return {dx};
  }
};
Tensor log_softmax(const Tensor& x) { return apply(LogSoftmax{}, x); }

}  // namespace tapir

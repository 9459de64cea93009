// Reductions to a variance, an extremum or a norm, along one axis or over all elements. The ops keep the axis, with extent
// 1, so that backward broadcasts; the functions at the end drop it.
#include "autograd/ops/reduction.h"

#include <cmath>
#include <limits>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/elementwise.h"

namespace tapir {
namespace {

using Along = std::optional<int>;   // an axis; none: all elements

// The elements to be reduced side by side: (rows, n) dense, and the shape of the result.
struct Rows {
  Tensor x;
  int64_t count, n;
  Shape kept{};

  Rows(const char* op, const Tensor& from, Along axis) {
    if (!axis) {
      x = from.contiguous();
      count = 1;
      n = from.elements();
      return;
    }
    const int last = normal_axis(op, *axis, from.shape());
    Shape order;
    Strides strides{};
    for (int a = 0; a < from.rank(); ++a)
      if (a != last) {
        strides[order.rank()] = from.stride(a);
        order.push_back(from.size(a));
      }
    count = order.elements();
    n = from.size(last);
    strides[order.rank()] = from.stride(last);
    order.push_back(n);
    x = from.strided(order, strides).contiguous();
    kept = from.shape().with(last, 1);
  }
};

// y_row = kernel of the row
template <template <class> class Kernel, class... Parameters>
Tensor reduce(const char* op, const Rows& rows, Parameters... parameters) {
  const Tensor y = Tensor::empty(rows.kept, rows.x.dtype(), rows.x.device());
  with_float(op, y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each_row(y.device(), rows.count, rows.n,
                 Kernel<T>{rows.x.data<T>(), y.data<T>(), rows.n, static_cast<T>(parameters)...});
  });
  return y;
}

// Σ (x − mean)² / (n − correction)
template <class T> struct VarianceRow {
  const T* x;
  T* y;
  int64_t n;
  T divisor;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    const RowStatistics<T> of = row_statistics(team, n, [&](int64_t i) { return a[i]; }, divisor, T(0));
    y[row] = of.variance / of.scale / of.scale;
  }
};

// sign · max sign x, or NaN if there is one. NaN counts as ∞, so only rows whose maximum is ∞ are searched for it.
template <class T> struct ExtremeRow {
  const T* x;
  T* y;
  int64_t n;
  T sign;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    const T infinity = std::numeric_limits<T>::infinity();
    const T largest = team.max(n, [&](int64_t i) { return a[i] != a[i] ? infinity : sign * a[i]; });
    const bool nan = largest == infinity && team.sum(n, [&](int64_t i) { return a[i] != a[i] ? T(1) : T(0); }) > T(0);
    y[row] = nan ? std::numeric_limits<T>::quiet_NaN() : sign * largest;
  }
};

// √Σ x², = √Σ (m x)² / m with a power of two m where squares would overflow or lose digits. Where the norm itself overflows or
// is subnormal, ‖scale x‖ is a normal number; elsewhere scale is 1.
template <class T> struct NormRow {
  const T* x;
  T *y, *scaled, *scales;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    using F = math::Format<T>;
    const T* a = x + row * n;
    const T squares = team.sum(n, [&](int64_t i) { return a[i] * a[i]; });
    T norm = math::sqrt(squares), length = norm, scale = T(1);
    if (!math::keeps_digits(squares)) {
      const T m = math::scale_of(team.max(n, [&](int64_t i) { return math::abs(a[i]); }));
      const T root = math::sqrt(team.sum(n, [&](int64_t i) { return a[i] * m * (a[i] * m); }));
      norm = root / m;
      if (norm == F::infinity) scale = F::epsilon * F::epsilon;
      if (norm < F::smallest_normal) scale = T(1) / (F::epsilon * F::epsilon);
      length = root * (scale / m);
    }
    y[row] = norm;
    scaled[row] = length;
    scales[row] = scale;
  }
};

struct Same {   // NaN is NaN
  template <class T> HD T operator()(T a, T b) const { return a == b || (a != a && b != b) ? T(1) : T(0); }
};
struct IsZero { template <class T> HD uint8_t operator()(T x) const { return x == T(0); } };

Tensor is_zero(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), DType::u8, x.device());
  with_float("is_zero", x.dtype(), [&](auto zero) { map_into<uint8_t, decltype(zero)>(y, IsZero{}, x); });
  return y;
}

Tensor sum_along(const Tensor& x, Along axis) { return axis ? sum(x, *axis, true) : sum(x); }

Tensor dropped(const Tensor& y, int axis, bool keep) { return keep ? y : reshape(y, y.shape().without(axis)); }

}  // namespace

// y = Σ (x − mean)² / (n − correction);  dx = g 2 (x − mean) / (n − correction)
struct Var {
  static constexpr const char* name = "var";
  Along axis;
  double correction, divisor = 0;
  Saved x{};
  Tensor forward(const Tensor& x_) {
    const Rows rows(name, x_, axis);
    require(static_cast<double>(rows.n) > correction || rows.count == 0, name, [&] {
      return text("needs more than ", correction, " elements, the correction, got ", rows.n, " of shape ", x_.shape());
    });
    x = x_;
    divisor = static_cast<double>(rows.n) - correction;
    return reduce<VarianceRow>(name, rows, divisor);
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor mean_of_x = axis ? mean(*x, *axis, true) : mean(*x);
    const double factor = 2 / divisor;   // before the difference, which may be too large
    return {chain(g, sub(affine(*x, factor, 0), affine(mean_of_x, factor, 0)))};
  }
};

// y = max x (sign 1) or min x (sign −1), or NaN if there is one;  dx = g / k at the k elements that are y, else 0
template <int sign>
struct Extreme {
  static constexpr const char* name = sign > 0 ? "max" : "min";
  Along axis;
  Saved x{};
  SavedOutput y{};
  Tensor forward(const Tensor& x_) {
    const Rows rows(name, x_, axis);
    require(rows.n > 0 || rows.count == 0, name, [&] { return text("nothing to choose from in shape ", x_.shape()); });
    x = x_;
    const Tensor result = reduce<ExtremeRow>(name, rows, sign);
    y = result;
    return result;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor hits = map(name, Same{}, *x, at.output(y));
    return {chain(g, div(hits, sum_along(hits, axis)))};
  }
};

// y = √Σ x²;  dx = g x / y = g scale x / ‖scale x‖, and 0 where y = 0
struct Norm {
  static constexpr const char* name = "norm";
  Along axis;
  Saved x{};
  Saved scaled{}, scales{};   // of each row: ‖scale x‖ and scale
  Tensor forward(const Tensor& x_) {
    const Rows rows(name, x_, axis);
    const Tensor y = Tensor::empty(rows.kept, x_.dtype(), x_.device());
    x = x_;
    scaled = Tensor::empty(rows.kept, y.dtype(), y.device());
    scales = Tensor::empty(rows.kept, y.dtype(), y.device());
    with_float(name, y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(y.device(), rows.count, rows.n,
                   NormRow<T>{rows.x.data<T>(), y.data<T>(), scaled->data<T>(), scales->data<T>(), rows.n});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor length = at.create_graph ? apply(Norm{axis}, mul(*x, *scales)) : *scaled;
    const Tensor zero = Tensor::zeros({}, g.dtype(), g.device());
    return {chain(mul(where(is_zero(length), zero, g), *scales), div(*x, length))};
  }
};

Tensor var(const Tensor& x) { return apply(Var{{}, 1}, x); }
Tensor max(const Tensor& x) { return apply(Extreme<1>{{}}, x); }
Tensor min(const Tensor& x) { return apply(Extreme<-1>{{}}, x); }

Tensor var(const Tensor& x, Axis axis, Number correction, Flag keep) {
  require_in(interval::finite, Var::name, "correction", correction);
  return dropped(apply(Var{axis, correction}, x), axis, keep);
}
Tensor max(const Tensor& x, Axis axis, Flag keep) { return dropped(apply(Extreme<1>{axis}, x), axis, keep); }
Tensor min(const Tensor& x, Axis axis, Flag keep) { return dropped(apply(Extreme<-1>{axis}, x), axis, keep); }

namespace {

// ‖x‖₁ = Σ |x|,  ‖x‖_∞ = max |x|
template <class... Where>
Tensor norm_of(const Tensor& x, double p, Along axis, const Where&... where) {
  const Called called(Norm::name);
  require(p == 1 || p == 2 || p == HUGE_VAL, Norm::name, [&] { return text("p must be 1, 2 or infinity, got ", p); });
  if (p == 1) return sum(abs(x), where...);
  if (p != 2) return max(abs(x), where...);
  return apply(Norm{axis}, x);
}

}  // namespace

Tensor norm(const Tensor& x, Number p) { return norm_of(x, p, {}); }
Tensor norm(const Tensor& x, Number p, Axis axis, Flag keep) {
  return dropped(norm_of(x, p, axis, axis, Flag(true)), axis, keep);
}

}  // namespace tapir

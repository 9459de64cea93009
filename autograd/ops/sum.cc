// Sums over all elements, over one axis, and down to a shape (the adjoint of broadcasting).
#include "autograd/ops/sum.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "tensor/parallel.h"
#include "tensor/view.h"

namespace tapir {
namespace {

template <class T> struct Element {
  const T* x;
  HD T operator()(int64_t i) const { return x[i]; }
};

template <class T> struct RowSum {
  const T* x;
  T* y;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    y[row] = team.sum(n, [&](int64_t i) { return a[i]; });
  }
};

// y = total / n, or Σ x/n where the total overflowed. Element i of row `row` is x[row · row_step + i · step].
template <class T> struct MeanRow {
  const T *x, *totals;
  T* y;
  int64_t n, row_step, step;
  T share;   // 1/n
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    T mean = share * totals[row];
    if (n > 0 && !(mean - mean == T(0))) mean = team.sum(n, [&](int64_t i) { return share * x[row * row_step + i * step]; });
    y[row] = mean;
  }
};

// Σ over the axes of x whose bit is set, or their mean; they stay, with extent 1. Reduced axes go behind the others, unless
// they are all in front: then columns are summed where they lie.
Tensor sum_axes(const char* op, const Tensor& x, unsigned reduced, bool average = false) {
  Shape result = x.shape(), order;
  Strides strides{};
  int64_t kept = 1, summed = 1;
  bool leading = true;   // no kept axis before a reduced one
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (reduced >> axis & 1) {
      leading = leading && kept == 1;
      result[axis] = 1;
      summed *= x.size(axis);
    } else {
      kept *= x.size(axis);
    }
  }
  for (const unsigned wanted : {0u, 1u})
    for (int axis = 0; axis < x.rank(); ++axis)
      if ((reduced >> axis & 1) == wanted) {
        strides[order.rank()] = x.stride(axis);
        order.push_back(x.size(axis));
      }
  const Tensor dense = (leading ? x : x.strided(order, strides)).contiguous();
  const Tensor sums = Tensor::empty(result, x.dtype(), x.device());
  const Tensor means = average ? Tensor::empty(result, x.dtype(), x.device()) : sums;
  with_float(op, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* const elements = dense.data<T>();
    if (kept == 1) full_sum(x.device(), summed, Element<T>{elements}, sums.data<T>());
    else if (leading) column_sum(x.device(), summed, kept, Columns<T>{elements, kept}, sums.data<T>());
    else for_each_row(x.device(), kept, summed, RowSum<T>{elements, sums.data<T>(), summed});
    if (average)
      for_each_row(x.device(), kept, kept == 1 ? summed : 1,
                   MeanRow<T>{elements, sums.data<T>(), means.data<T>(), summed, leading ? 1 : summed, leading ? kept : 1,
                              static_cast<T>(1.0 / static_cast<double>(summed))});
  });
  return means;
}

}  // namespace

// y = Σ x over one axis, or over all;  dx = g repeated
struct Sum {
  static constexpr const char* name = "sum";
  std::optional<int> axis;
  Shape from{};
  Tensor forward(const Tensor& x) {
    from = x.shape();
    if (!axis) return view::reshape(sum_axes(name, x, ~0u), {});
    return sum_axes(name, x, 1u << normal_axis(name, *axis, from));
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {expand(g, from)}; }
};

Tensor sum(const Tensor& x) { return apply(Sum{{}}, x); }

Tensor sum(const Tensor& x, Axis axis, Flag keep) {
  const Tensor y = apply(Sum{axis}, x);
  return keep ? y : reshape(y, y.shape().without(axis));
}

// y = Σ x / n over one axis, or over all;  dx = g/n repeated
struct Mean {
  static constexpr const char* name = "mean";
  std::optional<int> axis;
  Shape from{};
  Tensor forward(const Tensor& x) {
    from = x.shape();
    if (!axis) return view::reshape(sum_axes(name, x, ~0u, true), {});
    return sum_axes(name, x, 1u << normal_axis(name, *axis, from), true);
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    const auto n = static_cast<double>(from.elements()) / static_cast<double>(std::max<int64_t>(1, g.elements()));
    return {expand(affine(g, 1 / std::max(1.0, n), 0), from)};
  }
};

Tensor mean(const Tensor& x) { return apply(Mean{{}}, x); }

Tensor mean(const Tensor& x, Axis axis, Flag keep) {
  const Tensor y = apply(Mean{axis}, x);
  return keep ? y : reshape(y, y.shape().without(axis));
}

// y = Σ of x over the axes along which `to` was repeated;  dx = g repeated
struct SumTo {
  static constexpr const char* name = "sum_to";
  Shape to, from{};
  Tensor forward(const Tensor& x) {
    from = x.shape();
    const int added = x.rank() - to.rank();
    unsigned reduced = 0;
    bool fits = added >= 0;
    for (int axis = 0; fits && axis < x.rank(); ++axis) {
      const int64_t wanted = axis < added ? 1 : to[axis - added];
      fits = wanted == x.size(axis) || wanted == 1;
      if (axis < added || wanted != x.size(axis)) reduced |= 1u << axis;
    }
    require(fits, name, [&] { return text("shape ", to, " does not expand to ", from); });
    return view::reshape(sum_axes(name, x, reduced), to);
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {expand(g, from)}; }
};

Tensor sum_to(const Tensor& x, const Shape& shape) {
  return x.defined() && x.shape() == shape ? x : apply(SumTo{shape}, x);
}

}  // namespace tapir

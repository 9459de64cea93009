// Batch normalisation (Ioffe & Szegedy 2015). Letters: x is (outer, C, inner) around the channel axis; n = outer · inner.
#include "autograd/ops/batch_norm.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/elementwise.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

struct Layout {
  Device device;
  int64_t outer = 1, channels, inner = 1;
  Layout(const Tensor& x, int axis) : device(x.device()), channels(x.size(axis)) {
    for (int a = 0; a < x.rank(); ++a) (a < axis ? outer : inner) *= a == axis ? 1 : x.size(a);
  }
  double per_channel() const { return static_cast<double>(outer * inner); }
};

template <class T, class Term> struct RunSum {
  Term term;
  T* sums;
  int64_t channels, inner;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    sums[row] = team.sum(inner, [&](int64_t i) { return term(row * inner + i, row % channels); });
  }
};

template <class T, class Term> struct TermOfColumn {
  Term term;
  int64_t channels;
  HD T operator()(int64_t i, int64_t j) const { return term(i * channels + j, j); }
};

// (C): Σ of term(place, channel) over the places of each channel. Runs of inner places first; columns where they are short.
template <class T, class Term> Tensor channel_sum(const Layout& at, const Term& term) {
  const Tensor y = Tensor::empty({at.channels}, dtype_of<T>(), at.device);
  if (at.inner == 1) {
    column_sum(at.device, at.outer, at.channels, TermOfColumn<T, Term>{term, at.channels}, y.data<T>());
  } else {
    const Tensor runs = Tensor::empty({at.outer, at.channels}, dtype_of<T>(), at.device);
    for_each_row(at.device, at.outer * at.channels, at.inner,
                 RunSum<T, Term>{term, runs.data<T>(), at.channels, at.inner});
    column_sum(at.device, at.outer, at.channels, Columns<T>{runs.data<T>(), at.channels}, y.data<T>());
  }
  return y;
}

template <class Body> struct EachOfRun {
  Body body;
  int64_t channels, inner;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    if (inner == 1) team.each(channels, [&](int64_t j) { body(row * channels + j, j); });
    else team.each(inner, [&](int64_t i) { body(row * inner + i, row % channels); });
  }
};

// body(place, channel) everywhere.
template <class Body> void channel_each(const Layout& at, const Body& body) {
  if (at.channels == 0 || at.inner == 0) return;   // whatever the outer axes
  const bool columns = at.inner == 1;
  for_each_row(at.device, columns ? at.outer : at.outer * at.channels, columns ? at.channels : at.inner,
               EachOfRun<Body>{body, at.channels, at.inner});
}

template <class T> struct Value {
  const T* x;
  HD T operator()(int64_t place, int64_t) const { return x[place]; }
};

template <class T> struct SquaredDeviation {
  const T *x, *mean;
  HD T operator()(int64_t place, int64_t c) const { return (x[place] - mean[c]) * (x[place] - mean[c]); }
};

// Mean and variance as they are, and centre, 1/√(variance + ε) and scale as x̂ needs them: of scale · x, computed once more
// from the channel's elements where scale is not 1.
template <class T> struct Settle {
  const T *x, *sum_mean, *sum_variance;
  T *mean, *variance, *centre, *inverse, *scale;
  int64_t n, channels, inner;
  T epsilon;
  template <class Team> HD void operator()(const Team& team, int64_t c) const {
    RowStatistics<T> of{sum_mean[c], sum_variance[c], T(1)};
    if (!math::has_cubes(of.variance + epsilon)) {
      const auto element = [&](int64_t i) { return x[(i / inner * channels + c) * inner + i % inner]; };
      of = scaled_statistics(team, n, element, static_cast<T>(n), epsilon);
    }
    mean[c] = of.mean / of.scale;
    variance[c] = of.variance / of.scale / of.scale;
    centre[c] = of.mean;
    inverse[c] = of.inverse_deviation(epsilon);
    scale[c] = of.scale;
  }
};

template <class T> struct Statistics {   // of scale · x, by channel
  const T *centre, *inverse, *scale;
  HD T normal(T x, int64_t c) const { return std::fma(x, scale[c], -centre[c]) * inverse[c]; }
};

// x̂ = (x − mean) / √(variance + ε);  y = w x̂ + b
template <class T> struct Normalise {
  const T* x;
  Statistics<T> of;
  const T *weight, *bias;
  T* y;
  HD void operator()(int64_t place, int64_t c) const { y[place] = of.normal(x[place], c) * weight[c] + bias[c]; }
};

// g x̂
template <class T> struct WeightTerm {
  const T *g, *x;
  Statistics<T> of;
  HD T operator()(int64_t place, int64_t c) const { return g[place] * of.normal(x[place], c); }
};

// dx = w (g − mean(g) − x̂ mean(g x̂)) / √(variance + ε)
template <class T> struct NormaliseBackward {
  const T *g, *x;
  Statistics<T> of;
  const T *weight, *db, *dw;
  T* dx;
  T share;   // 1/n
  HD void operator()(int64_t place, int64_t c) const {
    const T centred = g[place] - share * db[c] - of.normal(x[place], c) * (share * dw[c]);
    dx[place] = centred * (of.inverse[c] * weight[c]) * of.scale[c];
  }
};

// The shape in which (C) broadcasts along `axis`.
Shape per_channel(const Tensor& x, int axis) {
  Shape shape;
  for (int a = 0; a < x.rank(); ++a) shape.push_back(a == axis ? x.size(a) : 1);
  return shape;
}

int channel_axis(const char* op, const Tensor& x, int axis, std::initializer_list<const Tensor*> others) {
  axis = normal_axis(op, axis, x.shape());
  for (const Tensor* other : others)
    require(other->shape() == Shape{x.size(axis)}, op, [&] {
      return text("axis ", axis, " of ", x.shape(), " has the channels: a tensor of shape ", other->shape(),
                  " does not fit, [", x.size(axis), "] would");
    });
  return axis;
}

}  // namespace

struct BatchNorm {
  static constexpr const char* name = "batch_norm";
  int axis;
  double epsilon;
  Saved x{}, weight{}, bias{};
  Saved mean{}, variance{};                 // (C)
  Saved centre{}, inverse{}, scale{};       // (C), of scale · x

  Tensor forward(const Tensor& x_, const Tensor& weight_, const Tensor& bias_) {
    require_same_kind(name, {&x_, &weight_, &bias_});
    axis = channel_axis(name, x_, axis, {&weight_, &bias_});
    const Layout at(x_, axis);
    require(at.channels == 0 || at.per_channel() > 0, name,
            [&] { return text("x of shape ", x_.shape(), " has no elements to take statistics of"); });
    x = x_;
    weight = weight_;
    bias = bias_;
    const Tensor a = x_.contiguous(), w = weight_.contiguous(), b = bias_.contiguous();
    const Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* xp = a.data<T>();
      const Tensor m = affine(channel_sum<T>(at, Value<T>{xp}), 1 / at.per_channel(), 0);
      const Tensor v = affine(channel_sum<T>(at, SquaredDeviation<T>{xp, m.data<T>()}), 1 / at.per_channel(), 0);
      for (Saved* statistic : {&mean, &variance, &centre, &inverse, &scale})
        *statistic = Tensor::empty({at.channels}, a.dtype(), a.device());
      for_each_row(at.device, at.channels, 1,
                   Settle<T>{xp, m.data<T>(), v.data<T>(), mean->data<T>(), variance->data<T>(), centre->data<T>(),
                             inverse->data<T>(), scale->data<T>(), at.outer * at.inner, at.channels, at.inner,
                             static_cast<T>(epsilon)});
      channel_each(at, Normalise<T>{xp, statistics<T>(), w.data<T>(), b.data<T>(), y.data<T>()});
    });
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward& needs) const {
    const Tensor g = g_.contiguous(), a = x->contiguous(), w = weight->contiguous();
    const Layout at(a, axis);
    Tensor dx = Tensor::empty(a.shape(), g.dtype(), g.device()), dw, db;
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *gp = g.data<T>(), *xp = a.data<T>();
      dw = channel_sum<T>(at, WeightTerm<T>{gp, xp, statistics<T>()});
      db = channel_sum<T>(at, Value<T>{gp});
      if (needs.needs(0))
        channel_each(at, NormaliseBackward<T>{gp, xp, statistics<T>(), w.data<T>(), db.data<T>(), dw.data<T>(), dx.data<T>(),
                                              static_cast<T>(1 / at.per_channel())});
    });
    return {dx, dw, db};
  }

  std::vector<Saved> inputs() const { return {x, weight, bias}; }
  Tensor composite(const std::vector<Tensor>& in) const {
    const Shape shape = per_channel(in[0], axis);
    const double share = 1 / Layout(in[0], axis).per_channel();
    const Tensor by = reshape(*scale, shape), scaled = mul(in[0], by);
    const Tensor centred = sub(scaled, sum_to(affine(scaled, share, 0), shape));
    const Tensor deviation = rsqrt(add(affine(sum_to(square(centred), shape), share, 0), mul(affine(by, epsilon, 0), by)));
    return add(mul(mul(centred, deviation), reshape(in[1], shape)), reshape(in[2], shape));
  }

 private:
  template <class T> Statistics<T> statistics() const { return {centre->data<T>(), inverse->data<T>(), scale->data<T>()}; }
};

BatchNormed batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Axis axis, Number epsilon) {
  require_in(interval::not_negative, BatchNorm::name, "epsilon", epsilon);
  BatchNormed result;
  result.y = record(
      BatchNorm{axis, epsilon},
      [&](BatchNorm& op) {
        const Tensor y = op.forward(x, weight, bias);
        result.mean = *op.mean;
        result.variance = *op.variance;
        return y;
      },
      {x, weight, bias});
  return result;
}

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& variance,
                  Axis axis, Number epsilon) {
  constexpr const char* name = BatchNorm::name;
  const Called called(name);
  require_in(interval::not_negative, name, "epsilon", epsilon);
  require_same_kind(name, {&x, &weight, &bias, &mean, &variance});
  axis = channel_axis(name, x, axis, {&weight, &bias, &mean, &variance});
  const Shape shape = per_channel(x, axis);
  const Tensor scale = mul(weight, rsqrt(affine(variance, 1, epsilon)));
  return add(mul(sub(x, reshape(mean, shape)), reshape(scale, shape)), reshape(bias, shape));
}

}  // namespace tapir

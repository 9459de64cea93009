// Layer normalisation (Ba, Kiros, Hinton 2016) along the last axis. Letters: N rows, C columns.
#include "autograd/ops/layer_norm.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

// x̂ = (x − mean) / √(variance + ε);  y = w x̂ + b. mean and 1/√(variance + ε) are those of scale · x, scale mostly 1.
template <class T> struct LayerNormRow {
  const T *x, *weight, *bias;
  T *y, *means, *inverses, *scales;
  int64_t n;
  T epsilon;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    T* out = y + row * n;
    const RowStatistics<T> of = row_statistics(team, n, [&](int64_t i) { return a[i]; }, static_cast<T>(n), epsilon);
    const T mean = of.mean, scale = of.scale, inverse = of.inverse_deviation(epsilon);
    team.each(n, [&](int64_t i) { out[i] = std::fma(a[i], scale, -mean) * inverse * weight[i] + bias[i]; });
    means[row] = mean;
    inverses[row] = inverse;
    scales[row] = scale;
  }
};

// dx = (w g − mean(w g) − x̂ mean(w g x̂)) / √(variance + ε)
template <class T> struct LayerNormBackwardRow {
  const T *g, *x, *weight, *means, *inverses, *scales;
  T* dx;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T *gr = g + row * n, *a = x + row * n;
    T* out = dx + row * n;
    const T mean = means[row], inverse = inverses[row], scale = scales[row];
    const auto normal = [&](int64_t i) { return std::fma(a[i], scale, -mean) * inverse; };
    const T average = team.sum(n, [&](int64_t i) { return weight[i] * gr[i]; }) / static_cast<T>(n);
    const T slope = team.sum(n, [&](int64_t i) { return weight[i] * gr[i] * normal(i); }) / static_cast<T>(n);
    team.each(n, [&](int64_t i) { out[i] = (weight[i] * gr[i] - average - normal(i) * slope) * inverse * scale; });
  }
};

// dw_j = Σ_i g_ij x̂_ij
template <class T> struct WeightTerm {
  const T *g, *x, *means, *inverses, *scales;
  int64_t n;
  HD T operator()(int64_t i, int64_t j) const {
    return g[i * n + j] * (std::fma(x[i * n + j], scales[i], -means[i]) * inverses[i]);
  }
};

// db_j = Σ_i g_ij
template <class T> struct BiasTerm {
  const T* g;
  int64_t n;
  HD T operator()(int64_t i, int64_t j) const { return g[i * n + j]; }
};

}  // namespace

struct LayerNorm {
  static constexpr const char* name = "layer_norm";
  double epsilon;
  Saved x, weight, bias;
  Saved means{}, inverses{}, scales{};   // (N): of each row

  Tensor forward(const Tensor& x_, const Tensor& weight_, const Tensor& bias_) {
    require_same_kind(name, {&x_, &weight_, &bias_});
    const int64_t n = x_.rank() ? x_.size(-1) : 0;
    require(n > 0 && weight_.shape() == Shape{n} && bias_.shape() == Shape{n}, name, [&] {
      return text("weight and bias must have the size of the last axis: ", x_.shape(), ", ", weight_.shape(), ", ",
                  bias_.shape());
    });
    x = x_;
    weight = weight_;
    bias = bias_;
    const Tensor a = x_.contiguous(), w = weight_.contiguous(), b = bias_.contiguous();
    const int64_t rows = a.elements() / n;
    const Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
    means = Tensor::empty({rows}, a.dtype(), a.device());
    inverses = Tensor::empty({rows}, a.dtype(), a.device());
    scales = Tensor::empty({rows}, a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(a.device(), rows, n, LayerNormRow<T>{a.data<T>(), w.data<T>(), b.data<T>(), y.data<T>(), means->data<T>(),
                                                        inverses->data<T>(), scales->data<T>(), n, static_cast<T>(epsilon)});
    });
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor g = g_.contiguous(), a = x->contiguous(), w = weight->contiguous();
    const int64_t n = a.size(-1), rows = a.elements() / n;
    const auto fresh = [&](const Shape& shape) { return Tensor::empty(shape, g.dtype(), g.device()); };
    const Tensor dx = fresh(a.shape()), dw = fresh({n}), db = fresh({n});
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *gp = g.data<T>(), *xp = a.data<T>(), *mp = means->data<T>(), *ip = inverses->data<T>(), *sp = scales->data<T>();
      if (at.needs(0))
        for_each_row(g.device(), rows, n, LayerNormBackwardRow<T>{gp, xp, w.data<T>(), mp, ip, sp, dx.data<T>(), n});
      if (at.needs(1)) column_sum(g.device(), rows, n, WeightTerm<T>{gp, xp, mp, ip, sp, n}, dw.data<T>());
      if (at.needs(2)) column_sum(g.device(), rows, n, BiasTerm<T>{gp, n}, db.data<T>());
    });
    return {dx, dw, db};
  }

  std::vector<Saved> inputs() const { return {x, weight, bias}; }
  Tensor composite(const std::vector<Tensor>& in) const {
    const Tensor scale = reshape(*scales, in[0].shape().with(-1, 1)), scaled = mul(in[0], scale);
    const Tensor centred = sub(scaled, mean(scaled, -1, true));
    const Tensor inverse = rsqrt(add(mean(square(centred), -1, true), mul(affine(scale, epsilon, 0), scale)));
    return add(mul(mul(centred, inverse), in[1]), in[2]);
  }
};
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Number epsilon) {
  require_in(interval::not_negative, LayerNorm::name, "epsilon", epsilon);
  return apply(LayerNorm{epsilon, {}, {}, {}}, x, weight, bias);
}

}  // namespace tapir

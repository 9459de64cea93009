// Root mean square normalisation (Zhang & Sennrich 2019) along the last axis. Letters: N rows, C columns.
#include "autograd/ops/rms_norm.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/parallel.h"
#include "tensor/squares.h"

namespace tapir {
namespace {

// y = w r x,  r = 1/√(mean x² + ε). r is that of scale · x, scale a power of two: 1 where the squares have cubes (squares.h).
template <class T> struct RmsNormRow {
  const T *x, *weight;
  T *y, *inverses, *scales;
  int64_t n;
  T epsilon;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * n;
    T* out = y + row * n;
    T total = team.sum(n, [&](int64_t i) { return a[i] * a[i]; }) / static_cast<T>(n) + epsilon, scale = T(1);
    if (!math::has_cubes(total)) {
      const T largest = team.max(n, [&](int64_t i) { return math::abs(a[i]); }), root = math::sqrt(epsilon);
      scale = math::scale_of(largest < root ? root : largest);
      const T squares = team.sum(n, [&](int64_t i) { return a[i] * scale * (a[i] * scale); });
      total = squares / static_cast<T>(n) + epsilon * scale * scale;
    }
    const T r = T(1) / math::sqrt(total);
    team.each(n, [&](int64_t i) { out[i] = a[i] * scale * r * weight[i]; });
    inverses[row] = r;
    scales[row] = scale;
  }
};

// dx = r (w g − r x mean(w g r x)), because ∂r/∂x_j = −r³ x_j / n
template <class T> struct RmsNormBackwardRow {
  const T *g, *x, *weight, *inverses, *scales;
  T* dx;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T *gr = g + row * n, *a = x + row * n;
    T* out = dx + row * n;
    const T r = inverses[row], scale = scales[row];
    const T slope = team.sum(n, [&](int64_t i) { return weight[i] * gr[i] * (a[i] * scale * r); }) / static_cast<T>(n);
    team.each(n, [&](int64_t i) { out[i] = (weight[i] * gr[i] - a[i] * scale * r * slope) * r * scale; });
  }
};

// dw_j = Σ_i g_ij r_i x_ij
template <class T> struct WeightTerm {
  const T *g, *x, *inverses, *scales;
  int64_t n;
  HD T operator()(int64_t i, int64_t j) const { return g[i * n + j] * (x[i * n + j] * scales[i] * inverses[i]); }
};

}  // namespace

struct RmsNorm {
  static constexpr const char* name = "rms_norm";
  double epsilon;
  Saved x{}, weight{};
  Saved inverses{}, scales{};   // (N): of each row

  Tensor forward(const Tensor& x_, const Tensor& weight_) {
    require_same_kind(name, {&x_, &weight_});
    const int64_t n = x_.rank() ? x_.size(-1) : 0;
    require(n > 0 && weight_.shape() == Shape{n}, name,
            [&] { return text("weight must have the size of the last axis: ", x_.shape(), ", ", weight_.shape()); });
    x = x_;
    weight = weight_;
    const Tensor a = x_.contiguous(), w = weight_.contiguous(), y = Tensor::empty(a.shape(), a.dtype(), a.device());
    const int64_t rows = a.elements() / n;
    inverses = Tensor::empty({rows}, a.dtype(), a.device());
    scales = Tensor::empty({rows}, a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(a.device(), rows, n, RmsNormRow<T>{a.data<T>(), w.data<T>(), y.data<T>(), inverses->data<T>(),
                                                      scales->data<T>(), n, static_cast<T>(epsilon)});
    });
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor g = g_.contiguous(), a = x->contiguous(), w = weight->contiguous();
    const int64_t n = a.size(-1), rows = a.elements() / n;
    const Tensor dx = Tensor::empty(a.shape(), g.dtype(), g.device()), dw = Tensor::empty({n}, g.dtype(), g.device());
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *gp = g.data<T>(), *xp = a.data<T>(), *rp = inverses->data<T>(), *sp = scales->data<T>();
      if (at.needs(0))
        for_each_row(g.device(), rows, n, RmsNormBackwardRow<T>{gp, xp, w.data<T>(), rp, sp, dx.data<T>(), n});
      if (at.needs(1)) column_sum(g.device(), rows, n, WeightTerm<T>{gp, xp, rp, sp, n}, dw.data<T>());
    });
    return {dx, dw};
  }

  std::vector<Saved> inputs() const { return {x, weight}; }
  Tensor composite(const std::vector<Tensor>& in) const {
    const Tensor scale = reshape(*scales, in[0].shape().with(-1, 1)), scaled = mul(in[0], scale);
    return mul(mul(scaled, rsqrt(add(mean(square(scaled), -1, true), mul(affine(scale, epsilon, 0), scale)))), in[1]);
  }
};
Tensor rms_norm(const Tensor& x, const Tensor& weight, Number epsilon) {
  require_in(interval::not_negative, RmsNorm::name, "epsilon", epsilon);
  return apply(RmsNorm{epsilon}, x, weight);
}

}  // namespace tapir

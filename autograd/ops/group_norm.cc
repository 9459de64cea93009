// Group normalisation (Wu & He 2018) of x (B,C,…). Letters: G groups of C/G channels each, P places of a channel.
#include "autograd/ops/group_norm.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

// Row (b, group) of x is dense: the P places of its first channel, of the second, …
struct Sizes {
  int64_t channels, groups, places;
  HD int64_t in_group() const { return channels / groups; }              // channels
  HD int64_t width() const { return in_group() * places; }               // elements
  HD int64_t first_channel(int64_t row) const { return row % groups * in_group(); }
};

// x̂ = (x − mean) / √(variance + ε);  y = w_c x̂ + b_c. mean and 1/√(variance + ε) are those of scale · x, scale mostly 1.
template <class T> struct GroupNormRow {
  const T *x, *weight, *bias;
  T *y, *means, *inverses, *scales;
  Sizes size;
  T epsilon;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t n = size.width(), first = size.first_channel(row);
    const T* a = x + row * n;
    const RowStatistics<T> of = row_statistics(team, n, [&](int64_t i) { return a[i]; }, static_cast<T>(n), epsilon);
    const T mean = of.mean, scale = of.scale, inverse = of.inverse_deviation(epsilon);
    for (int64_t c = 0; c < size.in_group(); ++c) {
      const T w = weight[first + c], b = bias[first + c];
      const T* from = a + c * size.places;
      T* to = y + row * n + c * size.places;
      team.each(size.places, [&](int64_t i) { to[i] = std::fma(from[i], scale, -mean) * inverse * w + b; });
    }
    means[row] = mean;
    inverses[row] = inverse;
    scales[row] = scale;
  }
};

// Of each (b, channel): Σ g and Σ g x̂. Weighted and summed over a group dx needs them; summed over b they are db and dw.
template <class T> struct ChannelSums {
  const T *g, *x, *means, *inverses, *scales;
  T *sums, *products;
  Sizes size;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T *gr = g + row * size.places, *a = x + row * size.places;
    const int64_t group = row / size.in_group();
    const T mean = means[group], inverse = inverses[group], scale = scales[group];
    sums[row] = team.sum(size.places, [&](int64_t i) { return gr[i]; });
    products[row] = team.sum(size.places, [&](int64_t i) { return gr[i] * (std::fma(a[i], scale, -mean) * inverse); });
  }
};

// dx = (w g − mean(w g) − x̂ mean(w g x̂)) / √(variance + ε), the means over the group
template <class T> struct GroupNormBackwardRow {
  const T *g, *x, *weight, *means, *inverses, *scales, *sums, *products;
  T* dx;
  Sizes size;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t n = size.width(), channels = size.in_group(), first = size.first_channel(row);
    const T mean = means[row], inverse = inverses[row], scale = scales[row];
    const T *s = sums + row * channels, *p = products + row * channels;
    const T average = team.sum(channels, [&](int64_t c) { return weight[first + c] * s[c]; }) / static_cast<T>(n);
    const T slope = team.sum(channels, [&](int64_t c) { return weight[first + c] * p[c]; }) / static_cast<T>(n);
    for (int64_t c = 0; c < channels; ++c) {
      const T w = weight[first + c];
      const T *gr = g + row * n + c * size.places, *a = x + row * n + c * size.places;
      T* out = dx + row * n + c * size.places;
      team.each(size.places, [&](int64_t i) {
        out[i] = (w * gr[i] - average - std::fma(a[i], scale, -mean) * inverse * slope) * inverse * scale;
      });
    }
  }
};

}  // namespace

struct GroupNorm {
  static constexpr const char* name = "group_norm";
  int64_t groups;
  double epsilon;
  Saved x{}, weight{}, bias{};
  Saved means{}, inverses{}, scales{};   // (B G): of each row

  Tensor forward(const Tensor& x_, const Tensor& weight_, const Tensor& bias_) {
    require_same_kind(name, {&x_, &weight_, &bias_});
    const int64_t channels = x_.rank() >= 2 ? x_.size(1) : 0;
    require(channels > 0 && weight_.shape() == Shape{channels} && bias_.shape() == Shape{channels}, name, [&] {
      return text("x (B,C,…) needs weight and bias (C): ", x_.shape(), ", ", weight_.shape(), ", ", bias_.shape());
    });
    require(groups > 0 && channels % groups == 0, name,
            [&] { return text("the channels of ", x_.shape(), " do not fall into ", groups, " groups of one size"); });
    x = x_;
    weight = weight_;
    bias = bias_;
    const Tensor a = x_.contiguous(), w = weight_.contiguous(), b = bias_.contiguous();
    const Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
    const Sizes size = sizes();
    const int64_t rows = a.size(0) * groups;
    means = Tensor::empty({rows}, a.dtype(), a.device());
    inverses = Tensor::empty({rows}, a.dtype(), a.device());
    scales = Tensor::empty({rows}, a.dtype(), a.device());
    with_float(name, a.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(a.device(), rows, size.width(),
                   GroupNormRow<T>{a.data<T>(), w.data<T>(), b.data<T>(), y.data<T>(), means->data<T>(), inverses->data<T>(),
                                   scales->data<T>(), size, static_cast<T>(epsilon)});
    });
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor g = g_.contiguous(), a = x->contiguous(), w = weight->contiguous();
    const Sizes size = sizes();
    const int64_t batch = a.size(0), channels = size.channels;
    const auto fresh = [&](const Shape& shape) { return Tensor::empty(shape, g.dtype(), g.device()); };
    const Tensor sums = fresh({batch, channels}), products = fresh({batch, channels});
    const Tensor dx = fresh(a.shape()), dw = fresh({channels}), db = fresh({channels});
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *gp = g.data<T>(), *xp = a.data<T>(), *mp = means->data<T>(), *ip = inverses->data<T>(), *cp = scales->data<T>();
      T *sp = sums.data<T>(), *pp = products.data<T>();
      for_each_row(g.device(), batch * channels, size.places, ChannelSums<T>{gp, xp, mp, ip, cp, sp, pp, size});
      if (at.needs(0))
        for_each_row(g.device(), batch * groups, size.width(),
                     GroupNormBackwardRow<T>{gp, xp, w.data<T>(), mp, ip, cp, sp, pp, dx.data<T>(), size});
      if (at.needs(1)) column_sum(g.device(), batch, channels, Columns<T>{pp, channels}, dw.data<T>());
      if (at.needs(2)) column_sum(g.device(), batch, channels, Columns<T>{sp, channels}, db.data<T>());
    });
    return {dx, dw, db};
  }

  std::vector<Saved> inputs() const { return {x, weight, bias}; }
  Tensor composite(const std::vector<Tensor>& in) const {
    const Shape& shape = in[0].shape();
    Shape per_channel{shape[1]};
    for (int axis = 2; axis < shape.rank(); ++axis) per_channel.push_back(1);
    const Tensor scale = reshape(*scales, {shape[0] * groups, 1});
    const Tensor rows = mul(reshape(in[0], {shape[0] * groups, sizes().width()}), scale);
    const Tensor centred = sub(rows, mean(rows, 1, true));
    const Tensor inverse = rsqrt(add(mean(square(centred), 1, true), mul(affine(scale, epsilon, 0), scale)));
    return add(mul(reshape(mul(centred, inverse), shape), reshape(in[1], per_channel)), reshape(in[2], per_channel));
  }

 private:
  Sizes sizes() const {
    int64_t places = 1;
    for (int axis = 2; axis < x->rank(); ++axis) places *= x->size(axis);
    return {x->size(1), groups, places};
  }
};
Tensor group_norm(const Tensor& x, Count groups, const Tensor& weight, const Tensor& bias, Number epsilon) {
  require_in(interval::not_negative, GroupNorm::name, "epsilon", epsilon);
  return apply(GroupNorm{groups, epsilon}, x, weight, bias);
}

}  // namespace tapir

#include "attention/kernels/expressive_weights.h"

#include <cmath>

#include "attention/kernels/response.h"
#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/elementwise.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

// A_s = d_s g_s / Σ over allowed keys
template <class T> struct ExpressiveRow {
  const T* z;
  T* a;
  int64_t n;
  MaskView mask;
  bool alibi;

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t t = row % mask.queries, first = mask.first(t), seen = mask.limit(t) - first, behind = first + seen;
    const T* x = z + row * n + first;
    T* y = a + row * n + first;
    const uint8_t* present = mask.present_in(row, first);
    if (present)
      team.each(seen, [&](int64_t s) { y[s] = present[s] ? response(x[s]) : T(0); });
    else
      team.each(seen, [&](int64_t s) { y[s] = response(x[s]); });
    if (alibi) {
      const T slope = static_cast<T>(response_slope(row / mask.queries % mask.heads, mask.heads));
      const T position = static_cast<T>(t + mask.offset - first);
      team.each(seen, [&](int64_t s) { y[s] *= math::exp(-slope * math::abs(position - static_cast<T>(s))); });
    }
    const T total = team.sum(seen, [&](int64_t s) { return y[s]; });
    const T divisor = total == T(0) ? T(1) : total;
    if (present && divisor != divisor)   // NaN reaches every allowed key and no other, as in softmax
      team.each(seen, [&](int64_t s) { y[s] = present[s] ? divisor : T(0); });
    else
      team.each(seen, [&](int64_t s) { y[s] /= divisor; });
    team.each(first, [&](int64_t i) { y[i - first] = T(0); });
    team.each(n - behind, [&](int64_t i) { y[seen + i] = T(0); });
  }
};

// dz_s = A_s (g_s − Σ g A) · 2/(z_s (1 + z_s²)); 0 where A_s = 0
template <class T> struct ExpressiveBackwardRow {
  const T *g, *z, *a;
  T* dz;
  int64_t n;
  MaskView mask;

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t t = row % mask.queries, first = mask.first(t), seen = mask.limit(t) - first, behind = first + seen;
    const T *gr = g + row * n + first, *x = z + row * n + first, *y = a + row * n + first;
    T* out = dz + row * n + first;
    const T dot = team.sum(seen, [&](int64_t s) { return math::gated(gr[s], y[s]); });
    team.each(seen, [&](int64_t s) {
      const T slope = y[s] * (gr[s] - dot) * log_response_slope(x[s]);
      out[s] = y[s] == T(0) ? T(0) : slope;
    });
    team.each(first, [&](int64_t i) { out[i - first] = T(0); });
    team.each(n - behind, [&](int64_t i) { out[seen + i] = T(0); });
  }
};

struct IsPositive { template <class T> HD uint8_t operator()(T x) const { return x > T(0); } };

}  // namespace

struct ExpressiveWeights {
  static constexpr const char* name = "expressive_weights";
  SavedMask mask;
  bool alibi;
  Saved z{};
  SavedOutput a{};

  Tensor forward(const Tensor& z_) {
    const Tensor x = z_.contiguous(), y = Tensor::empty(x.shape(), x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const MaskView view = view_of(name, *mask, x.shape(), x.device());
      const int64_t n = view.keys;
      if (n > 0)
        for_each_row(x.device(), x.elements() / n, n, ExpressiveRow<T>{x.data<T>(), y.data<T>(), n, view, alibi});
    });
    z = z_;
    a = y;
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor g = g_.contiguous(), x = z->contiguous(), y = at.output(a);
    const Tensor dz = Tensor::empty(g.shape(), g.dtype(), g.device());
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const MaskView view = view_of(name, *mask, x.shape(), x.device());
      const int64_t n = view.keys;
      if (n > 0)
        for_each_row(g.device(), g.elements() / n, n,
                     ExpressiveBackwardRow<T>{g.data<T>(), x.data<T>(), y.data<T>(), dz.data<T>(), n, view});
    });
    return {dz};
  }

  std::vector<Saved> inputs() const { return {z}; }
  // The formula as it stands, z²/(1 + z²) = 1/(1 + 1/z²) where z² may overflow, but for rows without mass. What `where` hides
  // takes no part in any derivative (chained.h).
  Tensor composite(const std::vector<Tensor>& in) const {
    const Tensor none = Tensor::zeros({}, in[0].dtype(), in[0].device());
    const Tensor decay = decays(in[0]), z = where(positive(decay), in[0], none);
    const Tensor large = positive(affine(abs(z), 1, -1)), inside = square(z), outside = square(reciprocal(z));
    const Tensor of_inside = div(inside, affine(inside, 1, 1)), of_outside = reciprocal(affine(outside, 1, 1));
    const Tensor mass = mul(where(large, of_outside, of_inside), decay), total = sum(mass, -1, true);
    return where(positive(total), div(mass, total), none);
  }

 private:
  // d_ts where the mask allows it, else 0, (B,H,T,S).
  Tensor decays(const Tensor& scores) const {
    const Mask here = mask->on_host();
    const MaskView view = view_of(name, here, scores.shape(), Device::cpu);
    std::vector<double> d(scores.elements(), 0.0);
    for (int64_t row = 0; row * view.keys < scores.elements(); ++row) {
      const int64_t t = row % view.queries;
      const uint8_t* present = view.present_in(row);
      const double slope = alibi ? response_slope(row / view.queries % view.heads, view.heads) : 0;
      for (int64_t s = view.first(t); s < view.limit(t); ++s)
        if (!present || present[s]) d[row * view.keys + s] = std::exp(-slope * std::fabs(double(t + here.offset - s)));
    }
    return Tensor::from(d, scores.shape(), scores.device()).to(scores.dtype());
  }

  static Tensor positive(const Tensor& x) {   // u8
    Tensor yes = Tensor::empty(x.shape(), DType::u8, x.device());
    with_float(name, x.dtype(), [&](auto zero) { map_into<uint8_t, decltype(zero)>(yes, IsPositive{}, x); });
    return yes;
  }
};

Tensor expressive_weights(const Tensor& scores, const Mask& mask, Flag alibi) {
  return apply(ExpressiveWeights{mask.dense(), alibi}, scores);
}

}  // namespace tapir

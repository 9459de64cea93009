#include "attention/kernels/pair_hidden.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"
#include "tensor/view.h"

namespace tapir {

// A hidden unit: its value h(z), what it passes back of a gradient g, g h′(z), and h as an op for the composite.
struct ReluUnit {
  static constexpr const char* name = "pair_hidden";
  static constexpr bool homogeneous = true;   // h(z) = z h′(z)
  template <class T> HD_INLINE static T value(T z) { return z < T(0) ? T(0) : z; }   // NaN stays
  template <class T> HD_INLINE static T pull_back(T z, T g) { return z > T(0) ? g : T(0); }
  static Tensor op(const Tensor& z) { return relu(z); }
};

struct TanhUnit {
  static constexpr const char* name = "pair_hidden_tanh";
  static constexpr bool homogeneous = false;
  template <class T> HD_INLINE static T value(T z) { return math::tanh(z); }
  template <class T> HD_INLINE static T pull_back(T z, T g) {
    const T h = math::tanh(z);
    return g * ((T(1) - h) * (T(1) + h));
  }
  static Tensor op(const Tensor& z) { return tanh(z); }
};

// Rows are numbered over (B,H,R,T) or (B,H,R,M). Columns of keys lie dense: c is (B,H,M,S).
struct PairShape {
  int64_t heads, outputs, queries, keys, units, weight_heads;
  bool causal;
  int64_t offset;

  HD int64_t seen(int64_t t) const {   // keys that query t may see
    const int64_t limit = causal ? t + offset + 1 : keys;
    return limit < 0 ? 0 : limit < keys ? limit : keys;
  }
  HD int64_t head_of(int64_t row, int64_t inner) const { return row / (outputs * inner); }     // b·H + h
  HD int64_t weight_row(int64_t row, int64_t inner) const {                                    // of (weight_heads, R)
    return head_of(row, inner) % heads % weight_heads * outputs + row / inner % outputs;
  }
};

namespace {

// y_s = Σ_k W_k h(a_k + c_ks)
template <class T, class Unit> struct PairRow {
  const T *a, *c, *weight;
  T* y;
  PairShape shape;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t t = row % shape.queries, bh = shape.head_of(row, shape.queries), units = shape.units, keys = shape.keys;
    const T* at = a + (bh * shape.queries + t) * units;
    const T* ck = c + bh * units * keys;
    const T* w = weight + shape.weight_row(row, shape.queries) * units;
    T* out = y + row * keys;
    const int64_t seen = shape.seen(t);
    team.each(keys, [&](int64_t s) { out[s] = T(0); });
    for (int64_t k = 0; k < units; ++k) {
      const T query = at[k], factor = w[k];
      const T* key = ck + k * keys;
      team.each(seen, [&](int64_t s) { out[s] += factor * Unit::value(query + key[s]); });
    }
  }
};

// F_k = Σ_s g_s h′(a_k + c_ks), or with `values` P_k = Σ_s g_s h(a_k + c_ks)
template <class T, class Unit, bool values> struct QuerySumRow {
  const T *a, *c, *g;
  T* sums;   // (B,H,R,T,M)
  PairShape shape;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t t = row % shape.queries, bh = shape.head_of(row, shape.queries), units = shape.units, keys = shape.keys;
    const T* gr = g + row * keys;
    for (int64_t k = 0; k < units; ++k) {
      const T query = a[(bh * shape.queries + t) * units + k];
      const T* key = c + (bh * units + k) * keys;
      sums[row * units + k] = team.sum(shape.seen(t), [&](int64_t s) {
        if constexpr (values) return gr[s] * Unit::value(query + key[s]);
        else return Unit::pull_back(query + key[s], gr[s]);
      });
    }
  }
};

// G_s = Σ_t g_ts h′(a_tk + c_s) for one unit k
template <class T, class Unit> struct KeySumRow {
  const T *a, *c, *g;
  T* sums;   // (B,H,R,M,S)
  PairShape shape;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t k = row % shape.units, bh = shape.head_of(row, shape.units), units = shape.units, keys = shape.keys;
    const T* key = c + (bh * units + k) * keys;
    const T* gr = g + row / units * shape.queries * keys;
    T* out = sums + row * keys;
    team.each(keys, [&](int64_t s) { out[s] = T(0); });
    for (int64_t t = 0; t < shape.queries; ++t) {
      const T query = a[(bh * shape.queries + t) * units + k];
      const T* gt = gr + t * keys;
      team.each(shape.seen(t), [&](int64_t s) { out[s] += Unit::pull_back(query + key[s], gt[s]); });
    }
  }
};

}  // namespace

template <class Unit>
struct PairHidden {
  static constexpr const char* name = Unit::name;
  SavedMask mask;
  Saved a, c, weight;

  Tensor forward(const Tensor& a_, const Tensor& c_, const Tensor& weight_) {
    require_same_kind(name, {&a_, &c_, &weight_});
    require(a_.rank() == 4 && c_.rank() == 4 && weight_.rank() == 3 && a_.shape().with(2, 0) == c_.shape().with(2, 0) &&
                weight_.size(2) == a_.size(3) && (weight_.size(0) == 1 || weight_.size(0) == a_.size(1)),
            name, [&] {
              return text("needs a (B,H,T,M), c (B,H,S,M), weight (1 or H,R,M), got ", a_.shape(), ", ", c_.shape(), ", ",
                          weight_.shape());
            });
    require_offset(name, mask->offset);
    a = a_;
    c = c_;
    weight = weight_;
    const PairShape shape = pairs();
    const Tensor query = a_.contiguous(), key = view::transpose(c_, 2, 3).contiguous(), w = weight_.contiguous();
    const Tensor y =
        Tensor::empty({a_.size(0), shape.heads, shape.outputs, shape.queries, shape.keys}, a_.dtype(), a_.device());
    count_pass();
    with_float(name, y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(y.device(), a_.size(0) * shape.heads * shape.outputs * shape.queries, shape.keys * shape.units,
                   PairRow<T, Unit>{query.data<T>(), key.data<T>(), w.data<T>(), y.data<T>(), shape});
    });
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward&) const {
    const PairShape shape = pairs();
    const int64_t batch = a->size(0), rows = batch * shape.heads * shape.outputs;
    const Tensor g = g_.contiguous(), query = a->contiguous(), key = view::transpose(*c, 2, 3).contiguous();
    const Tensor F = Tensor::empty({batch, shape.heads, shape.outputs, shape.queries, shape.units}, g.dtype(), g.device());
    const Tensor G = Tensor::empty({batch, shape.heads, shape.outputs, shape.units, shape.keys}, g.dtype(), g.device());
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      count_pass();
      for_each_row(g.device(), rows * shape.queries, shape.keys * shape.units,
                   QuerySumRow<T, Unit, false>{query.data<T>(), key.data<T>(), g.data<T>(), F.data<T>(), shape});
      count_pass();
      for_each_row(g.device(), rows * shape.units, shape.keys * shape.queries,
                   KeySumRow<T, Unit>{query.data<T>(), key.data<T>(), g.data<T>(), G.data<T>(), shape});
    });
    const int64_t R = shape.outputs, M = shape.units;
    const Tensor W = reshape(*weight, {1, shape.weight_heads, R, 1, M}), by_key = transpose(G, 3, 4);  // by_key (B,H,R,S,M)
    const Tensor da = sum(mul(W, F), 2), dc = sum(mul(W, by_key), 2);
    Tensor dW;   // (B,H,R,M)
    if constexpr (Unit::homogeneous) {
      const Tensor from_queries = sum(mul(reshape(query, {batch, shape.heads, 1, shape.queries, M}), F), 3);
      const Tensor from_keys = sum(mul(reshape(*c, {batch, shape.heads, 1, shape.keys, M}), by_key), 3);
      dW = add(from_queries, from_keys);
    } else {
      const Tensor P = Tensor::empty(F.shape(), g.dtype(), g.device());
      count_pass();
      with_float(name, g.dtype(), [&](auto zero) {
        using T = decltype(zero);
        for_each_row(g.device(), rows * shape.queries, shape.keys * shape.units,
                     QuerySumRow<T, Unit, true>{query.data<T>(), key.data<T>(), g.data<T>(), P.data<T>(), shape});
      });
      dW = sum(P, 3);
    }
    return {da, dc, reshape(sum_to(dW, {1, shape.weight_heads, R, M}), weight->shape())};
  }

  std::vector<Saved> inputs() const { return {a, c, weight}; }
  // The hidden layer of every pair, stored. The causal part of the mask is a product with zeros and ones.
  Tensor composite(const std::vector<Tensor>& in) const {
    const PairShape shape = pairs();
    const int64_t batch = in[0].size(0), H = shape.heads, T = shape.queries, S = shape.keys, M = shape.units,
                  R = shape.outputs;
    const Tensor z = add(reshape(in[0], {batch, H, T, 1, M}), reshape(in[1], {batch, H, 1, S, M}));
    const Tensor pairs_first = matmul(reshape(Unit::op(z), {batch, H, T * S, M}), transpose(in[2]));   // (B,H,T·S,R)
    std::vector<double> allowed(T * S);
    for (int64_t t = 0; t < T; ++t) std::fill_n(allowed.begin() + t * S, shape.seen(t), 1.0);
    const Tensor kept = Tensor::from(allowed, {T, S}, in[0].device()).to(in[0].dtype());
    return mul(reshape(transpose(pairs_first), {batch, H, R, T, S}), kept);
  }

 private:
  // An addition and a product for each unit of every pair, as if no mask hid any.
  void count_pass() const {
    const PairShape shape = pairs();
    if (DryRun* dry = DryRun::current())
      dry->count(2 * a->size(0) * shape.heads * shape.outputs * shape.queries * shape.keys * shape.units);
  }

  PairShape pairs() const {
    return {a->size(1), weight->size(1), a->size(2), c->size(2), a->size(3), weight->size(0), mask->causal, mask->offset};
  }
};

Tensor pair_hidden(const Tensor& a, const Tensor& c, const Tensor& weight, const Mask& mask) {
  return apply(PairHidden<ReluUnit>{mask, {}, {}, {}}, a, c, weight);
}

Tensor pair_hidden_tanh(const Tensor& a, const Tensor& c, const Tensor& weight, const Mask& mask) {
  return apply(PairHidden<TanhUnit>{mask, {}, {}, {}}, a, c, weight);
}

}  // namespace tapir

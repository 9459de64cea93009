// Cross-entropy of logits and target classes, summed over rows. Letters: N rows, V classes.
#include "autograd/ops/cross_entropy.h"

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/elementwise.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"
#include "tensor/view.h"

namespace tapir {
namespace {

// loss_n = log Σ exp(logits_n) − (1 − ε) logits_n[target_n] − ε mean(logits_n);  0 where the target is ignored
template <class T> struct LossRow {
  const T* logits;
  const int32_t* target;
  T *losses, *maxima, *log_totals;   // of each row: max and log Σ exp(logits − max); their sum would lose digits
  int64_t n;
  int32_t ignored;
  T smoothing;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = logits + row * n;
    const T m = team.max(n, [&](int64_t i) { return a[i]; });
    const T log_total = math::log(team.sum(n, [&](int64_t i) { return math::exp(a[i] - m); }));
    T loss = T(0);
    if (target[row] != ignored) {
      const T keep = T(1) - smoothing, share = smoothing / static_cast<T>(n), at_target = a[target[row]];
      loss = log_total - keep * (at_target - m);
      if (smoothing > T(0)) {
        loss -= smoothing * (team.sum(n, [&](int64_t i) { return a[i] - m; }) / static_cast<T>(n));
        if (!(loss - loss == T(0)))   // a difference is too large, though what ε leaves of it may not be
          loss = log_total + (keep * m - keep * at_target) + team.sum(n, [&](int64_t i) { return share * m - share * a[i]; });
      }
    }
    losses[row] = loss;
    maxima[row] = m;
    log_totals[row] = log_total;
  }
};

// dlogits = g (softmax(logits_n) − (1 − ε) onehot(target_n) − ε/V)
template <class T> struct LossBackwardRow {
  const T *logits, *maxima, *log_totals, *g;
  const int32_t* target;
  T* dx;
  int64_t n;
  int32_t ignored;
  T smoothing;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = logits + row * n;
    T* out = dx + row * n;
    const bool counts = target[row] != ignored;
    const T scale = counts ? *g : T(0), share = smoothing / static_cast<T>(n), m = maxima[row], log_total = log_totals[row];
    team.each(n, [&](int64_t i) { out[i] = math::gated(math::exp((a[i] - m) - log_total) - share, scale); });
    team.each(counts ? 1 : 0, [&](int64_t) { out[target[row]] -= scale * (T(1) - smoothing); });
  }
};

// (1 − ε) onehot(target_n) + ε/V
template <class T> struct TargetRow {
  const int32_t* target;
  T* weights;
  int64_t n;
  T smoothing;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    T* out = weights + row * n;
    const T share = smoothing / static_cast<T>(n);
    team.each(n, [&](int64_t i) { out[i] = i == target[row] ? share + (T(1) - smoothing) : share; });
  }
};

struct Counts {
  int32_t ignored;
  HD uint8_t operator()(int32_t target) const { return target != ignored; }
};

template <class T> struct Element {
  const T* x;
  HD T operator()(int64_t i) const { return x[i]; }
};

}  // namespace

struct CrossEntropy {
  static constexpr const char* name = "cross_entropy";
  Saved targets;
  CrossEntropyOptions options;
  Saved logits{};
  Saved maxima{}, log_totals{};   // (N)

  Tensor forward(const Tensor& logits_) {
    const int64_t n = logits_.rank() ? logits_.size(-1) : 0, rows = targets->elements();
    const Shape &whole = logits_.shape(), &leading = targets->shape();
    require(targets->dtype() == DType::i32 && n > 0 &&
                std::equal(whole.begin(), whole.end() - 1, leading.begin(), leading.end()), name, [&] {
      return text("logits (…,V) need i32 targets (…): got ", logits_.shape(), " and ", targets->dtype(), targets->shape());
    });
    require(targets->device() == logits_.device(), name,
            [&] { return text("targets are on ", targets->device(), ", logits on ", logits_.device()); });
    const std::vector<int32_t> target = targets->values<int32_t>();
    for (int64_t i = 0; i < rows; ++i)
      require(target[i] == options.ignored || (target[i] >= 0 && target[i] < n), name, [&] {
        return text("target ", target[i], " at position ", i, " is neither in 0 … ", n - 1, " nor the ignored ",
                    options.ignored, "; logits ", logits_.shape());
      });
    require(options.label_smoothing >= 0 && options.label_smoothing <= 1, name,
            [&] { return text("label_smoothing must be in [0, 1], got ", options.label_smoothing); });
    logits = logits_;
    const Tensor x = logits_.contiguous(), losses = Tensor::empty({rows}, x.dtype(), x.device());
    const Tensor total = Tensor::empty({}, x.dtype(), x.device());
    maxima = Tensor::empty({rows}, x.dtype(), x.device());
    log_totals = Tensor::empty({rows}, x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(x.device(), rows, n,
                   LossRow<T>{x.data<T>(), targets->data<int32_t>(), losses.data<T>(), maxima->data<T>(), log_totals->data<T>(), n,
                              options.ignored, static_cast<T>(options.label_smoothing)});
      full_sum(x.device(), rows, Element<T>{losses.data<T>()}, total.data<T>());
    });
    return total;
  }

  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor x = logits->contiguous(), dx = Tensor::empty(x.shape(), x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(x.device(), targets->elements(), x.size(-1),
                   LossBackwardRow<T>{x.data<T>(), maxima->data<T>(), log_totals->data<T>(), g.data<T>(),
                                      targets->data<int32_t>(), dx.data<T>(), x.size(-1), options.ignored,
                                      static_cast<T>(options.label_smoothing)});
    });
    return {dx};
  }

  std::vector<Saved> inputs() const { return {logits}; }
  // −Σ ((1 − ε) onehot + ε/V) · log softmax, the first factor as a constant; rows that do not count are hidden
  Tensor composite(const std::vector<Tensor>& in) const {
    const int64_t n = in[0].size(-1);
    const Tensor weights = Tensor::empty(in[0].shape(), in[0].dtype(), in[0].device());
    with_float(name, in[0].dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(weights.device(), targets->elements(), n,
                   TargetRow<T>{targets->data<int32_t>(), weights.data<T>(), n, static_cast<T>(options.label_smoothing)});
    });
    Tensor counts = Tensor::empty(in[0].shape().with(-1, 1), DType::u8, in[0].device());
    map_into<uint8_t, int32_t>(counts, Counts{options.ignored}, view::reshape(*targets, counts.shape()));
    const Tensor shown = where(counts, in[0], Tensor::zeros({}, in[0].dtype(), in[0].device()));
    return neg(sum(mul(log_softmax(shown), weights)));
  }
};
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  require_defined(CrossEntropy::name, "the target tensor", targets);
  return apply(CrossEntropy{targets.contiguous(), options}, logits);
}

}  // namespace tapir

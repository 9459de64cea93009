// Cross-entropy of logits and target classes, summed over rows. Letters: N rows, V classes.
#include "autograd/apply.h"
#include "autograd/ops.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir {
namespace {

// loss_n = log Σ exp(logits_n) − logits_n[target_n];  0 where the target is −1
template <class T> struct LossRow {
  const T* logits;
  const int32_t* target;
  T *losses, *maxima, *log_totals;   // of each row: max and log Σ exp(logits − max); their sum would lose digits
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = logits + row * n;
    const T m = team.max(n, [&](int64_t i) { return a[i]; });
    const T log_total = math::log(team.sum(n, [&](int64_t i) { return math::exp(a[i] - m); }));
    losses[row] = target[row] < 0 ? T(0) : log_total - (a[target[row]] - m);
    maxima[row] = m;
    log_totals[row] = log_total;
  }
};

// dlogits = g (softmax(logits_n) − onehot(target_n))
template <class T> struct LossBackwardRow {
  const T *logits, *maxima, *log_totals, *g;
  const int32_t* target;
  T* dx;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = logits + row * n;
    T* out = dx + row * n;
    const T scale = target[row] < 0 ? T(0) : *g, m = maxima[row], log_total = log_totals[row];
    team.each(n, [&](int64_t i) { out[i] = math::gated(math::exp((a[i] - m) - log_total), scale); });
    if (target[row] >= 0) out[target[row]] -= scale;
  }
};

template <class T> struct Element {
  const T* x;
  HD T operator()(int64_t i) const { return x[i]; }
};

}  // namespace

struct CrossEntropy {
  static constexpr const char* name = "cross_entropy";
  Tensor targets;
  Saved logits;
  Tensor maxima{}, log_totals{};   // (N)

  Tensor forward(const Tensor& logits_) {
    const int64_t n = logits_.rank() ? logits_.size(-1) : 0, rows = targets.elements();
    const Shape &whole = logits_.shape(), &leading = targets.shape();
    require(targets.dtype() == DType::i32 && n > 0 &&
                std::equal(whole.begin(), whole.end() - 1, leading.begin(), leading.end()), name, [&] {
      return text("logits (…,V) need i32 targets (…): got ", logits_.shape(), " and ", targets.dtype(), targets.shape());
    });
    const int32_t* target = targets.data<int32_t>();
    for (int64_t i = 0; i < rows; ++i)
      require(target[i] >= -1 && target[i] < n, name, [&] {
        return text("target ", target[i], " at position ", i, " is outside of −1 … ", n - 1, " for logits ",
                    logits_.shape());
      });
    logits = logits_;
    const Tensor x = logits_.contiguous(), losses = Tensor::empty({rows}, x.dtype(), x.device());
    const Tensor total = Tensor::empty({}, x.dtype(), x.device());
    maxima = Tensor::empty({rows}, x.dtype(), x.device());
    log_totals = Tensor::empty({rows}, x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(x.device(), rows, n,
                   LossRow<T>{x.data<T>(), target, losses.data<T>(), maxima.data<T>(), log_totals.data<T>(), n});
      *total.data<T>() = full_sum<T>(x.device(), rows, Element<T>{losses.data<T>()});
    });
    return total;
  }

  Gradients backward(const Tensor& g, const Backward&) const {
    const Tensor x = logits->contiguous(), dx = Tensor::empty(x.shape(), x.dtype(), x.device());
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(x.device(), targets.elements(), x.size(-1),
                   LossBackwardRow<T>{x.data<T>(), maxima.data<T>(), log_totals.data<T>(), g.data<T>(),
                                      targets.data<int32_t>(), dx.data<T>(), x.size(-1)});
    });
    return {dx};
  }

  std::vector<Saved> inputs() const { return {logits}; }
  // −Σ onehot · log softmax, the one-hot rows as a constant.
  Tensor composite(const std::vector<Tensor>& in) const {
    const Tensor onehot = Tensor::zeros(in[0].shape(), in[0].dtype(), in[0].device());
    with_float(name, in[0].dtype(), [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < targets.elements(); ++i)
        if (targets.data<int32_t>()[i] >= 0) onehot.data<T>()[i * in[0].size(-1) + targets.data<int32_t>()[i]] = 1;
    });
    return neg(sum(mul(log_softmax(in[0]), onehot)));
  }
};
Tensor cross_entropy(const Tensor& logits, const Tensor& targets) {
  return apply(CrossEntropy{targets.contiguous(), {}}, logits);
}

}  // namespace tapir

#include "nn/optim/optimiser.h"
#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

template <class T> struct LionElement {
  T *value, *m;
  const T* gradient;
  const double* scale;
  T keep, beta1, beta2, rate;   // keep = 1 − rate·decay
  HD void operator()(int64_t i) const {
    const T g = static_cast<T>(*scale) * gradient[i], c = beta1 * m[i] + (T(1) - beta1) * g;
    const T sign = c > T(0) ? T(1) : c < T(0) ? T(-1) : c - c;   // NaN stays
    value[i] = keep * value[i] - rate * sign;
    m[i] = beta2 * m[i] + (T(1) - beta2) * g;
  }
};

}  // namespace

Lion::Lion(Module& model, const LionOptions& options)
    : Optimiser("lion", model, [](const Parameter&) { return std::vector<std::string>{"m"}; }), options_(options) {
  require_allowed("lion", options);
}

void Lion::update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) {
  with_float("lion", updates.front().g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<Loop<LionElement<T>>> loops;
    for (const Update& one : updates) {
      const double decay = decays(one.slot.kind) ? options_.decay : 0;
      loops.push_back({one.g.elements(),
                       {one.value.data<T>(), one.slot.state[0].data<T>(), one.g.data<T>(), gradient_scale.data<double>(),
                        static_cast<T>(1 - rate * decay), static_cast<T>(options_.beta1), static_cast<T>(options_.beta2),
                        static_cast<T>(rate)}});
    }
    for_each(updates.front().g.device(), loops);
  });
}

}  // namespace tapir::nn

#include "nn/optim.h"
#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

template <class T> struct LionElement {
  T *value, *m;
  const T* gradient;
  T scale, keep, beta1, beta2, rate;   // keep = 1 − rate·decay
  HD void operator()(int64_t i) const {
    const T g = scale * gradient[i], c = beta1 * m[i] + (T(1) - beta1) * g;
    const T sign = c > T(0) ? T(1) : c < T(0) ? T(-1) : T(0);
    value[i] = keep * value[i] - rate * sign;
    m[i] = beta2 * m[i] + (T(1) - beta2) * g;
  }
};

}  // namespace

Lion::Lion(Module& model, const LionOptions& options)
    : Optimiser("lion", model, [](const Parameter&) { return std::vector<std::string>{"m"}; }), options_(options) {}

void Lion::update(const Slot& slot, const Tensor& g, double rate, double gradient_scale) {
  const double decay = decays(slot.kind) ? options_.decay : 0;
  with_float("lion", slot.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each(slot.value.device(), slot.value.elements(),
             LionElement<T>{slot.value.data<T>(), slot.state[0].data<T>(), g.data<T>(), static_cast<T>(gradient_scale),
                            static_cast<T>(1 - rate * decay), static_cast<T>(options_.beta1),
                            static_cast<T>(options_.beta2), static_cast<T>(rate)});
  });
}

}  // namespace tapir::nn

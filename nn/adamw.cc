#include <cmath>

#include "nn/optim.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir::nn {
namespace {

template <class T> struct AdamWElement {
  T *value, *m, *v;
  const T* gradient;
  T scale, keep, beta1, beta2, rate, root_correction, epsilon;   // keep = 1 − rate·decay
  HD void operator()(int64_t i) const {
    const T g = scale * gradient[i];
    m[i] = beta1 * m[i] + (T(1) - beta1) * g;
    v[i] = beta2 * v[i] + (T(1) - beta2) * (g * g);
    value[i] = keep * value[i] - rate * m[i] / (math::sqrt(v[i]) / root_correction + epsilon);
  }
};

}  // namespace

AdamW::AdamW(const char* name, Module& model, const AdamWOptions& options, const StateNames& state_of)
    : Optimiser(name, model, state_of), options_(options) {}

AdamW::AdamW(Module& model, const AdamWOptions& options)
    : AdamW("adamw", model, options, [](const Parameter&) { return std::vector<std::string>{"m", "v"}; }) {}

void AdamW::update(const Slot& slot, const Tensor& g, double rate, double gradient_scale) {
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps()));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps()));
  const double decay = decays(slot.kind) ? options_.decay : 0;
  with_float("adamw", slot.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each(slot.value.device(), slot.value.elements(),
             AdamWElement<T>{slot.value.data<T>(), slot.state[0].data<T>(), slot.state[1].data<T>(), g.data<T>(),
                             static_cast<T>(gradient_scale), static_cast<T>(1 - rate * decay),
                             static_cast<T>(options_.beta1), static_cast<T>(options_.beta2),
                             static_cast<T>(rate / correction1), static_cast<T>(std::sqrt(correction2)),
                             static_cast<T>(options_.epsilon)});
  });
}

}  // namespace tapir::nn

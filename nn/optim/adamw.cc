#include <cmath>

#include "nn/optim/optimiser.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir::nn {
namespace {

template <class T> struct AdamWElement {
  T *value, *m, *v;
  const T* gradient;
  const double* scale;
  T keep, beta1, beta2, rate, root_correction, epsilon;   // keep = 1 − rate·decay
  HD void operator()(int64_t i) const {
    const T g = static_cast<T>(*scale) * gradient[i];
    m[i] = beta1 * m[i] + (T(1) - beta1) * g;
    v[i] = beta2 * v[i] + (T(1) - beta2) * (g * g);
    const T step = rate * m[i] / (math::sqrt(v[i]) / root_correction + epsilon);
    value[i] = keep * value[i] - step + (v[i] - v[i]);   // NaN where v overflowed
  }
};

}  // namespace

AdamW::AdamW(const char* name, Module& model, const AdamWOptions& options, const StateNames& state_of)
    : Optimiser(name, model, state_of), options_(options) {
  require_allowed(name, options);
}

AdamW::AdamW(Module& model, const AdamWOptions& options)
    : AdamW("adamw", model, options, [](const Parameter&) { return std::vector<std::string>{"m", "v"}; }) {}

void AdamW::update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) {
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps()));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps()));
  with_float("adamw", updates.front().g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<Loop<AdamWElement<T>>> loops;
    for (const Update& one : updates) {
      const double decay = decays(one.slot.kind) ? options_.decay : 0;
      loops.push_back({one.g.elements(),
                       {one.value.data<T>(), one.slot.state[0].data<T>(), one.slot.state[1].data<T>(), one.g.data<T>(),
                        gradient_scale.data<double>(), static_cast<T>(1 - rate * decay), static_cast<T>(options_.beta1),
                        static_cast<T>(options_.beta2), static_cast<T>(rate / correction1),
                        static_cast<T>(std::sqrt(correction2)), static_cast<T>(options_.epsilon)}});
    }
    for_each(updates.front().g.device(), loops);
  });
}

}  // namespace tapir::nn

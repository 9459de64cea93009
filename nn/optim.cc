#include "nn/optim.h"

#include <cmath>

#include "autograd/backward.h"
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

template <class T> struct SquareOf {
  const T* x;
  HD double operator()(int64_t i) const { return static_cast<double>(x[i]) * static_cast<double>(x[i]); }
};

}  // namespace

AdamW::AdamW(Module& model, const AdamWOptions& options) : options_(options) {
  model.each_parameter([&](const std::string& name, Parameter& parameter) {
    const Tensor& value = parameter.value;
    require(
        value.defined(), "adamw", [&] { return text("parameter ", name, " has no value"); }, "initialise the model first");
    slots_.push_back({name, parameter.kind, value, Tensor::zeros(value.shape(), value.dtype(), value.device()),
                      Tensor::zeros(value.shape(), value.dtype(), value.device())});
  });
}

void AdamW::step(double rate, double gradient_scale) {
  ++steps_;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
  for (Slot& slot : slots_) {
    const Tensor g = gradient(slot.value);
    if (!g.defined()) continue;
    const double decay = slot.kind == ParameterKind::weight ? options_.decay : 0;
    with_float("adamw", slot.value.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each(
          slot.value.device(), slot.value.elements(),
          AdamWElement<T>{slot.value.data<T>(), slot.m.data<T>(), slot.v.data<T>(), g.data<T>(),
                          static_cast<T>(gradient_scale), static_cast<T>(1 - rate * decay), static_cast<T>(options_.beta1),
                          static_cast<T>(options_.beta2), static_cast<T>(rate / correction1),
                          static_cast<T>(std::sqrt(correction2)), static_cast<T>(options_.epsilon)});
    });
    slot.value.wrote();
  }
}

void AdamW::clear_gradients() {
  for (Slot& slot : slots_) set_gradient(slot.value, Tensor());
}

double AdamW::gradient_norm() const {
  double total = 0;
  for (const Slot& slot : slots_) {
    const Tensor g = gradient(slot.value);
    if (!g.defined()) continue;
    with_float("adamw", g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      total += full_sum<double>(g.device(), g.elements(), SquareOf<T>{g.data<T>()});
    });
  }
  return std::sqrt(total);
}

std::vector<std::pair<std::string, Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const Slot& slot : slots_) {
    tensors.emplace_back(slot.name + ".m", slot.m);
    tensors.emplace_back(slot.name + ".v", slot.v);
  }
  return tensors;
}

}  // namespace tapir::nn

#include "nn/ema.h"

#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

template <class T> struct AverageElement {
  T* average;
  const T* value;
  T decay;
  HD void operator()(int64_t i) const { average[i] = decay * average[i] + (T(1) - decay) * value[i]; }
};

}  // namespace

Ema::Ema(Module& model, double decay) : decay_(decay) {
  require(decay >= 0 && decay < 1, "ema", [&] { return text("the decay must be in [0, 1), got ", decay); });
  model.each_parameter([&](const std::string& name, Parameter& parameter) {
    require(
        parameter.value.defined(), "ema", [&] { return text("parameter ", name, " has no value"); },
        "initialise the model first");
    slots_.push_back({name, &parameter, parameter.value.copy()});
  });
}

void Ema::update() {
  for (const Slot& slot : slots_) {
    const Tensor &value = slot.parameter->value, &average = slot.average;
    with_float("ema", value.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each(value.device(), value.elements(),
               AverageElement<T>{average.data<T>(), value.data<T>(), static_cast<T>(decay_)});
    });
    average.wrote();
  }
}

void Ema::exchange() {
  for (Slot& slot : slots_) std::swap(slot.parameter->value, slot.average);
}

std::vector<std::pair<std::string, Tensor>> Ema::state() const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const Slot& slot : slots_) tensors.emplace_back(slot.name, slot.average);
  return tensors;
}

}  // namespace tapir::nn

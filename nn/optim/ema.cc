#include "nn/optim/ema.h"

#include "tensor/argument.h"
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
  require_in({0, 1, true, false}, "ema", "the decay", decay);
  model.each_parameter([&](const std::string& name, Parameter& parameter) {
    require(
        parameter.value.defined(), "ema", [&] { return text("parameter ", name, " has no value"); },
        "initialise the model first");
    slots_.push_back({name, &parameter, parameter.value.detach().copy()});
  });
}

void Ema::update() {
  require(!exchanged_, "ema", [] { return "the model has the averages"; }, "exchange() them back before the next step");
  if (slots_.empty()) return;
  for (const Slot& slot : slots_) require_same_kind("ema", {&slot.average, &slot.parameter->value});
  const Tensor& first = slots_.front().average;
  with_float("ema", first.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<Loop<AverageElement<T>>> loops;
    for (const Slot& slot : slots_)
      loops.push_back({slot.average.elements(),
                       {slot.average.data<T>(), slot.parameter->value.data<T>(), static_cast<T>(decay_)}});
    for_each(first.device(), loops);
  });
  for (const Slot& slot : slots_) slot.average.wrote();
}

void Ema::exchange() {
  for (const Slot& slot : slots_)
    require(
        !exchanged_ || slot.parameter->value.shares_storage(slot.average), "ema",
        [&] { return text("parameter ", slot.name, " was given another value while the model had the averages"); },
        "exchange() them back first");
  for (Slot& slot : slots_) {
    if (exchanged_) {
      slot.parameter->value = std::move(slot.own);
    } else {
      slot.own = std::move(slot.parameter->value);
      slot.parameter->value = slot.average;
    }
  }
  exchanged_ = !exchanged_;
}

std::vector<std::pair<std::string, Tensor>> Ema::state() const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const Slot& slot : slots_) tensors.emplace_back(slot.name, slot.average);
  return tensors;
}

}  // namespace tapir::nn

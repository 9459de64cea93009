#include "nn/optim/ema.h"

#include "nn/optim/own_memory.h"
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

template <class T> struct ExchangeElement {
  T *average, *value;
  HD void operator()(int64_t i) const {
    const T own = value[i];
    value[i] = average[i];
    average[i] = own;
  }
};

}  // namespace

Ema::Ema(Module& model, double decay) : decay_(decay) {
  require_in({0, 1, true, false}, "ema", "the decay", decay);
  const auto average = [&](const std::string& name, const Tensor& value) {
    require(value.defined(), "ema", [&] { return text(name, " has no value"); }, "initialise the model first");
    slots_.push_back({name, &value, value.detach().copy()});
  };
  model.each_parameter([&](const std::string& name, Parameter& parameter) { average(name, parameter.value); });
  model.each_buffer([&](const std::string& name, Buffer& buffer) {
    if (buffer.kind == BufferKind::statistics) average(name, buffer.value);
  });
}

template <template <class> class Element, class... Numbers> void Ema::each(Numbers... numbers) {
  for (const Slot& slot : slots_) {
    require_same_kind("ema", {&slot.average, slot.value});
    require(
        slot.value->shape() == slot.average.shape() && slot.value->is_contiguous(), "ema",
        [&] { return text(slot.name, " must be dense ", slot.average.shape(), " and is ", slot.value->shape()); },
        "make the averages again");
  }
  if (slots_.empty()) return;
  const Tensor& first = slots_.front().average;
  with_float("ema", first.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<Loop<Element<T>>> loops;
    for (const Slot& slot : slots_)
      loops.push_back({slot.average.elements(),
                       {slot.average.data<T>(), slot.value->data<T>(), static_cast<T>(numbers)...}});
    for_each(first.device(), loops);
  });
  for (const Slot& slot : slots_) slot.average.wrote();
}

void Ema::update() {
  require(!exchanged_, "ema", [] { return "the model has the averages"; }, "exchange() them back before the next update");
  each<AverageElement>(decay_);
}

void Ema::exchange() {
  std::vector<std::pair<std::string, Tensor>> values;
  for (const Slot& slot : slots_) {
    require(
        !exchanged_ || slot.value->shares_storage(slot.exchanged), "ema",
        [&] { return text(slot.name, " was given another value while the model had the averages"); },
        "exchange() them back first");
    values.emplace_back(slot.name, *slot.value);
  }
  require_own_memory("ema", values);   // what is exchanged twice is not exchanged
  each<ExchangeElement>();
  for (Slot& slot : slots_) {
    slot.value->wrote();
    slot.exchanged = exchanged_ ? Tensor() : slot.value->detach();
  }
  exchanged_ = !exchanged_;
}

std::vector<std::pair<std::string, Tensor>> Ema::state() const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const Slot& slot : slots_) tensors.emplace_back(slot.name, slot.average);
  return tensors;
}

}  // namespace tapir::nn

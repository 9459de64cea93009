#include "nn/optim.h"
#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

template <class T> struct SgdElement {
  T *value, *m;
  const T* gradient;
  T scale, decay, momentum, rate;
  bool nesterov;
  HD void operator()(int64_t i) const {
    const T g = scale * gradient[i] + decay * value[i];
    m[i] = momentum * m[i] + g;
    value[i] -= rate * (nesterov ? g + momentum * m[i] : m[i]);
  }
};

}  // namespace

Sgd::Sgd(Module& model, const SgdOptions& options)
    : Optimiser("sgd", model, [](const Parameter&) { return std::vector<std::string>{"m"}; }), options_(options) {}

void Sgd::update(const Slot& slot, const Tensor& g, double rate, double gradient_scale) {
  const double decay = decays(slot.kind) ? options_.decay : 0;
  with_float("sgd", slot.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each(slot.value.device(), slot.value.elements(),
             SgdElement<T>{slot.value.data<T>(), slot.state[0].data<T>(), g.data<T>(), static_cast<T>(gradient_scale),
                           static_cast<T>(decay), static_cast<T>(options_.momentum), static_cast<T>(rate),
                           options_.nesterov});
  });
}

}  // namespace tapir::nn

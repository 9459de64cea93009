#include "nn/optim/optimiser.h"
#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

template <class T> struct SgdElement {
  T *value, *m;
  const T* gradient;
  const double* scale;
  T decay, momentum, rate;
  bool nesterov;
  HD void operator()(int64_t i) const {
    const T g = static_cast<T>(*scale) * gradient[i] + decay * value[i];
    m[i] = momentum * m[i] + g;
    value[i] -= rate * (nesterov ? g + momentum * m[i] : m[i]);
  }
};

}  // namespace

Sgd::Sgd(Module& model, const SgdOptions& options)
    : Optimiser("sgd", model, [](const Parameter&) { return std::vector<std::string>{"m"}; }), options_(options) {
  require_allowed("sgd", options);
}

void Sgd::update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) {
  with_float("sgd", updates.front().g.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<Loop<SgdElement<T>>> loops;
    for (const Update& one : updates)
      loops.push_back({one.g.elements(),
                       {one.value.data<T>(), one.slot.state[0].data<T>(), one.g.data<T>(), gradient_scale.data<double>(),
                        static_cast<T>(decays(one.slot.kind) ? options_.decay : 0), static_cast<T>(options_.momentum),
                        static_cast<T>(rate), options_.nesterov}});
    for_each(updates.front().g.device(), loops);
  });
}

}  // namespace tapir::nn

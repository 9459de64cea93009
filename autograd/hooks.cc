#include "autograd/hooks.h"

namespace tapir {

GradientHandle on_gradient(const Tensor& x, GradientHook hook) {
  require(x.defined(), "on_gradient", [] { return "the tensor has no value"; });
  require(x.node != nullptr, "on_gradient", [] { return "the tensor needs no gradient"; }, "make it a leaf: requires_grad");
  std::erase_if(x.node->hooks, [](const auto& other) { return other.expired(); });
  const auto handle = std::make_shared<const GradientHook>(std::move(hook));
  x.node->hooks.push_back(handle);
  return handle;
}

}  // namespace tapir

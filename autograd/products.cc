#include "autograd/products.h"

#include "autograd/node.h"

namespace tapir {
namespace {

void require_tangents(const char* product, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v) {
  require(v.size() == inputs.size(), product, [&] { return text(v.size(), " tangents for ", inputs.size(), " inputs"); });
  for (size_t i = 0; i < v.size(); ++i) {
    require(inputs[i].defined() && v[i].defined(), product, [&] { return text("input or tangent ", i, " has no value"); });
    require(v[i].shape() == inputs[i].shape() && v[i].dtype() == inputs[i].dtype(), product, [&] {
      return text("tangent ", i, " is ", v[i].dtype(), v[i].shape(), ", its input is ", inputs[i].dtype(),
                  inputs[i].shape());
    });
  }
}

}  // namespace

PulledBack vjp(const Function& f, const std::vector<Tensor>& inputs, const Tensor& u) {
  const GradMode recording(true);
  const std::vector<Tensor> x = requires_grad(inputs);
  const Tensor y = f(x);
  require(u.defined() && u.shape() == y.shape() && u.dtype() == y.dtype(), "vjp", [&] {
    return text("u must be ", y.dtype(), y.shape(), " like the value of f",
                u.defined() ? text(", got ", u.dtype(), u.shape()) : "");
  });
  return {y.detach(), grad({y}, x, {u})};
}

PushedForward jvp(const Function& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v) {
  require_tangents("jvp", inputs, v);
  const GradMode recording(true);
  const std::vector<Tensor> x = requires_grad(inputs);
  const Tensor y = f(x), u = requires_grad(Tensor::zeros(y.shape(), y.dtype(), y.device()));
  return {y.detach(), grad(grad({y}, x, {u}, {.create_graph = true}), {u}, v)[0]};
}

std::vector<Tensor> hvp(const Function& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v) {
  require_tangents("hvp", inputs, v);
  const GradMode recording(true);
  const std::vector<Tensor> x = requires_grad(inputs);
  const Tensor y = f(x);
  require(y.elements() == 1, "hvp", [&] { return text("f must give one element, its shape is ", y.shape()); },
          "weigh and sum what it gives");
  return grad(grad({y}, x, {}, {.create_graph = true}), x, v);
}

}  // namespace tapir

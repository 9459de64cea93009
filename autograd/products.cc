#include "autograd/products.h"

#include "autograd/node.h"

namespace tapir {
namespace {

void require_values(const char* product, const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    require(inputs[i].defined(), product, [&] { return text("input ", i, " has no value"); });
}

void require_tangents(const char* product, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v) {
  require_values(product, inputs);
  require(v.size() == inputs.size(), product, [&] { return text(v.size(), " tangents for ", inputs.size(), " inputs"); });
  for (size_t i = 0; i < v.size(); ++i) {
    require(v[i].defined(), product, [&] { return text("tangent ", i, " has no value"); });
    require(v[i].shape() == inputs[i].shape() && v[i].dtype() == inputs[i].dtype(), product, [&] {
      return text("tangent ", i, " is ", v[i].dtype(), v[i].shape(), ", its input is ", inputs[i].dtype(),
                  inputs[i].shape());
    });
  }
}

Tensor value_of(const char* product, const Function& f, const std::vector<Tensor>& x) {
  const Tensor y = f(x);
  require(y.defined(), product, [] { return "f returned a tensor without a value"; });
  return y;
}

}  // namespace

PulledBack vjp(const Function& f, const std::vector<Tensor>& inputs, const Tensor& u) {
  require_values("vjp", inputs);
  const GradMode recording(true);
  const std::vector<Tensor> x = requires_grad(inputs);
  const Tensor y = value_of("vjp", f, x);
  require(u.defined() && u.shape() == y.shape() && u.dtype() == y.dtype(), "vjp", [&] {
    return text("u must be ", y.dtype(), y.shape(), " like the value of f",
                u.defined() ? text(", got ", u.dtype(), u.shape()) : "");
  });
  return {y.detach(), grad({y}, x, {u}, {.allow_constants = true})};
}

PushedForward jvp(const Function& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v) {
  require_tangents("jvp", inputs, v);
  const GradMode recording(true);
  const std::vector<Tensor> x = requires_grad(inputs);
  const Tensor y = value_of("jvp", f, x), u = requires_grad(Tensor::zeros(y.shape(), y.dtype(), y.device()));
  const std::vector<Tensor> gradients = grad({y}, x, {u}, {.create_graph = true, .allow_constants = true});
  return {y.detach(), grad(gradients, {u}, v, {.allow_constants = true})[0]};
}

std::vector<Tensor> hvp(const Function& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& v) {
  require_tangents("hvp", inputs, v);
  const GradMode recording(true);
  const std::vector<Tensor> x = requires_grad(inputs);
  const Tensor y = value_of("hvp", f, x);
  require(y.elements() == 1, "hvp", [&] { return text("f must give one element, its shape is ", y.shape()); },
          "weigh and sum what it gives");
  return grad(grad({y}, x, {}, {.create_graph = true, .allow_constants = true}), x, v, {.allow_constants = true});
}

}  // namespace tapir

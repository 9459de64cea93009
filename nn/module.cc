#include "nn/module.h"

#include "autograd/backward.h"

namespace tapir::nn {

Parameter& Module::parameter(std::string name, const Shape& shape, ParameterKind kind, const Init& init) {
  return parameters_.emplace_back(Parameter{std::move(name), shape, kind, init});
}

void Module::each_parameter(const std::function<void(const std::string&, Parameter&)>& visit, const std::string& prefix) {
  for (Parameter& parameter : parameters_) visit(prefix + parameter.name, parameter);
  for (const auto& module : children_) module->each_parameter(visit, prefix + module->name_ + '.');
}

void Module::initialise(uint64_t seed, DType type, Device device) {
  each_parameter([&](const std::string& name, Parameter& parameter) {
    Tensor value = Tensor::empty(parameter.shape, type, device);
    parameter.init.fill(value, {.seed = seed, .step = 0, .site = site_of(name)});
    parameter.value = requires_grad(value);
  });
}

int64_t Module::parameter_count() {
  int64_t count = 0;
  each_parameter([&](const std::string&, Parameter& parameter) { count += parameter.shape.elements(); });
  return count;
}

}  // namespace tapir::nn

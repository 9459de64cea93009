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
    const Scope owner(name.substr(0, name.rfind('.')));   // in errors of memory
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

void Module::each_module(const std::function<void(const std::string&, Module&)>& visit, const std::string& prefix) {
  visit(prefix, *this);
  for (const auto& child : children_) child->each_module(visit, prefix + (prefix.empty() ? "" : ".") + child->name_);
}

Module& Module::at(const std::string& name) {
  Module* found = nullptr;
  std::string known;
  each_module([&](const std::string& full, Module& module) {
    if (full == name) found = &module;
    known += (known.empty() ? "" : ", ") + full;
  });
  require(found, "module", [&] { return text("there is no '", name, "'; below this one are: ", known); });
  return *found;
}

ForwardHandle Module::on_forward(ForwardHook hook) {
  std::erase_if(hooks_, [](const auto& other) { return other.expired(); });
  const auto handle = std::make_shared<const ForwardHook>(std::move(hook));
  hooks_.push_back(handle);
  return handle;
}

Tensor Module::hooked(Tensor y, const std::vector<Tensor>& inputs) const {
  for (const auto& weak : hooks_) {
    const ForwardHandle hook = weak.lock();
    const Tensor other = hook ? (*hook)(inputs, y) : Tensor();
    if (other.defined()) y = other;
  }
  return y;
}

}  // namespace tapir::nn

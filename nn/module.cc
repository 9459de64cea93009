#include "nn/module.h"

#include <algorithm>
#include <set>
#include <utility>

#include "autograd/backward.h"

namespace tapir::nn {
namespace {

// The one of that name, or null, and the names of all that `each` visits.
template <class One, class Each> std::pair<One*, std::string> find_named(const std::string& name, const Each& each) {
  std::pair<One*, std::string> result;
  each([&](const std::string& full, One& one) {
    if (full == name) result.first = &one;
    result.second += (result.second.empty() ? "" : ", ") + full;
  });
  return result;
}

}  // namespace

void Module::require_new(const std::string& name) const {
  require(!name.empty(), "module", [] { return "a parameter, a buffer and a part must have a name"; });
  const auto free = [&](const auto& all, const auto& name_of) {
    return std::none_of(all.begin(), all.end(), [&](const auto& one) { return name_of(one) == name; });
  };
  const auto own = [](const auto& one) { return one.name; };
  require(free(parameters_, own) && free(buffers_, own) && free(children_, [](const auto& child) { return child->name_; }),
          "module", [&] { return text("there are two of the name '", name, "'"); });
}

Parameter& Module::parameter(std::string name, const Shape& shape, ParameterKind kind, const Init& init) {
  require_new(name);
  return parameters_.emplace_back(Parameter{std::move(name), shape, kind, init});
}

Buffer& Module::buffer(std::string name, const Shape& shape, BufferKind kind, const Init& init) {
  require_new(name);
  return buffers_.emplace_back(Buffer{std::move(name), shape, kind, init});
}

void Module::each_parameter(const std::function<void(const std::string&, Parameter&)>& visit, const std::string& prefix) {
  for (Parameter& parameter : parameters_) visit(prefix + parameter.name, parameter);
  for (const auto& module : children_) module->each_parameter(visit, prefix + module->name_ + '.');
}

void Module::each_parameter(const std::function<void(const std::string&, const Parameter&)>& visit,
                            const std::string& prefix) const {
  for (const Parameter& parameter : parameters_) visit(prefix + parameter.name, parameter);
  for (const auto& module : children_) std::as_const(*module).each_parameter(visit, prefix + module->name_ + '.');
}

void Module::each_buffer(const std::function<void(const std::string&, Buffer&)>& visit, const std::string& prefix) {
  for (Buffer& buffer : buffers_) visit(prefix + buffer.name, buffer);
  for (const auto& module : children_) module->each_buffer(visit, prefix + module->name_ + '.');
}

void Module::each_buffer(const std::function<void(const std::string&, const Buffer&)>& visit, const std::string& prefix) const {
  for (const Buffer& buffer : buffers_) visit(prefix + buffer.name, buffer);
  for (const auto& module : children_) std::as_const(*module).each_buffer(visit, prefix + module->name_ + '.');
}

void Module::initialise(uint64_t seed, DType type, Device device) {
  std::set<std::string> names;   // one with a dot may be that of something below
  const auto take = [&](const std::string& name, const auto&) {
    require(names.insert(name).second, "module", [&] { return text("there are two of the name '", name, "'"); });
  };
  std::as_const(*this).each_parameter(take);
  std::as_const(*this).each_buffer(take);
  const auto filled = [&](const std::string& name, const auto& own) {
    const Scope owner(name.substr(0, name.rfind('.')));   // in errors of memory
    Tensor value = Tensor::empty(own.shape, type, device);
    own.init.fill(value, {.seed = seed, .step = 0, .site = site_of(name)});
    return value;
  };
  each_parameter(
      [&](const std::string& name, Parameter& parameter) { parameter.value = requires_grad(filled(name, parameter)); });
  each_buffer([&](const std::string& name, Buffer& buffer) { buffer.value = filled(name, buffer); });
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  each_parameter([&](const std::string&, const Parameter& parameter) { count += parameter.shape.elements(); });
  return count;
}

Parameter& Module::parameter_at(const std::string& name) {
  const auto found = find_named<Parameter>(name, [&](const auto& visit) { each_parameter(visit); });
  require(found.first, "module",
          [&] { return text("there is no parameter '", name, "'; those below this module are: ", found.second); });
  return *found.first;
}

void Module::each_module(const std::function<void(const std::string&, Module&)>& visit, const std::string& prefix) {
  visit(prefix, *this);
  for (const auto& child : children_) child->each_module(visit, prefix + (prefix.empty() ? "" : ".") + child->name_);
}

Module& Module::at(const std::string& name) {
  const auto found = find_named<Module>(name, [&](const auto& visit) { each_module(visit); });
  require(found.first, "module", [&] { return text("there is no '", name, "'; below this one are: ", found.second); });
  return *found.first;
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

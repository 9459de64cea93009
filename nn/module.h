// Module: parameters and the layers that own them. A module is neither copied nor moved; it owns its children and
// registers its parameters under names, so "blocks.3.attention.query.weight" means the same in files, logs and errors.
//
//   struct Linear : Module {
//     Linear(int64_t in, int64_t out)
//         : weight(parameter("weight", {out, in}, ParameterKind::weight, Init::normal(0.02))) {}
//     Tensor forward(const Tensor& x) const { const Scope scope = enter(); return leave(linear(x, weight.value), x); }
//     Parameter& weight;
//   };
//
// Constructing a module fixes names and shapes; initialise() gives memory and values.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/init.h"
#include "tensor/tensor.h"

namespace tapir::nn {

// What a parameter is for. `head`: the weights of the layer that gives logits.
enum class ParameterKind { weight, head, bias, gain, embedding };

// Weight decay shrinks the weights of linear layers alone.
constexpr bool decays(ParameterKind kind) { return kind == ParameterKind::weight || kind == ParameterKind::head; }

struct Parameter {
  std::string name;   // within its module
  Shape shape;
  ParameterKind kind;
  Init init;
  Tensor value{};     // a leaf once initialised
};

// What becomes of a buffer where weights are averaged (nn/optim/ema.h).
enum class BufferKind {
  statistics,   // averaged as they are: running means
  memory        // left alone: what earlier batches left behind, and constants
};

// State that is no parameter: saved and restored with the weights, never touched by optimisers. Forward passes read and write
// it through the call (nn/effects.h).
struct Buffer {
  std::string name;   // within its module
  Shape shape;
  BufferKind kind;
  Init init;
  Tensor value{};     // a constant once initialised
};

// Is told what a module was given and what it returns, and may return another output; an undefined tensor leaves that one.
using ForwardHook = std::function<Tensor(const std::vector<Tensor>& inputs, const Tensor& output)>;
using ForwardHandle = std::shared_ptr<const ForwardHook>;

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Allocates every parameter and buffer and fills it by its own rule. A value depends on seed, full name and element alone,
  // not on the order of construction.
  void initialise(uint64_t seed, DType type = DType::f32, Device device = default_device());

  // Calls visit(full name, parameter) in the order of registration.
  void each_parameter(const std::function<void(const std::string&, Parameter&)>& visit, const std::string& prefix = "");
  void each_parameter(const std::function<void(const std::string&, const Parameter&)>& visit,
                      const std::string& prefix = "") const;
  void each_buffer(const std::function<void(const std::string&, Buffer&)>& visit, const std::string& prefix = "");
  void each_buffer(const std::function<void(const std::string&, const Buffer&)>& visit, const std::string& prefix = "") const;

  Parameter& parameter_at(const std::string& name);   // throws Error that lists all full names if there is none of this one
  int64_t parameter_count() const;                    // number of scalars

  // Calls visit(full name, module) for the module itself, whose name is "", and all below it, parents first.
  void each_module(const std::function<void(const std::string&, Module&)>& visit, const std::string& prefix = "");
  Module& at(const std::string& name);   // throws Error that lists all names if there is none of this one

  // `hook` is called after each forward, within the module's scope, as long as the handle lives; hooks of one module in the
  // order of their making. Under recompute a forward runs twice.
  [[nodiscard]] ForwardHandle on_forward(ForwardHook hook);

 protected:
  // What a module owns has a name of its own in it (else Error).
  Parameter& parameter(std::string name, const Shape& shape, ParameterKind kind, const Init& init);
  Buffer& buffer(std::string name, const Shape& shape, BufferKind kind, const Init& init);

  template <class M, class... Arguments>
  M& child(const std::string& name, Arguments&&... arguments) {
    return adopt(name, std::make_unique<M>(std::forward<Arguments>(arguments)...));
  }
  template <class M>
  M& adopt(const std::string& name, std::unique_ptr<M> module) {
    require_new(name);
    M& reference = *module;
    reference.name_ = name;
    children_.push_back(std::move(module));
    return reference;
  }

  Scope enter() const { return Scope(name_); }   // first line of every forward

  // Last line of every forward: y, or what the hooks make of it.
  template <class... Inputs>
  Tensor leave(Tensor y, const Inputs&... inputs) const {
    return hooks_.empty() ? y : hooked(std::move(y), {inputs...});
  }

 private:
  Tensor hooked(Tensor y, const std::vector<Tensor>& inputs) const;
  void require_new(const std::string& name) const;

  std::string name_;
  std::deque<Parameter> parameters_;             // addresses are stable
  std::deque<Buffer> buffers_;
  std::vector<std::unique_ptr<Module>> children_;
  std::vector<std::weak_ptr<const ForwardHook>> hooks_;
};

}  // namespace tapir::nn

#include "autograd/backward.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "tensor/elementwise.h"

namespace tapir {
namespace {

class Walk {
 public:
  explicit Walk(WalkOptions options) : options_(options) {}

  // Leaves out what leads from `outputs` to none of `inputs`. Call it before seed().
  void visit_only_between(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs) {
    std::unordered_set<Node*> seen;
    uint64_t oldest = UINT64_MAX;   // what is older than every input leads to none
    for (const Tensor& input : inputs)
      if (input.node) {
        oldest = std::min(oldest, input.node->number);
        leading_.insert(input.node.get());
      }
    std::vector<Node*> nodes;       // those behind outputs; it grows while it is read
    const auto meet = [&](Node* node) {
      if (node && node->number >= oldest && seen.insert(node).second) nodes.push_back(node);
    };
    for (const Tensor& output : outputs) meet(output.node.get());
    for (size_t i = 0; i < nodes.size(); ++i)
      for (const auto& input : nodes[i]->inputs) meet(input.get());
    std::sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->number < b->number; });
    for (Node* node : nodes)        // a freed one is visited, so that its error is told
      if (node->released || goes_on_behind(*node)) leading_.insert(node);
    restricted_ = true;
  }

  void end_at(const std::shared_ptr<Node>& node) { ends_.insert(node.get()); }   // no hook is called there

  void seed(const Tensor& output, const Tensor& cotangent) {
    if (!output.node) return;
    require(cotangent.shape() == output.shape() && cotangent.dtype() == output.dtype(), "grad", [&] {
      return text("cotangent ", cotangent.dtype(), cotangent.shape(), " does not fit output ", output.dtype(),
                  output.shape());
    });
    arrive(output.node, cotangent);
  }

  // Calls reached(node, gradient) for every node in descending order.
  template <class Reached>
  void run(const Reached& reached) {
    const GradMode mode(options_.create_graph);
    while (!pending_.empty()) {
      std::pop_heap(pending_.begin(), pending_.end(), older);
      const std::shared_ptr<Node> node = std::move(pending_.back());
      pending_.pop_back();
      const auto found = gradients_.find(node.get());
      Tensor g = std::move(found->second);
      gradients_.erase(found);
      if (ends_.contains(node.get())) {
        reached(*node, g);
        continue;
      }
      const Scope scope = Scope::replay(*node->path);
      if (!node->hooks.empty()) g = hooked(*node, std::move(g));
      for (Observer* o = Observer::newest(); o; o = o->older()) o->arrived(*node, g);
      reached(*node, g);
      if (restricted_ && !node->released && !goes_on_behind(*node)) continue;
      require(
          !node->released, "backward",
          [&] { return text("the graph behind '", node->name, "' was freed by an earlier walk"); },
          "pass retain to the first walk");
      std::vector<Tensor> gradients;
      {
        const BackwardOf running(*node);
        gradients = node->backward(g, options_.create_graph);
      }
      for (Observer* o = Observer::newest(); o; o = o->older()) o->went_back(*node, g, gradients);
      for (size_t i = 0; i < gradients.size(); ++i) {
        if (!gradients[i].defined()) continue;
        const std::shared_ptr<Node>& input = node->inputs[i];
        require(gradients[i].shape() == input->shape && gradients[i].dtype() == input->dtype, node->name, [&] {
          return text("gradient ", i, " is ", gradients[i].dtype(), gradients[i].shape(), ", its input is ", input->dtype,
                      input->shape);
        });
        arrive(input, std::move(gradients[i]));
      }
      if (!options_.retain && !options_.create_graph) node->release();
    }
  }

 private:
  bool goes_on_behind(const Node& node) const {
    return std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](const auto& input) { return leading_.contains(input.get()); });
  }

  static Tensor hooked(const Node& node, Tensor g) {
    for (const auto& weak : node.hooks) {
      const std::shared_ptr<const GradientHook> hook = weak.lock();
      const Tensor other = hook ? (*hook)(g) : Tensor();
      if (!other.defined()) continue;
      require(other.shape() == g.shape() && other.dtype() == g.dtype(), "gradient hook", [&] {
        return text("of '", node.name, "' returned ", other.dtype(), other.shape(), " for ", g.dtype(), g.shape());
      });
      g = other;
    }
    return g;
  }

  static bool older(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->number < b->number; }

  void arrive(const std::shared_ptr<Node>& node, Tensor g) {
    if (restricted_ && !leading_.contains(node.get())) return;
    const auto [found, first] = gradients_.try_emplace(node.get(), Tensor());
    if (first) {
      pending_.push_back(node);
      std::push_heap(pending_.begin(), pending_.end(), older);
      found->second = std::move(g);
    } else if (!options_.create_graph && found->second.sole_owner() && found->second.is_contiguous()) {
      add_(found->second, g);
    } else {
      const BackwardOf running(*node);   // a sum of gradients is no op of the user's
      found->second = add(found->second, g);
    }
  }

  WalkOptions options_;
  std::vector<std::shared_ptr<Node>> pending_;          // heap, the newest on top
  std::unordered_map<Node*, Tensor> gradients_;         // of pending nodes
  std::unordered_set<Node*> ends_, leading_;
  bool restricted_ = false;
};

Leaf& leaf_of(const char* caller, const Tensor& tensor) {
  require(tensor.defined(), caller, [] { return "the tensor has no value"; });
  Leaf* leaf = dynamic_cast<Leaf*>(tensor.node.get());
  require(leaf, caller, [] { return "the tensor is no leaf"; }, "make it one with requires_grad");
  return *leaf;
}

// Undefined where the walk does not come by.
std::vector<Tensor> gradients_of(Walk& walk, const std::vector<Tensor>& inputs) {
  std::unordered_map<Node*, Tensor> wanted;
  for (const Tensor& input : inputs)
    if (input.node) wanted[input.node.get()];
  walk.run([&](Node& node, const Tensor& g) {
    if (const auto found = wanted.find(&node); found != wanted.end()) found->second = g;
  });
  std::vector<Tensor> result;
  for (const Tensor& input : inputs) result.push_back(input.node ? wanted[input.node.get()] : Tensor());
  return result;
}

}  // namespace

Tensor requires_grad(const Tensor& value) {
  require(value.defined(), "requires_grad", [] { return "the tensor has no value"; });
  require(value.dtype() == DType::f32 || value.dtype() == DType::f64, "requires_grad",
          [&] { return text("needs f32 or f64, not ", value.dtype()); });
  Tensor leaf = value.detach();
  leaf.node = std::make_shared<Leaf>(leaf);
  leaf.leaf = true;
  return leaf;
}

std::vector<Tensor> requires_grad(const std::vector<Tensor>& values) {
  std::vector<Tensor> leaves;
  for (const Tensor& value : values) leaves.push_back(requires_grad(value));
  return leaves;
}

Tensor gradient(const Tensor& leaf) { return leaf_of("gradient", leaf).grad; }

void set_gradient(const Tensor& leaf, const Tensor& value) {
  Leaf& owner = leaf_of("set_gradient", leaf);
  require(
      !value.defined() ||
          (value.shape() == leaf.shape() && value.dtype() == leaf.dtype() && value.device() == leaf.device()),
      "set_gradient", [&] {
        return text("the value is ", value.dtype(), value.shape(), " on ", value.device(), ", the leaf ", leaf.dtype(),
                    leaf.shape(), " on ", leaf.device());
      });
  require(
      !value.node, "set_gradient", [&] { return text("the value ", value.dtype(), value.shape(), " has a graph"); },
      "detach() it: a gradient that lives in a leaf would keep its own graph");
  owner.grad = value;
}

void backward(const Tensor& loss, bool retain) {
  require(loss.defined(), "backward", [] { return "the loss has no value"; });
  require(
      loss.elements() == 1, "backward", [&] { return text("the loss must have one element, its shape is ", loss.shape()); },
      "sum it, or use grad with a cotangent");
  require(loss.node != nullptr, "backward", [] { return "the loss depends on nothing that requires a gradient"; });
  Walk walk({.retain = retain});
  walk.seed(loss, Tensor::full(loss.shape(), 1, loss.dtype(), loss.device()));
  walk.run([](Node& node, const Tensor& g) {
    if (Leaf* leaf = dynamic_cast<Leaf*>(&node)) {
      if (!leaf->grad.defined()) leaf->grad = g.sole_owner() && g.is_contiguous() ? g : g.copy();
      else if (leaf->grad.sole_owner() && leaf->grad.is_contiguous()) add_(leaf->grad, g);
      else leaf->grad = add(leaf->grad, g);   // somebody else keeps the gradient so far
    }
  });
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         std::vector<Tensor> cotangents, WalkOptions options) {
  const auto require_graph = [&](const char* what, const std::vector<Tensor>& tensors, const char* hint) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Tensor& tensor = tensors[i];
      require(tensor.defined(), "grad", [&] { return text(what, ' ', i, " has no value"); });
      require(
          tensor.node || options.allow_constants, "grad",
          [&] { return text(what, ' ', i, ", ", tensor.dtype(), tensor.shape(), ", is a constant"); }, hint);
    }
  };
  require_graph("output", outputs, "it was made without inputs of requires_grad, or under NoGrad; or pass allow_constants");
  require_graph("input", inputs, "make it one with requires_grad before the outputs are computed; or pass allow_constants");
  for (size_t i = 0; i < cotangents.size(); ++i)
    require(cotangents[i].defined(), "grad", [&] { return text("cotangent ", i, " has no value"); });
  if (cotangents.empty())
    for (const Tensor& output : outputs) {
      require(output.elements() == 1, "grad",
              [&] { return text("an output of shape ", output.shape(), " needs a cotangent"); });
      cotangents.push_back(Tensor::full(output.shape(), 1, output.dtype(), output.device()));
    }
  require(cotangents.size() == outputs.size(), "grad",
          [&] { return text(outputs.size(), " outputs, but ", cotangents.size(), " cotangents"); });
  Walk walk(options);
  walk.visit_only_between(outputs, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) walk.seed(outputs[i], cotangents[i]);
  std::vector<Tensor> gradients = gradients_of(walk, inputs);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = Tensor::zeros(inputs[i].shape(), inputs[i].dtype(), inputs[i].device());
  return gradients;
}

std::vector<Tensor> grad_until(const Tensor& output, const std::vector<Tensor>& inputs, const Tensor& cotangent,
                               WalkOptions options) {
  Walk walk(options);
  walk.visit_only_between({output}, inputs);
  for (const Tensor& input : inputs)
    if (input.node) walk.end_at(input.node);
  walk.seed(output, cotangent);
  return gradients_of(walk, inputs);
}

}  // namespace tapir

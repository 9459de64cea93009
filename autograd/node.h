// Node: one application of an op, the place where a gradient finds its way back. The graph is nothing but nodes that
// hold their inputs' nodes; a tensor holds the node that made it. There is no tape: each node takes the next creation
// number, and descending numbers are a topological order.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tensor/grad_mode.h"
#include "tensor/tensor.h"

namespace tapir {

// Is given the whole gradient that arrives at a tensor, and may return another one; an undefined tensor leaves it as it is.
using GradientHook = std::function<Tensor(const Tensor& g)>;

struct Node : std::enable_shared_from_this<Node> {
  Node(const char* name, const Tensor& output, std::vector<std::shared_ptr<Node>> inputs);
  virtual ~Node();   // iterative: a chain of 10⁶ nodes does not recurse
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Gradients of the inputs, given `g`, the gradient of the output. Undefined tensors for inputs that want none.
  virtual std::vector<Tensor> backward(const Tensor& g, bool create_graph) = 0;

  // Frees what backward needs. A later backward through this node is an error.
  virtual void release();

  // The memory of `output` is this node's own: functions that write in place refuse it while backward can come here.
  void guard(const Tensor& output);

  const char* name;                             // of the op
  const uint64_t number;                        // creation number
  const std::string* path;                      // module path of the forward pass (interned)
  std::vector<std::shared_ptr<Node>> inputs;    // null where an input is a constant
  Shape shape;                                  // of the output
  DType dtype;
  bool released = false;
  std::vector<std::weak_ptr<const GradientHook>> hooks;   // in the order of on_gradient

 private:
  void unguard();

  std::weak_ptr<Storage> guarded_;
};

// The node of a tensor that the user wants a gradient for: a parameter, or an input under study.
struct Leaf : Node {
  explicit Leaf(const Tensor& value) : Node("leaf", value, {}) {}
  std::vector<Tensor> backward(const Tensor&, bool) override { return {}; }
  void release() override {}

  Tensor grad;   // accumulated by backward(); undefined until then
};

uint64_t next_node_number();   // that the next node takes

// Is told of every op and of every step of a walk, on its thread, while it lives. Observers nest, the newest is told first.
class Observer {
 public:
  Observer();
  virtual ~Observer();
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  // y = op(inputs) was computed.
  virtual void applied(const char*, const std::vector<Tensor>&, const Tensor&) {}
  // An op keeps the tensor, an input of any kind or its output, for backward.
  virtual void saved(const Tensor&) {}
  // The whole gradient of the node's output is there; its backward comes next.
  virtual void arrived(const Node&, const Tensor&) {}
  // The node's backward made `gradients` of `g`.
  virtual void went_back(const Node&, const Tensor&, const std::vector<Tensor>&) {}

  static Observer* newest();   // null: nobody watches
  Observer* older() const { return older_; }

 private:
  Observer* older_;
};

// The nodes whose backward runs now on this thread: a composite, or what is recomputed, is a walk inside a node's backward.
class BackwardOf {
 public:
  explicit BackwardOf(const Node& node);
  ~BackwardOf();
  BackwardOf(const BackwardOf&) = delete;
  BackwardOf& operator=(const BackwardOf&) = delete;

  static const BackwardOf* innermost();   // null: none
  const Node& node;
  const BackwardOf* const outer;

 private:
  const RunningOp running_;
};

}  // namespace tapir

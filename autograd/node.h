// Node: one application of an op, the place where a gradient finds its way back. The graph is nothing but nodes that
// hold their inputs' nodes; a tensor holds the node that made it. There is no tape: each node takes the next creation
// number, and descending numbers are a topological order.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace tapir {

struct Node : std::enable_shared_from_this<Node> {
  Node(const char* name, const Tensor& output, std::vector<std::shared_ptr<Node>> inputs);
  virtual ~Node();   // iterative: a chain of 10⁶ nodes does not recurse
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Gradients of the inputs, given `g`, the gradient of the output. Undefined tensors for inputs that want none.
  virtual std::vector<Tensor> backward(const Tensor& g, bool create_graph) = 0;

  // Frees what backward needs. A later backward through this node is an error.
  virtual void release() = 0;

  const char* name;                             // of the op
  const uint64_t number;                        // creation number
  const std::string* path;                      // module path of the forward pass (interned)
  std::vector<std::shared_ptr<Node>> inputs;    // null where an input is a constant
  Shape shape;                                  // of the output
  DType dtype;
  bool released = false;
};

// The node of a tensor that the user wants a gradient for: a parameter, or an input under study.
struct Leaf : Node {
  explicit Leaf(const Tensor& value) : Node("leaf", value, {}) {}
  std::vector<Tensor> backward(const Tensor&, bool) override { return {}; }
  void release() override {}

  Tensor grad;   // accumulated by backward(); undefined until then
};

// Whether ops record nodes. On at first; per thread.
bool grad_enabled();

class GradMode {   // sets the mode while it lives
 public:
  explicit GradMode(bool on);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

struct NoGrad : GradMode {
  NoGrad() : GradMode(false) {}
};

}  // namespace tapir

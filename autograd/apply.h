// apply: runs an op and, when a gradient is wanted, records its node.
//
// An op is a small struct whose fields are what backward needs:
//
//   struct Mul {                                                             // y = a b      da = g b,  db = g a
//     static constexpr const char* name = "mul";
//     static constexpr bool broadcasts = true;      // its gradients are summed to the inputs' shapes
//     Saved a, b;
//     Tensor forward(const Tensor& a_, const Tensor& b_) { a = a_; b = b_; return map(name, scalar::Times{}, a_, b_); }
//     Gradients backward(const Tensor& g, const Backward&) const { return {mul(g, *b), mul(g, *a)}; }
//   };
//
// Backward is written with the functions of ops.h, so it can be differentiated again; or it calls a fused kernel and the op
// names its composite, the naive expression that defines it, which the engine differentiates when a graph is wanted:
//
//     Tensor composite(const std::vector<Tensor>& inputs) const;             // and: std::vector<Saved> inputs() const
#pragma once
#include <optional>
#include <utility>

#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/op_list.h"
#include "tensor/mask.h"

namespace tapir {

Tensor identity(const Tensor& x);                     // ops/arithmetic.h, which would bring its list to every op
Tensor sum_to(const Tensor& x, const Shape& shape);   // ops/sum.h

// A tensor kept for backward, of any type. Reading it after somebody wrote into it in place is an error, not a wrong gradient.
// Ops keep no Tensor and no Mask otherwise.
class Saved {
 public:
  Saved() = default;
  Saved(const Tensor& tensor) : tensor_(tensor), version_(tensor.defined() ? tensor.version() : 0) {   // NOLINT: implicit
    for (Observer* o = Observer::newest(); o; o = o->older()) o->saved(tensor_);
  }

  const Tensor& operator*() const {
    require(!tensor_.defined() || tensor_.version() == version_, "backward",
            [&] { return text("a tensor saved for backward, of shape ", tensor_.shape(), ", was written in place"); },
            "write into a copy(), or after backward");
    return tensor_;
  }
  const Tensor* operator->() const { return &**this; }

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
};

// An op's own output, kept without its node: the node would hold itself. Backward::output attaches it again.
class SavedOutput {
 public:
  SavedOutput() = default;
  SavedOutput(const Tensor& output) : saved_(output.detach()) {}   // NOLINT: implicit

 private:
  friend struct Backward;
  Saved saved_;
};

// A mask kept for backward.
class SavedMask {
 public:
  SavedMask(const Mask& mask) : mask_(mask), keys_(mask.keys) {}   // NOLINT: implicit

  const Mask& operator*() const {
    *keys_;
    return mask_;
  }
  const Mask* operator->() const { return &**this; }

 private:
  Mask mask_;
  Saved keys_;
};

using Gradients = std::vector<Tensor>;   // one for each input, undefined where none is wanted

// What an op's backward is told besides g.
struct Backward {
  Node& node;
  bool create_graph;   // the gradient itself will be differentiated

  bool needs(int input) const { return node.inputs[input] != nullptr; }
  Tensor output(const SavedOutput& saved) const {
    Tensor y = *saved.saved_;
    if (create_graph) y.node = node.shared_from_this();
    return y;
  }
};

template <class Op>
class NodeOf final : public Node {
 public:
  NodeOf(Op op, const Tensor& output, std::vector<std::shared_ptr<Node>> inputs)
      : Node(Op::name, output, std::move(inputs)), op_(std::move(op)) {}

  std::vector<Tensor> backward(const Tensor& g, bool create_graph) override {
    Gradients gradients;
    if constexpr (requires { op_->inputs(); }) {
      gradients = create_graph ? through_composite(g) : op_->backward(g, Backward{*this, false});
    } else {
      gradients = op_->backward(g, Backward{*this, create_graph});
    }
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!inputs[i]) gradients[i] = Tensor();
      if constexpr (requires { Op::broadcasts; })
        if (gradients[i].defined()) gradients[i] = sum_to(gradients[i], inputs[i]->shape);
    }
    return gradients;
  }

  void release() override {
    op_.reset();
    Node::release();
  }

 private:
  // Differentiates the composite at identities of the inputs: one input may be made from another, and this op's gradient
  // is the partial one.
  Gradients through_composite(const Tensor& g) const {
    const std::vector<Saved> saved = op_->inputs();
    std::vector<Tensor> partial;
    for (size_t i = 0; i < saved.size(); ++i) partial.push_back(inputs[i] ? identity(*saved[i]) : *saved[i]);
    return grad_until(op_->composite(partial), partial, g, {.create_graph = true});
  }

  std::optional<Op> op_;
};

// Runs `forward(op)` and records the node.
template <class Op, class Forward>
Tensor record(Op op, const Forward& forward, const std::vector<Tensor>& inputs) {
  static_assert(is_listed<Op>, "add this op to the list of its family (autograd/op_list.h): the tests sweep these lists");
  for (const Tensor& input : inputs) require(input.defined(), Op::name, [] { return "an input has no value"; });
  Tensor y;
  {
    const NoGrad guard;
    const RunningOp running(Op::name);
    y = forward(op);
  }
  y.node = nullptr;
  y.leaf = false;
  for (Observer* o = Observer::newest(); o; o = o->older()) o->applied(Op::name, inputs, y);
  if (!grad_enabled()) return y;
  std::vector<std::shared_ptr<Node>> nodes;
  bool wanted = false, is_view = false;
  for (const Tensor& input : inputs) {
    nodes.push_back(input.node);
    wanted = wanted || input.node;
    is_view = is_view || y.shares_storage(input);
  }
  if (!wanted) return y;
  y.node = std::make_shared<NodeOf<Op>>(std::move(op), y, std::move(nodes));
  if (!is_view) y.node->guard(y);
  return y;
}

template <class Op>
Tensor apply(Op op, const std::vector<Tensor>& inputs) {
  return record(std::move(op), [&](Op& o) { return o.forward(inputs); }, inputs);
}

template <class Op, class... Inputs>
Tensor apply(Op op, const Tensor& first, const Inputs&... rest) {
  return record(std::move(op), [&](Op& o) { return o.forward(first, rest...); }, {first, rest...});
}

}  // namespace tapir

#include "autograd/recompute.h"

#include <unordered_set>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"

namespace tapir {
namespace {

// Tensors that ops use although they were not given to f: what f holds. Nodes and memory that f makes are younger.
class Held : public Observer {
 public:
  void applied(const char*, const std::vector<Tensor>& inputs, const Tensor&) override {
    for (const Tensor& input : inputs) {
      if (!input.node) saved(input);
      else if (input.node->number < first_node_ && nodes_.insert(input.node.get()).second) tensors.push_back(input);
    }
  }
  void saved(const Tensor& tensor) override {   // masks, indices and targets are no inputs of ops
    if (!tensor.defined() || tensor.node || tensor.storage()->number >= first_storage_) return;
    if (memory_.insert(tensor.storage().get()).second) constants.push_back(tensor.detach());
  }
  std::vector<Tensor> tensors, constants;

 private:
  const uint64_t first_node_ = next_node_number(), first_storage_ = Storage::next_number();
  std::unordered_set<Node*> nodes_;
  std::unordered_set<Storage*> memory_;
};

class Recomputed final : public Node {
 public:
  Recomputed(Function f, const Tensor& y, const std::vector<Tensor>& given, const std::vector<Tensor>& held,
             const std::vector<Tensor>& constants)
      : Node("recompute", y, {}), f_(std::move(f)), given_(given.begin(), given.end()), held_(held.begin(), held.end()),
        constants_(constants.begin(), constants.end()) {
    for (const Tensor& input : given) inputs.push_back(input.node);
    for (const Tensor& input : held) inputs.push_back(input.node);
  }

  // The walk through f's own graph ends at identities of what it was given and at what it holds.
  std::vector<Tensor> backward(const Tensor& g, bool create_graph) override {
    const GradMode recording(true);
    for (const Saved& constant : constants_) *constant;   // throws if it was written
    std::vector<Tensor> ends;
    for (size_t i = 0; i < given_.size(); ++i) ends.push_back(inputs[i] ? identity(*given_[i]) : *given_[i]);
    const Tensor y = f_(ends);
    require(
        y.shape() == shape && y.dtype() == dtype, name,
        [&] { return text("the function gave ", dtype, shape, " first and ", y.dtype(), y.shape(), " when called again"); },
        "it must be pure");
    for (const Saved& tensor : held_) ends.push_back(*tensor);
    std::vector<Tensor> gradients = grad_until(y, ends, g, {.create_graph = create_graph});
    for (size_t i = 0; i < gradients.size(); ++i)
      if (!inputs[i]) gradients[i] = Tensor();
    return gradients;
  }

  void release() override {
    f_ = nullptr;
    given_.clear();
    held_.clear();
    constants_.clear();
    Node::release();
  }

 private:
  Function f_;
  std::vector<Saved> given_, held_, constants_;
};

}  // namespace

Tensor recompute(const Function& f, const std::vector<Tensor>& inputs) {
  if (!grad_enabled()) return f(inputs);
  std::vector<Tensor> values;
  bool wanted = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& input = inputs[i];
    require(input.defined(), "recompute", [&] { return text("input ", i, " has no value"); });
    values.push_back(input.detach());
    wanted = wanted || input.node;
  }
  Tensor y;
  std::vector<Tensor> held, constants;
  {
    const NoGrad guard;
    Held observer;
    y = f(values).detach();
    require(y.defined(), "recompute", [] { return "f returned a tensor without a value"; });
    held = std::move(observer.tensors);
    constants = std::move(observer.constants);
  }
  if (wanted || !held.empty()) y.node = std::make_shared<Recomputed>(f, y, inputs, held, constants);
  return y;
}

}  // namespace tapir

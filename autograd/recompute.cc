#include "autograd/recompute.h"

#include <unordered_set>

#include "autograd/apply.h"

namespace tapir {
namespace {

// Tensors with a gradient that ops use although they were not given to f: what f holds. Nodes that f makes are younger.
class Held : public Observer {
 public:
  void applied(const char*, const std::vector<Tensor>& inputs, const Tensor&) override {
    for (const Tensor& input : inputs)
      if (input.node && input.node->number < first_ && seen_.insert(input.node.get()).second) tensors.push_back(input);
  }
  std::vector<Tensor> tensors;

 private:
  const uint64_t first_ = next_node_number();
  std::unordered_set<Node*> seen_;
};

class Recomputed final : public Node {
 public:
  Recomputed(Function f, const Tensor& y, const std::vector<Tensor>& given, const std::vector<Tensor>& held)
      : Node("recompute", y, {}), f_(std::move(f)), given_(given.begin(), given.end()), held_(held.begin(), held.end()) {
    for (const Tensor& input : given) inputs.push_back(input.node);
    for (const Tensor& input : held) inputs.push_back(input.node);
  }

  // The walk through f's own graph ends at identities of what it was given and at what it holds.
  std::vector<Tensor> backward(const Tensor& g, bool create_graph) override {
    const GradMode recording(true);
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
    inputs.clear();
    released = true;
  }

 private:
  Function f_;
  std::vector<Saved> given_, held_;
};

}  // namespace

Tensor recompute(const Function& f, const std::vector<Tensor>& inputs) {
  if (!grad_enabled()) return f(inputs);
  std::vector<Tensor> values;
  bool wanted = false;
  for (const Tensor& input : inputs) {
    require(input.defined(), "recompute", [] { return "an input has no value"; });
    values.push_back(input.detach());
    wanted = wanted || input.node;
  }
  Tensor y;
  std::vector<Tensor> held;
  {
    const NoGrad guard;
    Held observer;
    y = f(values).detach();
    held = std::move(observer.tensors);
  }
  if (wanted || !held.empty()) y.node = std::make_shared<Recomputed>(f, y, inputs, held);
  return y;
}

}  // namespace tapir

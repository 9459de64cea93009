#include "autograd/node.h"

#include <atomic>

namespace tapir {
namespace {

std::atomic<uint64_t> next_number{1};

Observer*& observer() {
  thread_local Observer* newest = nullptr;
  return newest;
}

const BackwardOf*& backward_of() {
  thread_local const BackwardOf* innermost = nullptr;
  return innermost;
}

}  // namespace

Node::Node(const char* name, const Tensor& output, std::vector<std::shared_ptr<Node>> inputs)
    : name(name), number(next_number++), path(&Scope::path()), inputs(std::move(inputs)), shape(output.shape()),
      dtype(output.dtype()) {}

// The outermost destructor drains a worklist; those that it sets off only add to it.
Node::~Node() {
  unguard();
  thread_local std::vector<std::shared_ptr<Node>>* worklist = nullptr;
  if (worklist) {
    for (auto& input : inputs) worklist->push_back(std::move(input));
    return;
  }
  std::vector<std::shared_ptr<Node>> pending = std::move(inputs);
  worklist = &pending;
  while (!pending.empty()) {
    const std::shared_ptr<Node> last = std::move(pending.back());
    pending.pop_back();
  }
  worklist = nullptr;
}

void Node::release() {
  unguard();
  inputs.clear();
  released = true;
}

void Node::guard(const Tensor& output) {
  guarded_ = output.storage();
  output.storage()->in_graph = true;
}

void Node::unguard() {
  if (const std::shared_ptr<Storage> memory = guarded_.lock()) memory->in_graph = false;
  guarded_.reset();
}

uint64_t next_node_number() { return next_number; }

Observer::Observer() : older_(observer()) { observer() = this; }

Observer::~Observer() { observer() = older_; }

Observer* Observer::newest() { return observer(); }

BackwardOf::BackwardOf(const Node& node) : node(node), outer(backward_of()), running_(node.name) { backward_of() = this; }

BackwardOf::~BackwardOf() { backward_of() = outer; }

const BackwardOf* BackwardOf::innermost() { return backward_of(); }

}  // namespace tapir

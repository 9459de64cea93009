#include "autograd/graphviz.h"

#include <map>
#include <sstream>

#include "autograd/node.h"

namespace tapir {
namespace {

// Statements of a module path, and the paths below it by name.
struct Cluster {
  std::vector<std::string> statements{};
  std::map<std::string, Cluster> inside{};

  Cluster& at(const std::string& path) {
    if (path.empty()) return *this;
    const size_t dot = path.find('.');
    return inside[path.substr(0, dot)].at(dot == std::string::npos ? "" : path.substr(dot + 1));
  }

  void write(std::ostream& out, const std::string& path, const std::string& indent) const {
    for (const std::string& statement : statements) out << indent << statement << '\n';
    for (const auto& [name, cluster] : inside) {
      const std::string full = path.empty() ? name : path + '.' + name;
      out << indent << "subgraph \"cluster_" << full << "\" {\n" << indent << "  label=\"" << name << "\";\n";
      cluster.write(out, full, indent + "  ");
      out << indent << "}\n";
    }
  }
};

std::map<uint64_t, const Node*> nodes_behind(const Tensor& output) {   // by creation number
  std::map<uint64_t, const Node*> nodes;
  std::vector<const Node*> pending{output.node.get()};
  while (!pending.empty()) {
    const Node* node = pending.back();
    pending.pop_back();
    if (!node || !nodes.emplace(node->number, node).second) continue;
    for (const auto& input : node->inputs) pending.push_back(input.get());
  }
  return nodes;
}

}  // namespace

std::string to_dot(const Tensor& output, const std::vector<std::pair<std::string, Tensor>>& leaves) {
  require(output.defined(), "to_dot", [] { return "the tensor has no value"; });
  require(output.node != nullptr, "to_dot", [] { return "the tensor has no graph"; },
          "make an input a leaf: requires_grad");
  std::map<const Node*, std::string> names;
  for (const auto& [name, leaf] : leaves) names[leaf.node.get()] = name;

  Cluster all;
  std::map<const Node*, size_t> index;
  std::ostringstream edges;
  for (const auto& [number, node] : nodes_behind(output)) {
    const size_t id = index.size();
    index[node] = id;
    std::string path = *node->path, label = node->name;
    if (const auto named = names.find(node); named != names.end()) {
      const size_t dot = named->second.rfind('.');
      path = dot == std::string::npos ? "" : named->second.substr(0, dot);
      label = dot == std::string::npos ? named->second : named->second.substr(dot + 1);
    }
    const bool leaf = dynamic_cast<const Leaf*>(node) != nullptr;
    all.at(path).statements.push_back(
        text('n', id, " [label=\"", label, "\\n", node->shape, "\", shape=", leaf ? "ellipse" : "box", "];"));
    for (const auto& input : node->inputs)
      if (input) edges << "  n" << index.at(input.get()) << " -> n" << id << ";\n";
  }
  std::ostringstream out;
  out << "digraph tapir {\n";
  all.write(out, "", "  ");
  out << edges.str() << "}\n";
  return out.str();
}

}  // namespace tapir

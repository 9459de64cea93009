// The graph as DOT.
#include "autograd/graphviz.h"

#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/unary.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

TEST_CASE("graphviz: ops, leaves, shapes, clusters and arrows") {
  const Tensor x = requires_grad(Tensor::zeros({2, 3}, DType::f64)), w = requires_grad(Tensor::zeros({3}, DType::f64));
  const Tensor y = [&] {
    const Scope block("block"), attention("attention");
    return mul(x, w);
  }();
  CHECK(to_dot(add(tanh(y), y), {{"block.weight", w}}) ==
        R"(digraph tapir {
  n0 [label="leaf\n[2,3]", shape=ellipse];
  n3 [label="tanh\n[2,3]", shape=box];
  n4 [label="add\n[2,3]", shape=box];
  subgraph "cluster_block" {
    label="block";
    n1 [label="weight\n[3]", shape=ellipse];
    subgraph "cluster_block.attention" {
      label="attention";
      n2 [label="mul\n[2,3]", shape=box];
    }
  }
  n0 -> n2;
  n1 -> n2;
  n2 -> n3;
  n3 -> n4;
  n2 -> n4;
}
)");
  CHECK(to_dot(w, {{"w", w}}) == "digraph tapir {\n  n0 [label=\"w\\n[3]\", shape=ellipse];\n}\n");
  CHECK(message_of([] { to_dot(Tensor::zeros({1})); }) ==
        "to_dot: the tensor has no graph; hint: make an input a leaf: requires_grad");
}

TEST_CASE("graphviz: of a whole model, with all its parameters, the same each time") {
  const TinyModel tiny("dot_product");
  std::vector<std::pair<std::string, Tensor>> leaves;
  tiny.model->each_parameter([&](const std::string& name, nn::Parameter& p) { leaves.emplace_back(name, p.value); });
  const std::string dot = to_dot(tiny.loss(), leaves);
  CHECK(to_dot(tiny.loss(), leaves) == dot);
  CHECK(!contains_text(dot, "leaf"));
  CHECK(contains_text(dot, "subgraph \"cluster_blocks.1.attention.query\""));
}

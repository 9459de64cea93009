// Writes in place: allowed in leaves and buffers, refused where backward would not know of them.
#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/in_place.h"
#include "tensor/random.h"
#include "tensor/view.h"
#include "tests/autograd/evaluate.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

struct Write {
  std::string name;
  std::function<void(Tensor& y)> call;
  std::string hint;
};

const std::vector<Write>& writes() {   // every function of the library that ends in _
  static const std::vector<Write> all{
      {"fill_", [](Tensor& y) { fill_(y, 1); }, "make a new tensor with Tensor::full"},
      {"copy_", [](Tensor& y) { copy_(y, y.detach()); }, "use the other tensor itself, or where or concat for a part of it"},
      {"add_", [](Tensor& y) { add_(y, y.detach()); }, "use add(y, x)"},
      {"scale_", [](Tensor& y) { scale_(y, 2); }, "use affine(y, factor, 0)"},
      {"uniform_", [](Tensor& y) { uniform_(y, 0, 1, {}); }, "draw into a new tensor"},
      {"normal_", [](Tensor& y) { normal_(y, 0, 1, {}); }, "draw into a new tensor"},
      {"truncated_normal_", [](Tensor& y) { truncated_normal_(y, 0, 1, {}); }, "draw into a new tensor"},
  };
  return all;
}

void check_refused(const Tensor& y) {
  for (const Write& write : writes()) {
    const uint64_t version = y.version();
    Tensor target = y;
    CHECK(message_of([&] { write.call(target); }) ==
          text(write.name, ": a graph made the ", y.dtype(), y.shape(),
               ", and backward would not know of the write; hint: ", write.hint));
    CHECK(y.version() == version);
  }
}

void check_allowed(const Tensor& y) {
  for (const Write& write : writes()) {
    Tensor target = y;
    const std::string message = message_of([&] { write.call(target); });
    CHECK_MESSAGE((message == "no error" || contains_text(message, "contiguous memory")), message);
  }
}

Tensor part_of(const Tensor& y) { return y.rank() > 0 && y.size(0) > 0 ? view::slice(y, 0, 0, 1) : y; }

}  // namespace

TEST_CASE("in place: what an op made is refused, and every view of it, until backward is through or nobody can call it") {
  for (const OpExamples& op : examples_of_every_op())
    for (const Example& row : op.rows) {
      INFO("op ", op.op, ", row '", row.label, "'");
      const std::vector<Tensor> leaves = requires_grad(inputs_of(row, DType::f64));
      Tensor y = row.function(leaves);
      REQUIRE(y.node);
      bool of_leaf = false;   // a view of an input, which is a leaf
      for (const Tensor& leaf : leaves) of_leaf = of_leaf || y.shares_storage(leaf);
      check_refused(y);
      {
        const NoGrad guard;
        check_refused(y);
        if (!of_leaf) check_refused(part_of(y));
      }
      if (of_leaf) continue;
      check_refused(y.detach());
      check_refused(part_of(y.detach()));
      check_refused(requires_grad(y));
      const Tensor kept = y.detach();
      if (row.label.size() % 2) {
        y = Tensor();
      } else {
        grad({sum(y)}, leaves);
      }
      check_allowed(kept);
    }
}

TEST_CASE("in place: leaves, buffers, gradients and what ops made without a graph can be written") {
  const Tensor leaf = requires_grad(Tensor::zeros({2, 3})), buffer = Tensor::zeros({2, 3});
  const Tensor y = sum(mul(leaf, buffer));
  check_allowed(leaf);
  check_allowed(part_of(leaf.detach()));
  check_allowed(buffer);
  check_allowed(add(buffer, buffer));
  {
    const NoGrad guard;
    check_allowed(mul(leaf, leaf));
  }
  backward(sum(square(leaf)));
  check_allowed(gradient(leaf));
  check_refused(transpose(leaf));
  check_refused(grad({sum(square(leaf))}, {leaf}, {}, {.create_graph = true})[0]);
}

TEST_CASE("in place: reading from a tensor with a graph would lose its gradient") {
  const Tensor x = requires_grad(Tensor::zeros({2}));
  Tensor buffer = Tensor::zeros({2});
  for (const Tensor& from : {x, exp(x), transpose(x, 0, 0)}) {
    CHECK(message_of([&] { copy_(buffer, from); }) ==
          "copy_: carries no gradient, and the f32[2] to read from has a graph; hint: detach() it, or use copy(x) of ops.h");
    CHECK(message_of([&] { add_(buffer, from); }) ==
          "add_: carries no gradient, and the f32[2] to read from has a graph; hint: detach() it, or use add(y, x)");
  }
  const NoGrad guard;
  copy_(buffer, exp(x));
  CHECK(buffer.values<float>() == std::vector<float>{1, 1});
}

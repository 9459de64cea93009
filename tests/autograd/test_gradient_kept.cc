// Functions that return a tensor's values, or some of them: each carries the gradient, or refuses where one would be lost, and
// which of the two depends neither on memory nor on types.
#include <doctest/doctest.h>

#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/view.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

using OfTensor = std::function<Tensor(const Tensor& x)>;

struct Layout {
  std::string name;
  OfTensor of;   // x (2,3) with a graph, in other memory
};

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all{{"a leaf", [](const Tensor& x) { return x; }},
                                       {"dense", [](const Tensor& x) { return exp(x); }},
                                       {"transposed", [](const Tensor& x) { return transpose(exp(x)); }},
                                       {"sliced", [](const Tensor& x) { return slice(exp(x), 1, 1, 2); }},
                                       {"expanded", [](const Tensor& x) { return expand(exp(x), {2, 2, 3}); }},
                                       {"empty", [](const Tensor& x) { return slice(exp(x), 0, 1, 0); }},
                                       {"one element", [](const Tensor& x) { return sum(exp(x)); }}};
  return all;
}

struct Member {
  std::string name;
  OfTensor call;
  std::string hint;
};

const std::vector<Member>& members() {   // each that returns a tensor, but for detach()
  const std::string detach = "detach() where no gradient is wanted";
  static const std::vector<Member> all{
      {"contiguous", [](const Tensor& x) { return x.contiguous(); }, "use contiguous(x) of ops.h, or " + detach},
      {"copy", [](const Tensor& x) { return x.copy(); }, "use copy(x) of ops.h, or " + detach},
      {"to", [](const Tensor& x) { return x.to(DType::f32); }, "use to(x, type) of ops.h, or " + detach},
      {"to", [](const Tensor& x) { return x.to(DType::f64); }, "use to(x, type) of ops.h, or " + detach},
      {"to", [](const Tensor& x) { return x.to(DType::i32); }, "use to(x, type) of ops.h, or " + detach},
      {"to", [](const Tensor& x) { return x.to(Device::cpu); }, "detach() it: no op carries a gradient from device to device"},
      {"on_host", [](const Tensor& x) { return x.on_host(); }, "detach() it: no op carries a gradient from device to device"},
      {"strided", [](const Tensor& x) { return x.strided(x.shape(), x.strides()); },
       "use an op of shapes (ops.h), or " + detach},
      {"strided", [](const Tensor& x) { return view::slice(x, 0, 0, 0); }, "use an op of shapes (ops.h), or " + detach},
      {"strided", [](const Tensor& x) { return view::expand(x, x.shape()); }, "use an op of shapes (ops.h), or " + detach},
  };
  return all;
}

}  // namespace

TEST_CASE("gradient kept: a member of Tensor that carries none refuses a tensor with a graph, whatever its memory and type") {
  for (const DType type : {DType::f32, DType::f64})
    for (const Layout& layout : layouts())
      for (const Member& member : members()) {
        const Tensor x = layout.of(requires_grad(Tensor::zeros({2, 3}, type)));
        INFO(layout.name, ", ", member.name);
        if (x.rank() == 0 && message_of([&] { member.call(x.detach()); }) != "no error") continue;   // no axis to slice
        CHECK(message_of([&] { member.call(x); }) == text(member.name, ": this member of Tensor carries no gradient, and ", type, x.shape(),
                              " has a graph; hint: ", member.hint));
        CHECK(contains_text(message_of([&] { view::reshape(x, x.shape()); }), "this member of Tensor carries no gradient"));
        CHECK(member.call(x.detach()).node == nullptr);
        const NoGrad guard;
        CHECK(member.call(x).node == nullptr);
      }
}

TEST_CASE("gradient kept: the ops that are named like members carry it, whatever the memory and the type") {
  const std::vector<std::pair<std::string, OfTensor>> ops{
      {"contiguous", [](const Tensor& x) { return contiguous(x); }},
      {"copy", [](const Tensor& x) { return copy(x); }},
      {"to f32", [](const Tensor& x) { return to(x, DType::f32); }},
      {"to f64", [](const Tensor& x) { return to(x, DType::f64); }}};
  for (const DType type : {DType::f32, DType::f64})
    for (const Layout& layout : layouts())
      for (const auto& op : ops) {
        const Tensor leaf = requires_grad(Tensor::full({2, 3}, 0.5, type)), x = layout.of(leaf), y = op.second(x);
        INFO(layout.name, ", ", op.first);
        REQUIRE(y.node != nullptr);
        CHECK(y.node != x.node);
        CHECK(y.shape() == x.shape());
        CHECK(grad({sum(y)}, {leaf}, {}, {.retain = true})[0].to(DType::f64).values<double>() ==
              grad({sum(x)}, {leaf}, {}, {.retain = true})[0].to(DType::f64).values<double>());
      }
}

TEST_CASE("gradient kept: the gradient that is set in a leaf is like the leaf, and has no graph") {
  const Tensor x = requires_grad(Tensor::zeros({2, 3}));
  CHECK(message_of([&] { set_gradient(x, Tensor::zeros({3, 2})); }) ==
        text("set_gradient: the value is f32[3,2] on ", x.device(), ", the leaf f32[2,3] on ", x.device()));
  CHECK(message_of([&] { set_gradient(x, Tensor::zeros({2, 3}, DType::f64)); }) ==
        text("set_gradient: the value is f64[2,3] on ", x.device(), ", the leaf f32[2,3] on ", x.device()));
  CHECK(message_of([&] { set_gradient(x, exp(x)); }) ==
        "set_gradient: the value f32[2,3] has a graph; hint: detach() it: a gradient that lives in a leaf would keep its own "
        "graph");
  CHECK(!gradient(x).defined());
  const Tensor given = expand(Tensor::full({}, 2), {2, 3});   // one number in memory
  set_gradient(x, given);
  backward(sum(x));
  CHECK(gradient(x).values<float>() == std::vector<float>(6, 3));
  CHECK(given.values<float>() == std::vector<float>(6, 2));
}

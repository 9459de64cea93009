// What backward, a composite or a recomputed function reads is as it was in forward, or an error tells that it was written.
#include <doctest/doctest.h>

#include <set>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "autograd/recompute.h"
#include "tensor/in_place.h"
#include "tests/autograd/evaluate.h"
#include "tests/length.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

// The tensors, one of each memory, that ops are given or keep while it lives.
class Told : public Observer {
 public:
  void applied(const char*, const std::vector<Tensor>& inputs, const Tensor&) override {
    for (const Tensor& input : inputs) saved(input);
  }
  void saved(const Tensor& tensor) override {
    if (tensor.defined() && seen_.insert(tensor.storage().get()).second) tensors.push_back(tensor);
  }
  bool has(const Tensor& tensor) const { return seen_.contains(tensor.storage().get()); }
  std::vector<Tensor> tensors;

 private:
  std::set<Storage*> seen_;
};

// Other values in every element of the tensor's memory, while it lives.
class Overwritten {
 public:
  explicit Overwritten(const Tensor& tensor) {
    Shape shape = tensor.shape();
    for (int axis = 0; axis < shape.rank(); ++axis)
      if (tensor.stride(axis) == 0) shape[axis] = std::min<int64_t>(shape[axis], 1);
    memory_ = tensor.detach().strided(shape, tensor.strides());
    before_ = memory_.copy();
    bool zero = true;
    for (const double value : memory_.to(DType::f64).values<double>()) zero = zero && value == 0;
    fill_(memory_, zero ? 1 : 0);
  }
  ~Overwritten() { copy_(memory_, before_); }

 private:
  Tensor memory_, before_;
};

std::vector<Tensor> integers_of_rows;   // that the rows hold

std::vector<OpExamples> rows_of_every_op() {
  integers_of_rows.clear();
  integers_made = [](const Tensor& tensor) { integers_of_rows.push_back(tensor); };
  std::vector<OpExamples> all = examples_of_every_op();
  integers_made = nullptr;
  return all;
}

Tensor cotangent_of(const Tensor& y) {
  std::vector<double> u;
  for (int64_t i = 0; i < y.elements(); ++i) u.push_back(static_cast<double>(i * 7919 % 1021) / 512 - 1);
  return Tensor::from(u, y.shape()).to(y.dtype());
}

using Pass = std::function<std::vector<Tensor>()>;

// Forward passes, and what is left to do afterwards.
Pass first_order(const Example& row, const std::vector<Tensor>& leaves) {
  const Tensor y = row.function(leaves);
  return [=] { return grad({y}, leaves, {cotangent_of(y)}); };
}

Pass with_graph(const Example& row, const std::vector<Tensor>& leaves) {
  const Tensor y = row.function(leaves);
  return [=] { return grad({y}, leaves, {cotangent_of(y)}, {.create_graph = true}); };
}

Pass recomputed(const Example& row, const std::vector<Tensor>& leaves) {
  const Tensor y = recompute(row.function, leaves);
  return [=] { return grad({y}, leaves, {cotangent_of(y)}); };
}

Pass second_order(const Example& row, const std::vector<Tensor>& leaves) {
  const std::vector<Tensor> gradients = with_graph(row, leaves)();
  std::vector<Tensor> directions;
  for (const Tensor& g : gradients) directions.push_back(cotangent_of(g));
  return [=] { return grad(gradients, leaves, directions, {.allow_constants = true}); };
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i) same = tapir::same_bits(a[i], b[i]);
  return same;
}

}  // namespace

TEST_CASE("saved: whatever is written between forward and backward, integers and masks too, is an error or changes nothing") {
  const std::vector<OpExamples> all = rows_of_every_op();
  REQUIRE(integers_of_rows.size() > 30);
  std::set<std::string> noticed;
  const auto judge = [&](const std::string& op, const Example& row, const auto& forward, const char* pass) {
    INFO("op ", op, ", row '", row.label, "', ", pass);
    const auto leaves = [&] { return requires_grad(inputs_of(row, DType::f64)); };
    const std::vector<Tensor> expected = forward(row, leaves())();
    size_t count = 1;
    for (size_t k = 0; k <= count; ++k) {   // after the tensors that ops were told of: all others that rows hold
      const std::vector<Tensor> given = leaves();
      Told told;
      const Pass backward = forward(row, given);
      std::vector<std::unique_ptr<Overwritten>> writes;
      count = told.tensors.size();
      if (k == count) {
        for (const Tensor& tensor : integers_of_rows)
          if (!told.has(tensor)) writes.push_back(std::make_unique<Overwritten>(tensor));
      } else {
        if (told.tensors[k].storage()->in_graph) continue;   // refused: test_in_place.cc
        writes.push_back(std::make_unique<Overwritten>(told.tensors[k]));
      }
      std::vector<Tensor> gradients;
      const std::string message = message_of([&] { gradients = backward(); });
      if (message == "no error") {
        CHECK_MESSAGE(same_bits(gradients, expected), "written: tensor ", k, " of ", count);
      } else {
        CHECK(contains_text(message, "was written in place"));
        noticed.insert(op);
      }
    }
  };
  for (const OpExamples& op : all)
    for (const Example& row : op.rows) {
      int64_t elements = 0;
      for (const Argument& input : row.inputs) elements += input.shape.elements();
      if (elements > cases(100, 1 << 20)) continue;
      judge(op.op, row, first_order, "backward");
      judge(op.op, row, recomputed, "recomputed");
      judge(op.op, row, with_graph, "with a graph");
      if (row.second_order) judge(op.op, row, second_order, "second derivative");
    }
  for (const char* op : {"where", "gather", "scatter_add", "embedding", "scatter_rows", "cross_entropy", "softmax",
                         "expressive_weights", "dot_product_attention", "twicing_attention", "network_attention", "mul", "layer_norm"})
    CHECK_MESSAGE(noticed.contains(op), op);
}

TEST_CASE("saved: targets that are written before backward are an error, in range or not") {
  const std::string written =
      "backward: a tensor saved for backward, of shape [2], was written in place; hint: write into a copy(), or after backward";
  const Tensor x = requires_grad(Tensor::zeros({2, 3}));
  for (const double next : {1.0, 1e9, -7.0}) {
    Tensor targets = i32({0, 2}, {2});
    const Function loss_of = [=](const std::vector<Tensor>& in) { return cross_entropy(in[0], targets); };
    const Tensor loss = loss_of({x}), again = recompute(loss_of, {x});
    fill_(targets, next);
    CHECK(message_of([&] { backward(loss); }) == written);
    CHECK(message_of([&] { backward(again); }) == written);
  }
}

TEST_CASE("saved: backward does not read the statistics that batch_norm returns") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{1, 2, 4, 7, 3, 5}, {3, 2}));
  const Tensor one = Tensor::full({2}, 1, DType::f64);
  const auto gradient_after = [&](double factor) {
    BatchNormed normed = batch_norm(x, one, one);
    scale_(normed.mean, factor);
    scale_(normed.variance, factor);
    return grad({sum(mul(normed.y, square(normed.y)))}, {x})[0].values<double>();
  };
  CHECK(gradient_after(2) == gradient_after(1));
}

TEST_CASE("saved: recompute keeps no memory that f makes") {
  const Tensor x = requires_grad(Tensor::zeros({2}, DType::f64));
  std::weak_ptr<Storage> made;
  const Tensor y = recompute(
      [&](const std::vector<Tensor>& in) {
        const Tensor factor = Tensor::full({2}, 3, DType::f64);
        made = factor.storage();
        return mul(in[0], factor);
      },
      {x});
  CHECK(made.expired());
  backward(sum(y));
  CHECK(gradient(x).values<double>() == std::vector<double>{3, 3});
}

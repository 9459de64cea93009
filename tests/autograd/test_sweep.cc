// The sweep: every op, every row of its examples, every judgement. A judgement is written once, here.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/tolerance.h"
#include "tensor/parallel.h"
#include "tensor/view.h"
#include "tests/autograd/evaluate.h"
#include "tests/autograd/sweep.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

// Calls judge(op, row) for every row of every op; a failure names both.
template <class Judge>
void for_every_row(const Judge& judge) {
  static const std::vector<OpExamples> all = examples_of_every_op();
  for (const OpExamples& op : all)
    for (const Example& row : op.rows) {
      if (sweep_takes && !sweep_takes(op, row)) continue;
      INFO("op ", op.op, ", row '", row.label, "'");
      judge(op, row);
    }
}

bool same_bits(const Result& a, const Result& b) {
  bool same = same_bits(a.y, b.y);
  for (size_t i = 0; i < a.gradients.size(); ++i) same = same && same_bits(a.gradients[i], b.gradients[i]);
  return same;
}

// Largest |x − y| / max(1, |y|); infinite where a number is not finite, and for different shapes.
double distance(const Tensor& x, const std::vector<double>& y) {
  const std::vector<double> values = x.detach().to(DType::f64).values<double>();
  if (values.size() != y.size()) return HUGE_VAL;
  double largest = 0;
  for (size_t i = 0; i < y.size(); ++i)
    largest = std::max(largest, error_of(values[i], y[i], std::max(1.0, std::fabs(y[i]))));
  return largest;
}

// The same values in memory of another layout; the rest of that memory is NaN.
Tensor transposed_memory(const Tensor& x) {
  return x.rank() < 2 ? x : view::transpose(view::transpose(x, 0, -1).copy(), 0, -1);
}

Tensor cut_from_larger(const Tensor& x) {
  Shape larger;
  for (const int64_t extent : x.shape()) larger.push_back(2 * extent + 3);
  Tensor part = Tensor::empty(larger, x.dtype(), Device::cpu);   // every value that is not set below is NaN
  Strides strides = part.strides();
  int64_t offset = 0;
  for (int axis = 0; axis < x.rank(); ++axis) {
    offset += strides[axis];
    strides[axis] *= 2;
  }
  const Tensor whole = part;
  part = part.strided(x.shape(), strides, offset);
  with_float("test", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> values = x.values<T>();
    for (int64_t i = 0; i < x.elements(); ++i) {
      int64_t place = 0, rest = i;
      for (int axis = x.rank() - 1; axis >= 0; --axis) {
        place += rest % x.size(axis) * strides[axis];
        rest /= x.size(axis);
      }
      part.data<T>()[place] = values[i];
    }
  });
  return whole.to(x.device()).strided(x.shape(), strides, offset);
}

// One direction is enough where the elements are many.
int directions_of(const Example& row) {
  int64_t elements = 0;
  for (const Argument& input : row.inputs) elements += input.shape.elements();
  return elements > elements_per_range ? 1 : 2;
}

struct ThreadCount {   // set while it lives
  explicit ThreadCount(int count) : before(threads()) { set_threads(count); }
  ~ThreadCount() { set_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("sweep: every op has rows for one element, for none, and for several ranges, and makes its node") {
  for (const OpExamples& op : examples_of_every_op()) {
    CAPTURE(op.op);
    const auto some_row = [&](const auto& fits) {
      return std::any_of(op.rows.begin(), op.rows.end(), [&](const Example& row) {
        return std::any_of(row.inputs.begin(), row.inputs.end(),
                           [&](const Argument& a) { return fits(a.shape.elements()); });
      });
    };
    CHECK(some_row([](int64_t elements) { return elements == 0; }));
    CHECK(some_row([&](int64_t elements) { return elements == op.smallest; }));
    CHECK(some_row([](int64_t elements) { return elements > 4 * elements_per_range; }));
    for (const Example& row : op.rows) {
      CAPTURE(row.label);
      bool found = false;
      std::vector<Tensor> leaves;
      for (const Tensor& input : inputs_of(row, DType::f64)) leaves.push_back(requires_grad(input));
      std::vector<std::shared_ptr<Node>> pending{row.function(leaves).node};
      while (!pending.empty()) {
        const std::shared_ptr<Node> node = pending.back();
        pending.pop_back();
        if (!node) continue;
        found = found || op.op == node->name;
        pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
      }
      CHECK(found);
    }
  }
}

TEST_CASE("sweep: values agree with scalar loops in double") {
  for_every_row([](const OpExamples&, const Example& row) {
    Arrays arrays;
    for (const Tensor& input : inputs_of(row, DType::f64)) arrays.push_back({input.shape(), input.values<double>()});
    const Array expected = row.reference(arrays);
    for (const DType type : {DType::f64, DType::f32}) {
      const Tensor y = row.function(inputs_of(row, type));
      CHECK(y.dtype() == type);
      CHECK(y.shape() == expected.shape);
      CHECK(distance(y, expected.values) <= (type == DType::f64 ? row.relative_f64 : row.relative_f32));
    }
  });
}

TEST_CASE("sweep: gradients agree with differences, in f32 with those in f64") {
  for_every_row([](const OpExamples& op, const Example& row) {
    const GradcheckResult result = gradcheck(op.op, row.function, inputs_of(row, DType::f64),
                                             {.directions = directions_of(row), .may_vanish = row.may_vanish});
    CHECK_MESSAGE(result.passed, result.report);
    const Result wide = evaluate(row, inputs_of(row, DType::f64)), narrow = evaluate(row, inputs_of(row, DType::f32));
    for (size_t i = 0; i < row.inputs.size(); ++i) {
      CHECK(narrow.gradients[i].dtype() == DType::f32);
      CHECK(distance(narrow.gradients[i], wide.gradients[i].values<double>()) <= 10 * row.relative_f32);
    }
  });
}

TEST_CASE("sweep: double gradients agree with differences") {
  for_every_row([](const OpExamples& op, const Example& row) {
    if (!row.second_order) return;
    const GradcheckResult result = gradgradcheck(op.op, row.function, inputs_of(row, DType::f64),
                                                 {.relative = 1e-5, .directions = directions_of(row)});
    CHECK_MESSAGE(result.passed, result.report);
  });
}

TEST_CASE("sweep: the layout of memory does not matter") {
  for_every_row([](const OpExamples& op, const Example& row) {
    for (const DType type : {DType::f64, DType::f32}) {
      const std::vector<Tensor> inputs = inputs_of(row, type);
      const Result dense = evaluate(row, inputs);
      for (const auto layout : {transposed_memory, cut_from_larger}) {
        std::vector<Tensor> strided;
        for (const Tensor& input : inputs) strided.push_back(layout(input));
        const Result result = evaluate(row, strided);
        if (op.strided_bits) CHECK(same_bits(result, dense));
        const double bound = type == DType::f64 ? row.relative_f64 : row.relative_f32;
        CHECK(distance(result.y, dense.y.detach().to(DType::f64).values<double>()) <= bound);
        for (size_t i = 0; i < inputs.size(); ++i)
          CHECK(distance(result.gradients[i], dense.gradients[i].to(DType::f64).values<double>()) <= 10 * bound);
      }
    }
  });
}

TEST_CASE("sweep: the same bits again, and with 1, 2 and 3 threads; inputs stay as they were") {
  for_every_row([](const OpExamples&, const Example& row) {
    const std::vector<Tensor> inputs = inputs_of(row, DType::f32);
    const Result first = evaluate(row, inputs);
    CHECK(same_bits(evaluate(row, inputs), first));
    for (const int count : {1, 2, 3}) {
      const ThreadCount scope(count);
      CHECK(same_bits(evaluate(row, inputs), first));
    }
    for (size_t i = 0; i < inputs.size(); ++i) CHECK(same_bits(inputs[i], input_of(row, i, DType::f32)));
  });
}

namespace {

using Changed = std::vector<bool>;
using Tensors = std::vector<Tensor>;

// Elements that are not as they were.
Changed changed(const Tensor& before, const Tensor& after) {
  const std::vector<double> x = before.values<double>(), y = after.values<double>();
  Changed all;
  for (size_t i = 0; i < x.size(); ++i) all.push_back(!(x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))));
  return all;
}

// The same but for rounding: what stays may be summed again, in another order, where NaN stood in a product.
Changed spoiled(const OpExamples& op, const Tensor& before, const Tensor& after) {
  Changed all = changed(before, after);
  if (op.strided_bits) return all;
  const std::vector<double> x = before.values<double>(), y = after.values<double>();
  double largest = 0;
  for (const double value : x)
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < all.size(); ++i) all[i] = all[i] && !(std::fabs(x[i] - y[i]) <= 1e-13 * largest);
  return all;
}

bool any(const Changed& elements) { return std::find(elements.begin(), elements.end(), true) != elements.end(); }

std::vector<Tensor> with_element(std::vector<Tensor> inputs, size_t argument, int64_t place, double value) {
  std::vector<double> values = inputs[argument].values<double>();
  values[place] = value;
  inputs[argument] = Tensor::from(values, inputs[argument].shape());
  return inputs;
}

// The elements of y and of the gradients that depend on an element of the inputs, as far as other values of it show.
std::vector<Changed> dependent(const Example& row, const std::vector<Tensor>& inputs, const Result& clean, size_t argument,
                               int64_t place) {
  std::vector<Changed> depends;
  for (const double step : {1.0, -1.0, 1000.0, -1000.0}) {
    const double value = inputs[argument].values<double>()[place] + step;
    const Result other = evaluate(row, with_element(inputs, argument, place, value));
    std::vector<Changed> now{changed(clean.y, other.y)};
    for (size_t k = 0; k < inputs.size(); ++k) now.push_back(changed(clean.gradients[k], other.gradients[k]));
    if (depends.empty()) depends = now;
    for (size_t k = 0; k < now.size(); ++k)
      for (size_t i = 0; i < now[k].size(); ++i) depends[k][i] = depends[k][i] || now[k][i];
  }
  return depends;
}

// Calls judge(row, inputs, clean, argument, place, dependent) for an element of each input of rows that are not large: the last
// one on which y depends.
template <class Judge>
void for_an_element_of_each(const OpExamples& op, const Example& row, const Judge& judge) {
  const std::vector<Tensor> inputs = inputs_of(row, DType::f64);
  int64_t elements = 0;
  for (const Tensor& input : inputs) elements += input.elements();
  if (row.may_vanish || row.nan_elsewhere || elements > 1000) return;
  const Result clean = evaluate(row, inputs);
  for (size_t argument = 0; argument < inputs.size(); ++argument) {
    INFO("op ", op.op, ", row '", row.label, "', argument ", argument);
    const int64_t n = inputs[argument].elements();
    bool reached = n == 0 || clean.y.elements() == 0;
    for (int64_t place = n - 1; place >= 0 && !reached; --place) {
      const std::vector<Changed> depends = dependent(row, inputs, clean, argument, place);
      reached = any(depends[0]);
      if (reached) judge(inputs, clean, argument, place, depends);
    }
    CHECK(reached);
  }
}

constexpr double quiet_nan = std::numeric_limits<double>::quiet_NaN();

// 0 hides NaN by definition: as a cotangent, as an exponent, as a probability.
bool zero_wins(const std::string& op) { return std::set<std::string>{"chain", "pow", "kl_div"}.contains(op); }

// The ops that the head of ops.h excepts: where a cotangent is 0, their gradient reads what belongs to it all the same.
bool reads_all(const std::string& op) {
  static const std::set<std::string> ops{
      "matmul", "linear", "conv2d", "conv_transpose2d", "conv2d_weight",
      "linear_recurrence", "logcumsumexp", "logsumexp", "softmax",
      "layer_norm", "rms_norm", "group_norm", "batch_norm",
      "mix", "expressive_weights", "pair_hidden", "pair_hidden_tanh",
      "dot_product_attention", "twicing_attention", "doubly_normalised_attention",
       "expressive_attention", "network_attention", "deep_network_attention"};
  return ops.contains(op);
}

}  // namespace

TEST_CASE("sweep: NaN reaches every element that depends on it, and no other") {
  for_every_row([&](const OpExamples& op, const Example& row) {
    for_an_element_of_each(op, row, [&](const Tensors& inputs, const Result& clean, size_t argument, int64_t place,
                                        const std::vector<Changed>& depends) {
      const Result result = evaluate(row, with_element(inputs, argument, place, quiet_nan));
      std::vector<Changed> spread{spoiled(op, clean.y, result.y)};
      for (size_t k = 0; k < inputs.size(); ++k) spread.push_back(spoiled(op, clean.gradients[k], result.gradients[k]));
      const std::vector<double> y = result.y.values<double>();
      bool lost = false, spilled = false;
      for (size_t i = 0; i < y.size(); ++i) lost = lost || (depends[0][i] && !std::isnan(y[i]));
      for (size_t k = 0; k < spread.size(); ++k)
        for (size_t i = 0; i < spread[k].size(); ++i) spilled = spilled || (spread[k][i] && !depends[k][i]);
      CAPTURE(place);
      CHECK(!lost);
      CHECK(!spilled);
    });
  });
}

TEST_CASE("sweep: so it does beside numbers of every size, where what depends on it cannot be seen") {
  for_every_row([&](const OpExamples& op, const Example& row) {
    for_an_element_of_each(op, row, [&](const Tensors& inputs, const Result&, size_t argument, int64_t place,
                                        const std::vector<Changed>& depends) {
      for (size_t scaled = 0; scaled < inputs.size(); ++scaled)
        for (const double factor : {0.0, 1e-200, -1e3, 1e3, 1e200}) {
          if (factor == 0 && zero_wins(op.op)) continue;
          std::vector<Tensor> sized = inputs;
          sized[scaled] = affine(inputs[scaled], factor, 0);
          const Tensor clean = row.function(sized), y = row.function(with_element(sized, argument, place, quiet_nan));
          const std::vector<double> values = y.values<double>();
          const Changed spread = spoiled(op, clean, y);
          CAPTURE(scaled);
          CAPTURE(factor);
          CAPTURE(place);
          bool lost = false, spilled = false;
          for (size_t i = 0; i < values.size(); ++i) {
            lost = lost || (depends[0][i] && !std::isnan(values[i]));
            spilled = spilled || (!depends[0][i] && spread[i]);
          }
          CHECK(!lost);
          CHECK(!spilled);
        }
    });
  });
}

TEST_CASE("sweep: an element whose cotangent is 0 takes no part in the gradient, but of the ops that ops.h excepts") {
  for (const OpExamples& op : examples_of_every_op()) {
    bool holds = true, judged = false;
    std::string first;
    for (const Example& row : op.rows) {
      if (sweep_takes && !sweep_takes(op, row)) continue;
      for_an_element_of_each(op, row, [&](const Tensors& inputs, const Result& clean, size_t argument, int64_t place,
                                        const std::vector<Changed>& depends) {
        std::vector<double> u;   // 0 at all that the element reaches
        for (int64_t i = 0; i < clean.y.elements(); ++i) u.push_back(depends[0][i] ? 0 : 1 + static_cast<double>(i % 7));
        const auto gradients = [&](const std::vector<Tensor>& in, bool graph) {
          const std::vector<Tensor> leaves = requires_grad(in);
          const Tensor y = row.function(leaves);
          return grad({y}, leaves, {Tensor::from(u, y.shape())}, {.create_graph = graph});
        };
        for (const bool graph : {false, true})
          for (const double value : {quiet_nan, HUGE_VAL, -HUGE_VAL}) {
            const std::vector<Tensor> before = gradients(inputs, graph);
            const std::vector<Tensor> after = gradients(with_element(inputs, argument, place, value), graph);
            judged = true;
            for (size_t k = 0; k < before.size(); ++k)
              if (any(changed(before[k], after[k]))) {
                holds = false;
                if (first.empty())
                  first = text(row.label, ", input ", argument, " is ", value, graph ? ", with a graph" : "");
              }
          }
      });
    }
    CAPTURE(op.op);
    CAPTURE(first);
    if (!reads_all(op.op)) CHECK(holds);
    else if (judged && !sweep_takes) CHECK_MESSAGE(!holds, "it need not be excepted");
  }
}

TEST_CASE("sweep: inputs without a value, and of wrong or mixed types, are errors that name the op and the types") {
  for_every_row([](const OpExamples& op, const Example& row) {
    const bool alone = &row == &op.rows.front();   // other rows may begin with another op, which complains first
    const std::vector<Tensor> inputs = inputs_of(row, DType::f64);
    for (size_t i = 0; i < inputs.size(); ++i) {
      std::vector<Tensor> bad = inputs;
      bad[i] = Tensor();
      CHECK(message_of([&] { row.function(bad); }) != "no error");
      if (alone) CHECK(message_of([&] { row.function(bad); }) == op.op + ": an input has no value");
      if (inputs.size() > 1) {
        bad[i] = inputs[i].to(DType::f32);
        const std::string message = message_of([&] { row.function(bad); });
        CAPTURE(message);
        if (alone) CHECK(message.find(op.op) == 0);
        for (const char* word : {"f32", "f64"}) CHECK(contains_text(message, word));
      }
    }
    std::vector<Tensor> integers;
    for (const Tensor& input : inputs) integers.push_back(input.to(DType::i32));
    const std::string message = message_of([&] { row.function(integers); });
    CAPTURE(message);
    if (op.any_type) CHECK(message == "no error");
    else CHECK(contains_text(message, "needs f32 or f64, not i32"));
    if (alone && !op.any_type) CHECK(message.find(op.op) == 0);
  });
}

TEST_CASE("sweep: wrong shapes and arguments are errors that name the op and what was given") {
  for (const OpExamples& op : examples_of_every_op())
    for (const BadCall& bad : op.errors) {
      const std::string message = message_of(bad.call);
      CAPTURE(op.op);
      CAPTURE(message);
      for (const std::string& word : bad.words) CHECK(contains_text(message, word));
    }
}

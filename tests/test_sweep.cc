// The sweep: every op, every row of its examples, every judgement. A judgement is written once, here.
#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/node.h"
#include "autograd/tolerance.h"
#include "tensor/parallel.h"
#include "tensor/view.h"
#include "tests/evaluate.h"
#include "tests/messages.h"
#include "tests/sweep.h"

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

TEST_CASE("sweep: NaN reaches every element that depends on it, and no other") {
  // Elements of the result (0), then of the gradients, that are not as they were.
  using Changed = std::vector<std::vector<bool>>;
  const auto changed = [](const Result& a, const Result& b) {
    std::vector<Tensor> before = a.gradients, after = b.gradients;
    before.insert(before.begin(), a.y);
    after.insert(after.begin(), b.y);
    Changed all;
    for (size_t k = 0; k < before.size(); ++k) {
      const std::vector<double> x = before[k].values<double>(), y = after[k].values<double>();
      all.emplace_back();
      for (size_t i = 0; i < x.size(); ++i) all.back().push_back(!(x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))));
    }
    return all;
  };
  for_every_row([&](const OpExamples&, const Example& row) {
    const std::vector<Tensor> inputs = inputs_of(row, DType::f64);
    int64_t elements = 0;
    for (const Tensor& input : inputs) elements += input.elements();
    if (row.may_vanish || row.nan_elsewhere || elements > 1000) return;
    const Result clean = evaluate(row, inputs);
    for (size_t argument = 0; argument < inputs.size(); ++argument) {
      const int64_t n = inputs[argument].elements();
      const auto with = [&](int64_t place, double value) {
        std::vector<Tensor> other = inputs;
        std::vector<double> values = inputs[argument].values<double>();
        values[place] = value;
        other[argument] = Tensor::from(values, inputs[argument].shape());
        return evaluate(row, other);
      };
      bool reached = n == 0 || clean.y.elements() == 0;
      for (int64_t place = n - 1; place >= 0 && !reached; --place) {
        Changed depends = changed(clean, clean);   // on this element, as far as other values of it show
        for (const double step : {1.0, -1.0, 1000.0, -1000.0}) {
          const Changed now = changed(clean, with(place, inputs[argument].values<double>()[place] + step));
          for (size_t k = 0; k < now.size(); ++k)
            for (size_t i = 0; i < now[k].size(); ++i) depends[k][i] = depends[k][i] || now[k][i];
        }
        if (std::find(depends[0].begin(), depends[0].end(), true) == depends[0].end()) continue;
        reached = true;
        const Result result = with(place, std::numeric_limits<double>::quiet_NaN());
        const Changed spread = changed(clean, result);
        const std::vector<double> y = result.y.values<double>();
        CAPTURE(argument);
        CAPTURE(place);
        bool lost = false, spilled = false;
        for (size_t i = 0; i < y.size(); ++i) lost = lost || (depends[0][i] && !std::isnan(y[i]));
        for (size_t k = 0; k < spread.size(); ++k)
          for (size_t i = 0; i < spread[k].size(); ++i) spilled = spilled || (spread[k][i] && !depends[k][i]);
        CHECK(!lost);
        CHECK(!spilled);
      }
      CHECK(reached);
    }
  });
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
        for (const std::string& word : {op.op, std::string("f32"), std::string("f64")}) CHECK(contains_text(message, word));
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

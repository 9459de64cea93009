// The gradient check itself: it must reject what is wrong, and say where.
#include "autograd/gradcheck.h"

#include <doctest/doctest.h>

#include <limits>

#include "attention/reproduce/program/check_ops.h"
#include "autograd/hooks.h"
#include "autograd/ops.h"
#include "autograd/tolerance.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

Tensor numbers(const Shape& shape, double first = 0.3) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.elements(); ++i) values.push_back(first + 0.17 * static_cast<double>(i));
  return Tensor::from(values, shape);
}

// y = x², whose gradient is wrong by the factor 1 + error in element `at`: half of the product hides from the graph.
Function wrong_square(double error, int64_t at) {
  return [=](const std::vector<Tensor>& x) {
    std::vector<double> errors(x[0].elements(), 0.0);
    errors[at] = error;
    const Tensor share = Tensor::from(errors, x[0].shape());
    const Tensor y = mul(x[0], x[0]), twin = mul(share, y);
    return sub(add(y, twin), twin.detach());
  };
}

// The value of one function with the gradient of another.
Tensor pretend(const Tensor& value, const Tensor& gradient_of) {
  return add(value.detach(), sub(gradient_of, gradient_of.detach()));
}

}  // namespace

TEST_CASE("gradcheck: right gradients pass") {
  const auto f = [](const std::vector<Tensor>& x) { return tanh(matmul(x[0], x[1])); };
  const GradcheckResult result = gradcheck("f", f, {numbers({3, 4}), numbers({4, 2}, -0.4)}, {.full_jacobian = true});
  CHECK_MESSAGE(result.passed, result.report);
  CHECK(result.report.empty());
  CHECK(result.worst < 1e-6);
  CHECK(gradgradcheck("f", f, {numbers({3, 4}), numbers({4, 2}, -0.4)}).passed);
}

TEST_CASE("gradcheck: a derivative that is wrong by 1e-4 in one element is rejected and found") {
  const GradcheckResult result = gradcheck("wrong", wrong_square(1e-4, 4), {numbers({2, 3})}, {.seed = 7});
  CHECK(!result.passed);
  CHECK(result.worst > 1e-6);
  CHECK(contains_text(result.report, "wrong: direction 0: analytic "));
  CHECK(contains_text(result.report, "argument 0, index 4: analytic "));
  CHECK(!contains_text(result.report, "index 3"));
  CHECK(contains_text(result.report, "; inputs [2,3], seed 7\n"));

  const GradcheckResult every = gradcheck("wrong", wrong_square(1e-4, 4), {numbers({2, 3})}, {.full_jacobian = true});
  CHECK(contains_text(every.report, "output index 4, argument 0, index 4"));
  CHECK(gradcheck("right", wrong_square(0, 4), {numbers({2, 3})}).passed);
}

TEST_CASE("gradcheck: a gradient that is zero everywhere is suspicious unless announced") {
  const auto constant = [](const std::vector<Tensor>& x) { return add(x[0], affine(x[1], 0, 1)); };
  const std::vector<Tensor> inputs = {numbers({2}), numbers({2})};
  const GradcheckResult result = gradcheck("constant", constant, inputs);
  CHECK(!result.passed);
  CHECK(contains_text(result.report, "constant: the gradient of argument 1 is zero everywhere"));
  CHECK(gradcheck("constant", constant, inputs, {.may_vanish = true}).passed);
}

TEST_CASE("gradgradcheck: a wrong second derivative under a right first one is rejected") {
  // y = x³ with the gradient 3x², which forgets that it depends on x.
  const auto cut = [](const std::vector<Tensor>& x) {
    const Tensor slope = affine(mul(x[0], x[0]), 3, 0).detach();
    const Tensor value = mul(mul(x[0], x[0]), x[0]).detach();
    return add(value, mul(slope, sub(x[0], x[0].detach())));
  };
  CHECK(gradcheck("cut", cut, {numbers({3})}).passed);
  const GradcheckResult result = gradgradcheck("cut", cut, {numbers({3})});
  CHECK(!result.passed);
  CHECK(contains_text(result.report, "gradient of cut: "));
}

TEST_CASE("gradcheck: says what a wrong gradient looks like") {
  using Inputs = std::vector<Tensor>;
  struct Wrong {
    const char* diagnosis;
    Function f;
    Inputs inputs;
  };
  const Tensor x = numbers({2, 3}), square_matrix = numbers({3, 3}), b = numbers({3, 2}, -0.4);
  const std::vector<Wrong> all = {
      {"factor 2 missing", [](const Inputs& in) { return pretend(square(in[0]), affine(square(in[0]), 0.5, 0)); }, {x}},
      {"factor 1/2 missing", [](const Inputs& in) { return pretend(exp(in[0]), affine(exp(in[0]), 2, 0)); }, {x}},
      {"the sign is wrong", [](const Inputs& in) { return pretend(cos(in[0]), neg(cos(in[0]))); }, {x}},
      {"factor 3 missing", [](const Inputs& in) { return pretend(sum(in[0], -1), mean(in[0], -1)); }, {x}},
      {"factor 1.25 missing", [](const Inputs& in) { return pretend(exp(in[0]), affine(exp(in[0]), 0.8, 0)); }, {x}},
      {"no gradient is passed on", [](const Inputs& in) { return exp(in[0]).detach(); }, {x}},
      {"transposed: the last two axes are exchanged",
       [](const Inputs& in) { return pretend(matmul(in[0], in[1]), matmul(transpose(in[0]), in[1].detach())); },
       {square_matrix, b}},
      {"transposed: the last two axes are exchanged",
       [](const Inputs& in) {
         return pretend(matmul(in[0], in[1]), matmul(transpose(reshape(in[0], {3, 2})), in[1].detach()));
       },
       {x, b}},
      {"sum over axis 0 of the output left out: index 0 alone is counted",
       [](const Inputs& in) {
         return pretend(add(in[0], in[1]), add(in[0], pad(reshape(in[1], {1, 3}), 0, 0, 1)));
       },
       {x, numbers({3})}},
      {"sum over axis 1 of the output left out: index 2 alone is counted",
       [](const Inputs& in) { return pretend(mul(in[0], in[1]), mul(in[0].detach(), pad(in[1], 1, 2, 0))); },
       {x, numbers({2, 1})}},
      {"term g y missing",
       [](const Inputs& in) { return pretend(mul(in[0], exp(in[0])), mul(in[0], exp(in[0]).detach())); }, {x}},
      {"term -y sum(g y) missing",
       [](const Inputs& in) { return pretend(softmax(in[0]), mul(in[0], softmax(in[0]).detach())); }, {x}},
      {"term -g missing", [](const Inputs& in) { return pretend(sin(in[0]), add(sin(in[0]), in[0])); }, {x}},
      {"term 2 g x missing", [](const Inputs& in) { return pretend(add(in[0], square(in[0])), in[0]); }, {x}},
      {"term g x0 x0 missing",
       [](const Inputs& in) { return pretend(add(in[1], mul(square(in[0]), in[1])), add(in[1], square(in[0]))); },
       {x, numbers({2, 3}, 1)}},
      {"term 1/3 sum(g) missing",
       [](const Inputs& in) { return pretend(add(in[0], mean(in[0], -1, true)), in[0]); }, {x}},
  };
  for (const Wrong& wrong : all) {
    const GradcheckResult result = gradcheck("wrong", wrong.f, wrong.inputs);
    CAPTURE(result.report);
    CHECK(!result.passed);
    CHECK(contains_text(result.report, text(" looks like: ", wrong.diagnosis, "\n")));
  }
  CHECK(!contains_text(gradcheck("wrong", wrong_square(1e-3, 4), {x}).report, "looks like"));
}

TEST_CASE("gradgradcheck: says what a wrong second derivative looks like") {
  const auto cut = [](const std::vector<Tensor>& x) {   // x² whose gradient 2x forgets that it depends on x
    return pretend(square(x[0]), mul(affine(x[0], 2, 0).detach(), x[0]));
  };
  const GradcheckResult result = gradgradcheck("cut", cut, {numbers({3})});
  CHECK(contains_text(result.report, "gradient of cut: argument 0 looks like: no gradient is passed on\n"));
}

TEST_CASE("gradcheck: inputs must be f64") {
  const auto f = [](const std::vector<Tensor>& x) { return exp(x[0]); };
  CHECK(message_of([&] { gradcheck("f", f, {Tensor::zeros({2})}); }) ==
        "gradcheck: the inputs of 'f' must be f64; hint: let the function keep other inputs to itself");
}

// Adds `planted` to element 0 of every gradient that arrives at the first argument, and to nothing else.
Function with_planted_gradient(const Function& f, double planted) {
  const auto alive = std::make_shared<std::vector<GradientHandle>>();
  return [=](const std::vector<Tensor>& x) {
    std::vector<Tensor> in = x;
    in[0] = identity(x[0]);
    if (in[0].node)
      alive->push_back(on_gradient(in[0], [planted](const Tensor& g) {
        std::vector<double> wrong(g.elements(), 0.0);
        wrong[0] = planted;
        return add(g, Tensor::from(wrong, g.shape()));
      }));
    return f(in);
  };
}

TEST_CASE("gradcheck: a gradient that an empty output cannot have is diagnosed") {
  const Function empty = [](const std::vector<Tensor>& x) { return slice(x[0], 0, 0, 0); };
  const GradcheckResult result = gradcheck("empty", with_planted_gradient(empty, 1), {Tensor::zeros({2}, DType::f64)});
  CHECK(!result.passed);
  CHECK(contains_text(result.report, "looks like: one of an empty output"));
}

TEST_CASE("gradcheck: no op passes with ∞, NaN or a huge number in one element of a gradient or of a value") {
  for (const OpExamples& op : examples_of_every_op()) {
    const auto elements = [](const Example& example) {   // of all inputs; rows with an empty one come last
      int64_t count = 0;
      bool empty = false;
      for (const auto& input : example.inputs) {
        count += input.shape.elements();
        empty = empty || input.shape.elements() == 0;
      }
      return empty ? std::numeric_limits<int64_t>::max() : count;
    };
    const auto row = std::min_element(op.rows.begin(), op.rows.end(),
                                      [&](const Example& a, const Example& b) { return elements(a) < elements(b); });
    REQUIRE(row->inputs[0].shape.elements() > 0);
    CAPTURE(op.op);
    const std::vector<Tensor> inputs = inputs_of(*row, DType::f64);
    for (const double planted : {HUGE_VAL, -HUGE_VAL, double{NAN}, 1e300}) {
      CAPTURE(planted);
      const Function in_gradient = with_planted_gradient(row->function, planted);
      const GradcheckResult result = gradcheck("planted", in_gradient, inputs, {.may_vanish = true});
      CHECK(!result.passed);
      CHECK(std::isinf(result.worst) == !std::isfinite(planted));
      if (std::isfinite(planted)) continue;
      if (row->second_order) CHECK(!gradgradcheck("planted", in_gradient, inputs).passed);
      const Function in_value = [&](const std::vector<Tensor>& x) {
        return add(row->function(x), Tensor::full({}, planted, DType::f64));
      };
      CHECK(!gradcheck("planted", in_value, inputs, {.may_vanish = true}).passed);
    }
  }
}

TEST_CASE("tapir check: an op with a wrong gradient fails, and is told with row, argument, index and guess") {
  const OpExamples wrong{
      .op = "wrong",
      .rows = {{.label = "right row", .function = [](const std::vector<Tensor>& x) { return exp(x[0]); }, .inputs = {{{3}}},
                .reference = {}},
               {.label = "wrong row",
                .function = [](const std::vector<Tensor>& x) { return pretend(square(x[0]), mul(x[0].detach(), x[0])); },
                .inputs = {{{2, 3}}}, .reference = {}}},
      .errors = {}};
  const std::vector<Proof> proofs = check_op(wrong, 7);
  REQUIRE(proofs.size() == 2);
  CHECK(proofs[0].claim == "gradient");
  CHECK(!proofs[0].holds);
  for (const char* words : {"wrong (wrong row): direction 0: analytic ", "output index 5, argument 0, index 5: analytic ",
                            "; inputs [2,3], seed 7", "argument 0 looks like: factor 2 missing"})
    CHECK_MESSAGE(contains_text(proofs[0].evidence, words), proofs[0].evidence);
  CHECK(proofs[1].claim == "double_gradient");
  CHECK(!proofs[1].holds);
}

TEST_CASE("tapir check: the rows of an op hold, small ones in full") {
  for (const OpExamples& op : examples_of_every_op()) {
    if (op.op != "softmax" && op.op != "tanh") continue;
    for (const Proof& proof : check_op(op, 3)) {
      CHECK_MESSAGE(proof.holds, proof.evidence);
      CHECK(contains_text(proof.evidence, " of them in full"));
    }
  }
}

TEST_CASE("a tolerance holds for finite numbers alone, and the worst error is never lost") {
  const double numbers[] = {0, 1, -1e300, 1e308, HUGE_VAL, -HUGE_VAL, NAN};
  for (const double x : numbers)
    for (const double y : numbers) {
      CAPTURE(x);
      CAPTURE(y);
      const bool finite = std::isfinite(x) && std::isfinite(y);
      CHECK(within(x, y, 1e-8, 1e-6) == (finite && x == y));
      CHECK(error_of(x, y) == (finite ? std::fabs(x - y) : HUGE_VAL));
      CHECK(std::max(0.0, error_of(x, y, NAN)) == HUGE_VAL);
    }
  CHECK(within(1, 1 + 1e-7, 1e-8, 1e-6));
  CHECK(!within(1, 1 + 3e-6, 1e-8, 1e-6));
  CHECK(within(0, 1e-9, 1e-8, 1e-6));
}

// The gradient check itself: it must reject what is wrong, and say where.
#include "autograd/gradcheck.h"

#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

Tensor numbers(const Shape& shape, double first = 0.3) {
  Tensor x = Tensor::empty(shape, DType::f64);
  for (int64_t i = 0; i < x.elements(); ++i) x.data<double>()[i] = first + 0.17 * static_cast<double>(i);
  return x;
}

// y = x², whose gradient is wrong by the factor 1 + error in element `at`: half of the product hides from the graph.
Function wrong_square(double error, int64_t at) {
  return [=](const std::vector<Tensor>& x) {
    Tensor share = Tensor::zeros(x[0].shape(), DType::f64);
    share.data<double>()[at] = error;
    const Tensor y = mul(x[0], x[0]), twin = mul(share, y);
    return sub(add(y, twin), twin.detach());
  };
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

TEST_CASE("gradcheck: inputs must be f64") {
  const auto f = [](const std::vector<Tensor>& x) { return exp(x[0]); };
  CHECK(message_of([&] { gradcheck("f", f, {Tensor::zeros({2})}); }) ==
        "gradcheck: the inputs of 'f' must be f64; hint: let the function keep other inputs to itself");
}

// A program of somebody else's: it knows the installed library alone.
#include <iostream>

#include "attention/zoo.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"

using namespace tapir;

int main() {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{1, 2, 3}, {3}));
  backward(sum(square(x)));
  std::cout << gradient(x) << '\n';

  const GradcheckResult check = gradcheck("x sin x", [](const auto& in) { return mul(in[0], sin(in[0])); }, {x.detach()});
  std::cout << (check.passed ? "passed" : check.report) << '\n';
  std::cout << mechanism("dot_product").paper << '\n';
}

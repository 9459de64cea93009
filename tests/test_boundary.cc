// The judgement of the boundary set, whose cases are in boundary_functions.h and boundary_ops.h. The sweep adds for all
// ops: NaN reaches what depends on it, and nothing else.
#include <doctest/doctest.h>

#include "autograd/node.h"
#include "tests/boundary_ops.h"

using namespace tapir;
using namespace tapir::boundary;

namespace {

template <class... Ops>
Cases cases_of(OpList<Ops...>, double s) {
  Cases all;
  (void)std::initializer_list<int>{[&] {
    for (Case& c : Boundary<Ops>::cases(s)) all.push_back(std::move(c));
    return 0;
  }()...};
  return all;
}

// The same to the rounding of the type; a result below half of the smallest subnormal number may be 0. NaN is NaN.
bool agrees(double value, double expected, double epsilon, double s) {
  if (std::isnan(expected)) return std::isnan(value);
  return value == expected || std::fabs(value - expected) <= 8 * epsilon * std::fabs(expected) ||
         (std::fabs(expected) < s && value == 0);
}

template <class T>
void judge(const Case& c) {
  using Limits = std::numeric_limits<T>;
  const auto tensor = [](const Input& input) {
    std::vector<T> values;
    for (const double value : input.values) values.push_back(static_cast<T>(value));
    return Tensor::from(values, input.shape);
  };
  std::vector<Tensor> leaves;
  for (const Input& input : c.inputs) leaves.push_back(requires_grad(tensor(input)));
  const Tensor y = c.call(leaves);
  const auto check = [&](const std::string& what, const Tensor& result, const Values& expected, bool signs) {
    const std::vector<double> values = result.to(DType::f64).template values<double>();
    INFO(std::string(y.node ? y.node->name : ""), ", ", c.label, ", ",
         std::string(dtype_of<T>() == DType::f32 ? "f32" : "f64"), ", ", what);
    REQUIRE(values.size() == expected.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const double wanted = static_cast<double>(static_cast<T>(expected[i]));
      INFO("element ", i, " is ", values[i], ", expected ", wanted);
      CHECK(agrees(values[i], wanted, Limits::epsilon(), Limits::denorm_min()));
      if (signs && wanted == 0) CHECK(std::signbit(values[i]) == std::signbit(expected[i]));
    }
  };
  check("value", y, c.y, true);
  const Tensor u = c.cotangent.empty() ? Tensor::full(y.shape(), 1, y.dtype()) : reshape(tensor(c.cotangent), y.shape());
  for (const bool graph : {false, true}) {
    const std::vector<Tensor> gradients = grad({y}, leaves, {u}, {.retain = true, .create_graph = graph});
    for (size_t i = 0; i < gradients.size(); ++i)
      check(text("gradient ", i, graph ? " with a graph" : ""), gradients[i], c.gradients[i], false);
  }
}

}  // namespace

TEST_CASE("boundary: values and sub-gradients of every op at 0, −0, subnormal numbers, ±∞, NaN and ties") {
  for (const Case& c : cases_of(AllOps{}, std::numeric_limits<float>::denorm_min())) judge<float>(c);
  for (const Case& c : cases_of(AllOps{}, std::numeric_limits<double>::denorm_min())) judge<double>(c);
  using Attention = OpList<ExpressiveWeights, FusedAttention<DotProductForm>, FusedAttention<ExpressiveForm>,
                           FusedAttention<NetworkForm>, FusedAttention<DeepNetworkForm>>;
  for (const Case& c : cases_of(Attention{}, 0)) judge<float>(c), judge<double>(c);
}

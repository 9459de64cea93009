// The judgement of the boundary set, whose cases are in boundary_{functions,ops,layers}.h. The sweep adds for all
// ops: NaN reaches what depends on it, and nothing else.
#include <doctest/doctest.h>

#include <bit>

#include "attention/kernels/all_ops.h"
#include "autograd/all_ops.h"
#include "autograd/node.h"
#include "autograd/tolerance.h"
#include "tests/autograd/boundary_layers.h"
#include "tests/autograd/boundary_ops.h"
#include "tests/autograd/exact_functions.h"
#include "tests/length.h"

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
  return value == expected || within(value, expected, 0, 8 * epsilon) ||
         (std::fabs(expected) < s && value == 0);
}

template <class T>
void judge(const Case& c, bool second) {
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
    const std::vector<double> values = result.detach().to(DType::f64).template values<double>();
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
  const auto like = [&](const Values& values, const Tensor& y) {
    return values.empty() ? Tensor::full(y.shape(), 1, y.dtype()) : reshape(tensor(values), y.shape());
  };
  if (!second) check("value", y, c.y, true);
  std::vector<Tensor> gradients;
  for (const bool graph : {false, true}) {
    gradients = grad({y}, leaves, {like(c.cotangent, y)}, {.retain = true, .create_graph = graph});
    for (size_t i = 0; i < gradients.size(); ++i)
      if (!second) check(text("gradient ", i, graph ? " with a graph" : ""), gradients[i], c.gradients[i], false);
  }
  if (!second) return;
  std::vector<Tensor> curved, v;   // gradients that depend on something
  for (size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i].node) {
      curved.push_back(gradients[i]);
      v.push_back(like(c.directions.empty() ? Values{} : c.directions[i], gradients[i]));
    }
  const std::vector<Tensor> seconds = curved.empty() ? std::vector<Tensor>{} : grad(curved, leaves, v);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const Values zeros(static_cast<size_t>(leaves[i].elements()), 0.0);
    check(text("second derivative ", i), curved.empty() ? Tensor::from(zeros, leaves[i].shape()) : seconds[i],
          c.curvature.empty() ? zeros : c.curvature[i], false);
  }
}

}  // namespace

void judge_all(bool second) {
  for (const Case& c : cases_of(AllOps{}, std::numeric_limits<float>::denorm_min())) judge<float>(c, second);
  for (const Case& c : cases_of(AllOps{}, std::numeric_limits<double>::denorm_min())) judge<double>(c, second);
  using Attention = OpList<ExpressiveWeights, Mix, FusedAttention<DotProductForm>, FusedAttention<ExpressiveForm>,
                           FusedAttention<NetworkForm>, FusedAttention<DeepNetworkForm>>;
  for (const Case& c : cases_of(Attention{}, 0)) judge<float>(c, second), judge<double>(c, second);
}

TEST_CASE("boundary: values and sub-gradients of every op at 0, −0, subnormal and large numbers, ±∞, NaN and ties") {
  judge_all(false);
}

TEST_CASE("boundary: second derivatives of the same") { judge_all(true); }

TEST_CASE("boundary: third derivatives of powers") {
  const Values a = {0.5, 1.5, 3}, b = {2.5, -1.25, 4};
  const Tensor x = requires_grad(Tensor::from(a)), p = requires_grad(Tensor::from(b));
  Tensor y = sum(pow(x, p));
  for (int order = 1; order < 3; ++order) y = sum(grad({y}, {x}, {}, {.create_graph = true})[0]);
  const std::vector<Tensor> third = grad({y}, {x, p});
  for (size_t i = 0; i < a.size(); ++i) {
    const double b2 = b[i] * (b[i] - 1);
    CHECK(third[0].values<double>()[i] == doctest::Approx(b2 * (b[i] - 2) * std::pow(a[i], b[i] - 3)).epsilon(1e-13));
    CHECK(third[1].values<double>()[i] ==
          doctest::Approx(std::pow(a[i], b[i] - 2) * (2 * b[i] - 1 + b2 * std::log(a[i]))).epsilon(1e-13));
  }
}

namespace {

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

// Numbers of all exponents, subnormal ones too, and of either sign; the ends of the range; neighbours of ±1.
template <class T>
std::vector<T> all_sizes() {
  using Limits = std::numeric_limits<T>;
  using Word = std::conditional_t<std::is_same_v<T, float>, uint32_t, uint64_t>;
  const T below = std::nextafter(T(1), T(0)), above = std::nextafter(T(1), T(2));
  std::vector<T> x = {Limits::denorm_min(), Limits::min(), Limits::max(), below, above};
  const Word step = (Word(1) << (Limits::digits - 1)) / static_cast<Word>(cases(7, 97));   // mantissas of all kinds
  for (Word word = step; word < std::bit_cast<Word>(Limits::infinity()); word += step) x.push_back(std::bit_cast<T>(word));
  const size_t n = x.size();
  for (size_t i = 0; i < n; ++i) x.push_back(-x[i]);
  x.push_back(0);
  return x;
}

// Below the normal numbers errors are absolute. What multiplies that of eˣ, half of the smallest number: x in x eˣ, up to 746, and
// x (du/dx)² in the second derivative of x σ(u).
template <class F, class W>
W magnifies(W x) {
  if constexpr (std::is_same_v<F, scalar::GeluTanh>) {
    const W slope = std::sqrt(8 / exact::pi<W>) * (1 + 3 * W(0.044715L) * x * x);
    return 1024 + std::fabs(x) * slope * slope;
  } else if constexpr (std::is_same_v<F, scalar::Mish>) {
    return 1024 + 4 * std::fabs(x);
  } else {
    return 1024;
  }
}

// As exact as the function of an argument that is off by 8 units of rounding.
template <class T, class F>
bool right(T value, Wide<T> exact, Wide<T> x, Wide<T> magnified, const F& f) {
  using W = Wide<T>;
  using Limits = std::numeric_limits<T>;
  if (std::isnan(exact) || std::isnan(value)) return std::isnan(exact) && std::isnan(value);
  if (std::isinf(exact)) return value == exact;
  const W unit = 8 * W(Limits::epsilon()), error = unit * std::fabs(exact) + magnified * W(Limits::denorm_min());
  const auto within = [&](W bound) {
    return value == static_cast<T>(exact) || std::fabs(value - exact) <= bound ||
           (std::isinf(value) && (value > 0 ? exact + bound > Limits::max() : exact - bound < Limits::lowest()));
  };
  const auto change = [&](W there) { return std::isfinite(there) ? std::fabs(there - exact) : 0; };
  return within(error) || within(error + std::max(change(f(x * (1 - unit))), change(f(x * (1 + unit)))));
}

template <class T, class F>
void judge_sizes() {
  using D = exact::Derivatives<Wide<T>>;
  const std::vector<T> x = all_sizes<T>();
  for (const exact::Curve<Wide<T>>& curve : exact::Exact<F>::template curves<Wide<T>>()) {
    std::vector<D> truth;
    for (const T at : x) truth.push_back(curve.at(at));
    const auto check = [&](const std::string& what, const Tensor& result, auto member) {
      const std::vector<T> values = result.template values<T>();
      size_t wrong = 0, first = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const auto f = [&](Wide<T> at) { return curve.at(at).*member; };
        if (right<T>(values[i], truth[i].*member, x[i], magnifies<F, Wide<T>>(x[i]), f)) continue;
        if (wrong++ == 0) first = i;
      }
      INFO(curve.name, ", ", what, " at ", x[first], " is ", values[first], ", expected ", truth[first].*member);
      CHECK(wrong == 0);
    };
    const Tensor leaf = requires_grad(Tensor::from(x)), y = curve.call(leaf), one = Tensor::full(y.shape(), 1, y.dtype());
    check("value", y, &D::f);
    check("derivative", grad({y}, {leaf}, {one}, {.retain = true})[0], &D::df);
    const Tensor slope = grad({y}, {leaf}, {one}, {.create_graph = true})[0];
    check("derivative with a graph", slope, &D::df);
    check("second derivative", slope.node ? grad({slope}, {leaf}, {one})[0] : Tensor::zeros(y.shape(), y.dtype()), &D::d2f);
  }
}

template <class Op> struct OfOneNumber { static void judge() {} };
template <class F> struct OfOneNumber<Unary<F>> {
  static void judge() { judge_sizes<float, F>(), judge_sizes<double, F>(); }
};

template <class... Ops>
void judge_functions(OpList<Ops...>) { (OfOneNumber<Ops>::judge(), ...); }

}  // namespace

TEST_CASE("boundary: every function of one number, and its first and second derivative, at all finite numbers") {
  judge_functions(AllOps{});
}

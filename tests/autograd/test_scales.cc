// Numbers of every size: the laws of scaling_laws.h at every power of two of both types, for values, gradients and second
// derivatives. What the law gives is judged wherever the type can hold it, and is ±∞ beyond.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "attention/kernels/all_ops.h"
#include "autograd/all_ops.h"
#include "autograd/backward.h"
#include "autograd/node.h"
#include "tests/autograd/scaling_laws.h"
#include "tests/length.h"

using namespace tapir;
using namespace tapir::scaling;

namespace {

template <class... Ops>
void add_laws(OpList<Ops...>, AllLaws& all) {
  (void)std::initializer_list<int>{[&] {
    for (Law& law : Laws<Ops>::all()) all.push_back(std::move(law));
    return 0;
  }()...};
}

using Wide = long double;   // has the exponents of products of doubles

// y, ∂⟨u, y⟩/∂x_i = g_i, and ∂⟨v_i, g_i⟩/∂x_j, with the degrees that they have by the law
struct Part {
  std::string what;
  int degree;
  bool shifts, second;
  std::vector<Wide> values;
};

Tensor pattern(const Shape& shape, DType type, Device device) {   // of numbers near 1
  std::vector<double> values;
  for (int64_t i = 0; i < shape.elements(); ++i) values.push_back(1 + 0.25 * static_cast<double>(i * 5 % 7));
  return Tensor::from(values, shape, device).to(type);
}

std::vector<Wide> wide(const Tensor& x) {
  const std::vector<double> values = x.detach().to(DType::f64).values<double>();
  return {values.begin(), values.end()};
}

std::vector<Part> parts(const Law& law, const std::vector<Tensor>& leaves) {
  const Tensor y = law.function(leaves);
  std::vector<Part> all{{"value", law.degree, law.shifts, false, wide(y)}};
  const std::vector<Tensor> plain = grad({y}, leaves, {pattern(y.shape(), y.dtype(), y.device())}, {.retain = true});
  const std::vector<Tensor> first =
      grad({y}, leaves, {pattern(y.shape(), y.dtype(), y.device())}, {.retain = true, .create_graph = true});
  for (size_t i = 0; i < leaves.size(); ++i) {
    const int degree = law.shifts ? 0 : law.degree - law.inputs[i].degree;
    all.push_back({text("gradient ", i), degree, false, false, wide(plain[i])});
    all.push_back({text("gradient ", i, " with a graph"), degree, false, false, wide(first[i])});
    if (!first[i].node) continue;   // a constant
    const std::vector<Tensor> second =
        grad({first[i]}, leaves, {pattern(first[i].shape(), y.dtype(), y.device())}, {.retain = true});
    for (size_t j = 0; j < leaves.size(); ++j)
      all.push_back({text("second derivative ", i, ", ", j), law.shifts ? 0 : degree - law.inputs[j].degree, false, true,
                     wide(second[j])});
  }
  return all;
}

template <class T>
std::vector<Tensor> scaled(const Law& law, int k) {
  std::vector<Tensor> leaves;
  for (const Input& input : law.inputs) {
    std::vector<T> values;
    for (const double x : input.values)
      values.push_back(static_cast<T>(law.shifts ? x + input.degree * std::ldexp(1.0, k) : std::ldexp(x, k * input.degree)));
    leaves.push_back(requires_grad(Tensor::from(values, input.shape)));
  }
  return leaves;
}

// The law's number, to 32 roundings of the largest of its tensor, and to a few of the smallest number of the type. A second
// derivative is a sum whose terms may overflow, and then NaN, where the largest of its tensor is near the type's or beyond.
template <class T>
bool agrees(Wide value, Wide expected, Wide largest, bool second) {
  using Limits = std::numeric_limits<T>;
  const Wide tolerance = 32 * Wide{Limits::epsilon()} * largest + 64 * Wide{Limits::denorm_min()};
  if (std::fabs(value - expected) <= tolerance) return true;
  if (second && 64 * largest > Wide{Limits::max()}) return !std::isfinite(value);
  return std::isinf(value) && (value > 0) == (expected > 0) && std::fabs(expected) + tolerance > Wide{Limits::max()};
}

// Faults of one law at 2^k, the first of them in words.
template <class T>
int64_t faults(const Law& law, const std::vector<Part>& base, int k, std::string& first) {
  int64_t count = 0;
  const std::vector<Part> here = parts(law, scaled<T>(law, k));
  REQUIRE(here.size() == base.size());
  for (size_t p = 0; p < base.size(); ++p) {
    Wide largest = 0;
    std::vector<Wide> expected;
    for (const Wide x : base[p].values) {
      expected.push_back(base[p].shifts ? x + base[p].degree * (std::ldexp(Wide{1}, k) - 1) :   // the base has 1 added
                          std::ldexp(x, k * base[p].degree));
      largest = std::max(largest, std::fabs(expected.back()));
    }
    for (size_t i = 0; i < expected.size(); ++i)
      if (!agrees<T>(here[p].values[i], expected[i], largest, base[p].second) && ++count == 1)
        first = text(here[p].what, ", element ", i, " at 2^", k, ": ", static_cast<double>(here[p].values[i]), ", not ",
                     static_cast<double>(expected[i]));
  }
  return count;
}

template <class T>
void judge(const Law& law) {
  constexpr bool f32 = std::is_same_v<T, float>;
  const std::vector<Part> base = parts(law, scaled<double>(law, 0));
  // The smallest inputs are subnormal numbers, the largest (8 times the power) finite; a shift keeps every digit.
  const int least = f32 ? -149 : -1074, most = f32 ? 125 : 1021, headroom = f32 ? law.headroom : 8 * law.headroom;
  const int low = law.shifts ? 0 : least, high = !law.shifts ? most : f32 ? 20 : 49;
  const auto step = static_cast<int>(cases(law.shifts ? 1 : f32 ? 9 : 71, 1));
  int64_t count = 0, judged = 0;
  std::string first;
  for (int k = low; k <= high; k = k == high ? high + 1 : std::min(k + step, high)) {
    const bool fits = law.shifts || std::all_of(law.inputs.begin(), law.inputs.end(), [&](const Input& input) {
      return k * input.degree >= least + headroom && k * input.degree <= most - headroom;
    });
    if (!fits) continue;
    ++judged;
    std::string found;
    if (const int64_t n = faults<T>(law, base, k, found); n > 0) {
      if (count == 0) first = found;
      count += n;
    }
  }
  CHECK(judged > 0);
  INFO(count, " faults, the first: ", first);
  CHECK(count == 0);
}

}  // namespace

TEST_CASE("boundary: values, gradients and second derivatives obey the laws of scaling at every power of two") {
  AllLaws all;
  add_laws(AllOps{}, all);
  add_laws(AttentionOps{}, all);
  for (const Law& law : all) {
    INFO("op ", std::string(law.function(scaled<double>(law, 0)).node->name), ", law '", law.label, "'");
    judge<float>(law);
    judge<double>(law);
  }
}

TEST_CASE("scales: the statistics of batch_norm") {
  const auto judge = [](auto zero, double large, double root) {
    using T = decltype(zero);
    const auto statistics = [](double a, double b) {
      const Tensor x = Tensor::from(std::vector<T>{static_cast<T>(a), static_cast<T>(b)}, {2, 1});
      const BatchNormed of = batch_norm(x, Tensor::full({1}, 1, x.dtype()), Tensor::zeros({1}, x.dtype()));
      return std::pair{of.mean.item(), of.variance.item()};
    };
    CHECK(statistics(large, large) == std::pair{large, 0.0});
    CHECK(statistics(-large, large) == std::pair{0.0, static_cast<double>(INFINITY)});
    CHECK(statistics(large, 0) == std::pair{large / 2, static_cast<double>(INFINITY)});
    CHECK(statistics(-root, root) == std::pair{0.0, root * root});
    CHECK(statistics(root * root, 0) == std::pair{root * root / 2, 0.0});
  };
  judge(0.0F, 0x1.8p127, 0x1p-62);
  judge(0.0, 0x1.8p1023, 0x1p-510);
}

TEST_CASE("scales: a row of equal numbers is normalised to 0, though their mean was rounded") {
  for (const float x : {3e38F, 1e-38F, 1e-42F})
    for (const int64_t n : {3, 7, 49, 1000}) {
      const Tensor row = Tensor::full({1, n}, x, DType::f32);
      const Tensor y = layer_norm(row, Tensor::full({n}, 1, DType::f32), Tensor::zeros({n}, DType::f32));
      CAPTURE(x);
      CAPTURE(n);
      CHECK(max(abs(y)).item() < 1e-30);
      CHECK(var(row).item() == 0);
    }
}

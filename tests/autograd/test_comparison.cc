// Comparisons against scalar loops, and the conditions that they make.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "autograd/backward.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/view.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

struct Comparison {
  std::string name;
  Tensor (*of_tensors)(const Tensor&, const Tensor&);
  Tensor (*with_number)(const Tensor&, Number);
  std::function<bool(double, double)> holds;
};

std::vector<Comparison> comparisons() {
  return {{"less", less, less, std::less<>()},
          {"less_equal", less_equal, less_equal, std::less_equal<>()},
          {"greater", greater, greater, std::greater<>()},
          {"greater_equal", greater_equal, greater_equal, std::greater_equal<>()},
          {"equal", equal, equal, std::equal_to<>()},
          {"not_equal", not_equal, not_equal, std::not_equal_to<>()}};
}

// What a type makes of numbers.
std::vector<double> numbers_of(DType type) {
  if (type == DType::u8) return {0, 1, 2, 254, 255};
  if (type == DType::i32) return {0, 1, -1, 2147483647, -2147483648.0, 16777217};
  return {0.0, -0.0, 1, -1, 0.1, inf, -inf, quiet_nan, 1e-310, std::numeric_limits<float>::max(), 16777217, 1e-45};
}

}  // namespace

TEST_CASE("comparison: every pair of numbers, of every type, in rows and columns and in views of them") {
  for (const DType type : {DType::f64, DType::f32, DType::i32, DType::u8}) {
    const std::vector<double> numbers = numbers_of(type);
    const auto n = static_cast<int64_t>(numbers.size());
    const Tensor row = Tensor::from(numbers).to(type), column = view::transpose(view::expand(row, {1, n}), 0, 1);
    const std::vector<double> of_type = row.to(DType::f64).values<double>();
    for (const Comparison& comparison : comparisons()) {
      CAPTURE(comparison.name);
      CAPTURE(name_of(type));
      std::vector<uint8_t> expected;
      for (const double a : of_type)
        for (const double b : of_type) expected.push_back(comparison.holds(a, b));
      const Tensor y = comparison.of_tensors(column, row), square = view::expand(row, {n, n});
      CHECK(y.dtype() == DType::u8);
      CHECK(y.shape() == Shape{n, n});
      CHECK(y.values<uint8_t>() == expected);
      CHECK(comparison.of_tensors(view::transpose(square, 0, 1), square.copy()).values<uint8_t>() == expected);
      CHECK(comparison.of_tensors(row, Tensor::zeros({0, n}, type)).shape() == Shape{0, n});
    }
  }
}

TEST_CASE("comparison: a number takes the type of what it is compared with, but whole numbers are compared with it as it is") {
  for (const DType type : {DType::f64, DType::f32, DType::i32, DType::u8}) {
    const Tensor x = Tensor::from(numbers_of(type)).to(type);
    const std::vector<double> of_type = x.to(DType::f64).values<double>();
    for (const Comparison& comparison : comparisons())
      for (const double number : {0.0, -0.0, 0.1, 0.5, -0.5, 1.0, 254.5, -1.0, 1e300, -1e300, inf, -inf, 16777217.0}) {
        CAPTURE(comparison.name);
        CAPTURE(name_of(type));
        CAPTURE(number);
        std::vector<uint8_t> expected;
        for (const double a : of_type)
          expected.push_back(comparison.holds(a, type == DType::f32 ? static_cast<float>(number) : number));
        CHECK(comparison.with_number(x, number).values<uint8_t>() == expected);
      }
  }
}

TEST_CASE("comparison: a condition has no node, and where() takes it") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{-4, 0, 9}));
  const Tensor shown = greater(x, 0);
  CHECK(!shown.node);
  backward(sum(where(shown, sqrt(x), neg(x))));
  CHECK(gradient(x).values<double>() == std::vector<double>{-1, -1, 1.0 / 6});
}

TEST_CASE("comparison: refusals name the function, and what it was given") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK(message_of([&] { less(x, x.to(DType::f64)); }) ==
        "less: element types differ: f32[2,3] and f64[2,3]; hint: there is no implicit conversion: use to(dtype)");
  CHECK(message_of([&] { equal(x, Tensor::zeros({2})); }) == "equal: shapes do not broadcast: [2,3] and [2]");
  CHECK(message_of([&] { greater(x, quiet_nan); }) == "greater: number must be in [-inf, inf], got nan");
  CHECK(message_of([&] { not_equal(Tensor(), 1); }) == "not_equal: an input has no value");
}

// Operators are the functions of their names: the same bits, forwards and backwards.
#include "autograd/operators.h"

#include <doctest/doctest.h>

#include <concepts>
#include <limits>

#include "tests/autograd/evaluate.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

using Function = std::function<Tensor(const Tensor& a, const Tensor& b)>;

// By operators, and by functions.
struct Pair {
  const char* label;
  Function by_operator, by_function;
};

// y, then the gradients, with a cotangent of every sign.
void check_same(const Pair& pair, const Tensor& a, const Tensor& b) {
  const auto results = [&](const Function& f) {
    const std::vector<Tensor> leaves = requires_grad({a, b});
    std::vector<Tensor> all = {f(leaves[0], leaves[1])};
    std::vector<double> u;
    for (int64_t i = 0; i < all[0].elements(); ++i) u.push_back(static_cast<double>(i % 5) - 2);
    for (const Tensor& g : grad(all, leaves, {Tensor::from(u, all[0].shape()).to(a.dtype())}, {.allow_constants = true}))
      all.push_back(g);
    return all;
  };
  const std::vector<Tensor> mine = results(pair.by_operator), expected = results(pair.by_function);
  CAPTURE(pair.label);
  CAPTURE(name_of(a.dtype()));
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(mine[i], expected[i]));
  }
}

template <class T> concept adds_to = requires(T a) { a += a; };
template <class T, class U> concept takes = requires(T a, U b) { a + b, b * a, a < b, b >= a; };

}  // namespace

TEST_CASE("operators: of tensors, they are the functions of their names, with the same bits of values and gradients") {
  const std::vector<Pair> pairs{
      {"-a", [](auto& a, auto&) { return -a; }, [](auto& a, auto&) { return neg(a); }},
      {"a + b", [](auto& a, auto& b) { return a + b; }, add},
      {"a - b", [](auto& a, auto& b) { return a - b; }, sub},
      {"a * b", [](auto& a, auto& b) { return a * b; }, mul},
      {"a / b", [](auto& a, auto& b) { return a / b; }, tapir::div},
      {"a (b + a) - b/a", [](auto& a, auto& b) { return a * (b + a) - b / a; },
       [](auto& a, auto& b) { return sub(mul(a, add(b, a)), tapir::div(b, a)); }},
  };
  const Tensor a = Tensor::from(std::vector<double>{1, -2, 0.3, 7, 1e-3, -0.0}, {2, 3});
  const Tensor b = Tensor::from(std::vector<double>{3, -0.7, 11});
  for (const Pair& pair : pairs)
    for (const DType type : {DType::f64, DType::f32}) check_same(pair, a.to(type), b.to(type));
}

TEST_CASE("operators: a number beside a tensor is one of its type, and no node") {
  const Tensor x = Tensor::from(std::vector<double>{0.0, -0.0, 1, -3, 0.1, 49, 1e-310, 1e308, inf, -inf, quiet_nan, 1e-40});
  for (const double n : {0.0, -0.0, 1.0, -3.0, 0.1, 49.0, 1e-310, 1e308, inf, -inf})
    for (const DType type : {DType::f64, DType::f32}) {
      CAPTURE(n);
      CAPTURE(name_of(type));
      const Tensor a = x.to(type), b = Tensor::full({}, n, type);
      CHECK(same_bits(a + n, add(a, b)));
      CHECK(same_bits(n + a, add(b, a)));
      CHECK(same_bits(a - n, sub(a, b)));
      CHECK(same_bits(n - a, sub(b, a)));
      CHECK(same_bits(a * n, mul(a, b)));
      CHECK(same_bits(n * a, mul(b, a)));
      CHECK(same_bits(a / n, tapir::div(a, b)));
      CHECK(same_bits(n / a, tapir::div(b, a)));
      const std::vector<Pair> pairs{
          {"x + n", [=](auto& x, auto&) { return x + n; }, [=](auto& x, auto&) { return affine(x, 1, n); }},
          {"n - x", [=](auto& x, auto&) { return n - x; }, [=](auto& x, auto&) { return affine(x, -1, n); }},
          {"x * n", [=](auto& x, auto&) { return x * n; }, [=](auto& x, auto&) { return affine(x, n, -0.0); }},
          {"x / n", [=](auto& x, auto&) { return x / n; }, [=](auto& x, auto&) { return tapir::div(x, b); }},
          {"n / x", [=](auto& x, auto&) { return n / x; }, [=](auto& x, auto&) { return tapir::div(b, x); }},
      };
      for (const Pair& pair : pairs) check_same(pair, a, a);
    }
}

TEST_CASE("operators: comparisons are the functions of their names, with a number on either side") {
  const Tensor a = Tensor::from(std::vector<double>{-1, 0.5, 2, quiet_nan});
  const Tensor b = Tensor::from(std::vector<double>{0.5, 0.5, -inf, 1});
  CHECK(same_bits(a < b, less(a, b)));
  CHECK(same_bits(a <= b, less_equal(a, b)));
  CHECK(same_bits(a > b, greater(a, b)));
  CHECK(same_bits(a >= b, greater_equal(a, b)));
  const Tensor half = Tensor::full({}, 0.5, DType::f64);
  CHECK(same_bits(a < 0.5, less(a, half)));
  CHECK(same_bits(a <= 0.5, less_equal(a, half)));
  CHECK(same_bits(a > 0.5, greater(a, half)));
  CHECK(same_bits(a >= 0.5, greater_equal(a, half)));
  CHECK(same_bits(0.5 < a, less(half, a)));
  CHECK(same_bits(0.5 <= a, less_equal(half, a)));
  CHECK(same_bits(0.5 > a, greater(half, a)));
  CHECK(same_bits(0.5 >= a, greater_equal(half, a)));
  CHECK((Tensor::from(std::vector<int32_t>{-1, 0, 2}) > -0.5).values<uint8_t>() == std::vector<uint8_t>{0, 1, 1});
}

TEST_CASE("operators: what they refuse is told in the name of the function") {
  const Tensor x = Tensor::zeros({2}), whole = x.to(DType::i32), none;
  const auto told = [](const std::function<Tensor()>& call) { return message_of([&] { call(); }); };
  CHECK(told([&] { return x + Tensor::zeros({3}); }) == "add: shapes do not broadcast: [2] and [3]");
  CHECK(told([&] { return 2 * whole; }) == "affine: needs f32 or f64, not i32");
  CHECK(told([&] { return x + quiet_nan; }) == "affine: shift must be in [-inf, inf], got nan");
  CHECK(told([&] { return whole / 1e300; }) == "div: needs f32 or f64, not i32");
  CHECK(told([&] { return quiet_nan / x; }) == "div: number must be in [-inf, inf], got nan");
  CHECK(told([&] { return none / 2; }) == "div: an input has no value");
  CHECK(told([&] { return none < 2; }) == "less: x has no value");
  const std::string condition = ": a condition, u8[2], beside a number; hint: a < x < b is two conditions: "
                                "where(a < x, where(x < b, y, z), z)";
  CHECK(told([&] { return 0 < x < 1; }) == "less" + condition);
  CHECK(told([&] { return 0 < x <= 1; }) == "less_equal" + condition);
  CHECK(told([&] { return 1 > x > 0; }) == "greater" + condition);
  CHECK(told([&] { return 1 > x >= 0; }) == "greater_equal" + condition);
}

TEST_CASE("operators: there is no ==, no +=, and a condition is no bool") {
  static_assert(!std::equality_comparable<Tensor> && !std::is_constructible_v<bool, Tensor>);
  static_assert(!adds_to<Tensor> && takes<Tensor, double> && !takes<Tensor, bool> && !takes<Tensor, const char*>);
}

// What an axis, a flag, a count and a number are taken for: by the compiler alone. No source of CUDA, whose compiler rewrites
// what is asked here.
#include <doctest/doctest.h>

#include <type_traits>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

using namespace tapir;

namespace {

// Whether f takes arguments of these types.
#define TAPIR_TAKES(f) [](auto... a) requires requires { f(a...); } {}
template <class Call, class... Arguments> constexpr bool takes = std::is_invocable_v<Call, Arguments...>;

}  // namespace

TEST_CASE("arguments: an axis, a flag, a count and a number are not made of one another") {
  const auto axis = [](Axis) {};
  const auto flag = [](Flag) {};
  const auto count = [](Count) {};
  const auto number = [](Number) {};
  using A = decltype(axis);
  using F = decltype(flag);
  using C = decltype(count);
  using N = decltype(number);
  static_assert(takes<A, int> && !takes<A, bool> && !takes<A, double> && !takes<A, float> && !takes<A, int64_t> &&
                !takes<A, char> && !takes<A, Flag> && !takes<A, Count> && !takes<A, Number> && !takes<A, Tensor>);
  static_assert(takes<F, bool> && !takes<F, int> && !takes<F, double> && !takes<F, const char*> && !takes<F, Axis> &&
                !takes<F, Count> && !takes<F, Number> && !takes<F, std::nullptr_t>);
  static_assert(takes<C, int> && takes<C, int64_t> && takes<C, size_t> && !takes<C, bool> && !takes<C, double> &&
                !takes<C, float> && !takes<C, Axis> && !takes<C, Flag> && !takes<C, Number>);
  static_assert(takes<N, int> && takes<N, int64_t> && takes<N, float> && takes<N, double> && !takes<N, bool> &&
                !takes<N, Axis> && !takes<N, Flag> && !takes<N, Count> && !takes<N, const char*>);
}

TEST_CASE("arguments: calls with the one in place of the other do not compile, and the right ones do") {
  using Sum = decltype(TAPIR_TAKES(sum));
  static_assert(takes<Sum, Tensor> && takes<Sum, Tensor, int> && takes<Sum, Tensor, int, bool> && !takes<Sum, Tensor, bool> &&
                !takes<Sum, Tensor, double> && !takes<Sum, Tensor, int, int> && !takes<Sum, Tensor, bool, int>);
  using Var = decltype(TAPIR_TAKES(var));
  static_assert(takes<Var, Tensor, int, int> && takes<Var, Tensor, int, double, bool> && !takes<Var, Tensor, bool> &&
                !takes<Var, Tensor, int, bool> && !takes<Var, Tensor, double> && !takes<Var, Tensor, int, double, int>);
  using NormOf = decltype(TAPIR_TAKES(norm));
  static_assert(takes<NormOf, Tensor, int> && takes<NormOf, Tensor, double, int, bool> && !takes<NormOf, Tensor, bool> &&
                !takes<NormOf, Tensor, int, bool> && !takes<NormOf, Tensor, int, double> &&
                !takes<NormOf, Tensor, int, int, int>);
  using Sort = decltype(TAPIR_TAKES(sort));
  static_assert(takes<Sort, Tensor, int, bool> && !takes<Sort, Tensor, bool> && !takes<Sort, Tensor, int, int>);
  using BatchNormOf = decltype(TAPIR_TAKES(batch_norm));
  static_assert(takes<BatchNormOf, Tensor, Tensor, Tensor, int, double> && !takes<BatchNormOf, Tensor, Tensor, Tensor, double>);
  using PowOf = decltype(TAPIR_TAKES(pow));
  static_assert(takes<PowOf, Tensor, int> && takes<PowOf, Tensor, double> && takes<PowOf, Tensor, Tensor> &&
                !takes<PowOf, Tensor, bool>);
}

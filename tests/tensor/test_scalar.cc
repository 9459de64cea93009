// The scalar functions against libm in higher precision over their whole range, and every derivative against differences.
#include "tensor/scalar.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/length.h"

#include "autograd/ops/unary.h"
#include "autograd/tolerance.h"

namespace {

using namespace tapir;
using Limits = std::numeric_limits<double>;

template <class T>
using Wide = std::conditional_t<std::same_as<T, float>, double, long double>;

// |y − exact| in units in the last place of T at `exact`; 0 where both are the same infinity or both NaN.
template <class T>
double ulp_error(T y, Wide<T> exact) {
  if (std::isnan(y) || std::isnan(exact)) return std::isnan(y) && std::isnan(exact) ? 0 : HUGE_VAL;
  if (std::isinf(y) || std::isinf(static_cast<T>(exact))) return y == static_cast<T>(exact) ? 0 : HUGE_VAL;
  const int exponent = std::max(exact == 0 ? -100000 : std::ilogb(exact), std::numeric_limits<T>::min_exponent - 1);
  return static_cast<double>(std::ldexp(std::fabs(y - exact), std::numeric_limits<T>::digits - 1 - exponent));
}

template <class T>
std::vector<T> special_points() {
  using L = std::numeric_limits<T>;
  std::vector<T> points;
  for (T x : {T(0), T(1), T(0.5), T(0.25), T(0.6), T(0.75), T(2), T(4), T(9.5), T(17.5), T(37), T(88.5), T(103.9), T(708),
              T(745), T(0.34657359), T(0.41421356), T(0.70710678), T(1.5707963), T(3.1415927), L::min(), L::max(),
              L::denorm_min(), L::epsilon(), L::infinity(), L::quiet_NaN()}) {
    for (T near : {x, std::nextafter(x, L::infinity()), std::nextafter(x, -L::infinity())}) {
      points.push_back(near);
      points.push_back(-near);
    }
  }
  return points;
}

// Every 1021st float, in the long form every 127th; for double random bit patterns, and as many points in [−40, 40], where the
// functions are not flat; doubles next to multiples of π/2, 6381956970095103 · 2⁷⁹⁷ the nearest of all.
std::vector<float> points(float) {
  std::vector<float> points = special_points<float>();
  for (std::uint64_t word = 0; word < (std::uint64_t(1) << 32); word += cases(1021, 127))
    points.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(word)));
  return points;
}

std::vector<double> points(double) {
  std::vector<double> points = special_points<double>();
  points.push_back(std::ldexp(6381956970095103.0, 797));
  for (const double quarter : {M_PI_2, M_PI_4 * 3, M_PI})
    for (int k = -4; k < 960; ++k) points.push_back(std::ldexp(quarter, k));
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> middle(-40, 40);
  for (int64_t i = 0; i < cases(200000, 5000000); ++i) {
    points.push_back(std::bit_cast<double>(random()));
    points.push_back(middle(random));
  }
  return points;
}

template <class T, class Function, class Exact>
void check_ulp(const char* name, Function function, Exact exact, double bound,
               T within = std::numeric_limits<T>::infinity()) {
  static const std::vector<T> all = points(T());
  double worst = 0;
  T worst_at = 0;
  for (const T x : all) {
    if (std::fabs(x) > within) continue;
    const double error = ulp_error(function(x), exact(static_cast<Wide<T>>(x)));
    if (error > worst) worst = error, worst_at = x;
  }
  INFO(std::string(name), std::string(sizeof(T) == 4 ? " of float" : " of double"), " at ", worst_at);
  CHECK(worst <= bound);
}

// The bounds are the measured errors of the comments in scalar_math.h and normal.h, rounded up.
template <class T>
void check_all_ulps() {
  using W = Wide<T>;
  const W root_half = std::sqrt(W(0.5));
  const T largest_angle = math::Format<T>::largest_angle;
  check_ulp<T>("exp", [](T x) { return math::exp(x); }, [](W x) { return std::exp(x); }, 1.1);
  check_ulp<T>("expm1", [](T x) { return math::expm1(x); }, [](W x) { return std::expm1(x); }, 1.8);
  check_ulp<T>("log", [](T x) { return math::log(x); }, [](W x) { return std::log(x); }, 1);
  check_ulp<T>("log1p", [](T x) { return math::log1p(x); }, [](W x) { return std::log1p(x); }, 1);
  check_ulp<T>("tanh", [](T x) { return math::tanh(x); }, [](W x) { return std::tanh(x); }, 2.5);
  check_ulp<T>("erf", [](T x) { return math::erf(x); }, [](W x) { return std::erf(x); }, math::is_float<T> ? 1.1 : 1.8);
  check_ulp<T>("sigmoid", [](T x) { return math::sigmoid(x); },
               [](W x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }, 2.4);
  check_ulp<T>("softplus", [](T x) { return math::softplus(x); },
               [](W x) { return (x > 0 ? x : x <= 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))); }, 1.7);
  check_ulp<T>("normal_distribution", [](T x) { return math::normal_distribution(x); },
               [&](W x) { return std::erfc(-x * root_half) / 2; }, math::is_float<T> ? 6.5 : 5.5);
  check_ulp<T>("gelu", [](T x) { return math::gelu(x); },
               [&](W x) { return std::isinf(x) ? std::max<W>(x, 0) : x * (std::erfc(-x * root_half) / 2); },
               math::is_float<T> ? 6.3 : 5.7);
  check_ulp<T>("normal_density", [](T x) { return math::normal_density(x); },
               [&](W x) { return std::exp(-x * x / 2) * W(0.39894228040143267793994605993438L); }, 3);
  check_ulp<T>("tanh_softplus", [](T x) { return math::tanh_softplus(x); },
               [](W x) {
                 const W n = std::exp(-std::fabs(x));
                 return x < 0 ? n * (n + 2) / (n * (n + 2) + 2) : (1 + 2 * n) / (1 + 2 * n + 2 * n * n);
               }, 3.2);
  for (const double p : {0.3, 1.0 / 3, -0.5, 1.0, 2.0, 3.0, -7.0, 100.25})
    check_ulp<T>("pow", [=](T x) { return math::pow(x, p); }, [=](W x) { return std::pow(x, static_cast<W>(p)); },
                 sizeof(T) == 4 ? 0.51 : 1.3);
  check_ulp<T>("sin", [](T x) { return math::sin(x); }, [](W x) { return std::sin(x); }, 1.6);
  check_ulp<T>("cos", [](T x) { return math::cos(x); }, [](W x) { return std::cos(x); }, 1.6);
  check_ulp<T>("sin of bounded angles", [](T x) { return math::sin<true>(x); }, [](W x) { return std::sin(x); }, 1.6,
               largest_angle);
  check_ulp<T>("cos of bounded angles", [](T x) { return math::cos<true>(x); }, [](W x) { return std::cos(x); }, 1.6,
               largest_angle);
}

// Same number, same sign of zero, or both NaN.
template <class T>
bool same(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

template <class T>
void check_special_values() {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T smallest = std::numeric_limits<T>::denorm_min();
  CHECK(same(math::exp(-infinity), T(0)));
  CHECK(same(math::exp(infinity), infinity));
  CHECK(same(math::exp(T(0)), T(1)));
  CHECK(same(math::expm1(-infinity), T(-1)));
  CHECK(same(math::expm1(infinity), infinity));
  CHECK(same(math::log(T(0)), -infinity));
  CHECK(same(math::log(T(-0.0)), -infinity));
  CHECK(same(math::log(T(1)), T(0)));
  CHECK(same(math::log(T(-1)), nan));
  CHECK(same(math::log(-infinity), nan));
  CHECK(same(math::log(infinity), infinity));
  CHECK(same(math::log1p(T(-1)), -infinity));
  CHECK(same(math::log1p(T(-1.5)), nan));
  CHECK(same(math::log1p(infinity), infinity));
  CHECK(same(math::tanh(infinity), T(1)));
  CHECK(same(math::tanh(-infinity), T(-1)));
  CHECK(same(math::erf(infinity), T(1)));
  CHECK(same(math::erf(-infinity), T(-1)));
  CHECK(same(math::sigmoid(-infinity), T(0)));
  CHECK(same(math::sigmoid(infinity), T(1)));
  CHECK(same(math::softplus(-infinity), T(0)));
  CHECK(same(math::softplus(infinity), infinity));
  CHECK(same(math::normal_distribution(-infinity), T(0)));
  CHECK(same(math::normal_distribution(infinity), T(1)));
  CHECK(same(math::normal_density(infinity), T(0)));
  for (T x : {infinity, -infinity, nan}) {
    CHECK(std::isnan(math::sin(x)));
    CHECK(std::isnan(math::cos(x)));
  }
  for (T x : {T(0), T(-0.0), smallest, -smallest}) {
    CHECK(same(math::expm1(x), x));
    CHECK(same(math::log1p(x), x));
    CHECK(same(math::tanh(x), x));
    CHECK(same(math::sin(x), x));
  }
  CHECK(same(math::erf(T(-0.0)), T(-0.0)));
  CHECK(same(math::sign(T(-0.0)), T(0)));
  CHECK(same(math::sign(T(-3)), T(-1)));
  for (const double p : {-HUGE_VAL, -3.0, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 0x1p53, HUGE_VAL, double(nan)})
    for (const T x : {T(0), T(-0.0), T(1), T(-1), T(0.5), T(-0.5), T(3), T(-3), infinity, -infinity, nan}) {
      CAPTURE(p);
      CAPTURE(x);
      const T exact = static_cast<T>(std::pow(static_cast<double>(x), p));
      const bool ends = exact == 0 || !std::isfinite(exact) || exact == 1;   // what IEEE 754 fixes, and not the rounding
      if (ends) CHECK(same(math::pow(x, p), exact));
    }
}

// The functions by name: f and df, in double and on dual numbers.
struct Row {
  std::string name;
  std::function<double(double)> f;
  std::function<double(double)> df;
  std::function<Dual<double>(Dual<double>)> dual_f;
  std::function<Dual<double>(Dual<double>)> dual_df;
  std::function<double(double)> second_nested;  // f on Dual<Dual>
  std::vector<double> at;
};

template <class S>
Row row(std::vector<double> at, S s = {}) {
  return {S::name, [=](double x) { return s.f(x); }, [=](double x) { return s.df(x, s.f(x)); },
          [=](Dual<double> x) { return s.f(x); }, [=](Dual<double> x) { return s.df(x, s.f(x)); },
          [=](double x) { return s.f(Dual<Dual<double>>(Dual<double>(x, 1.0), Dual<double>(1.0))).d.d; }, std::move(at)};
}

const std::vector<Row>& rows() {
  using namespace scalar;
  static const std::vector<double> any = {-9.3, -3.1, -1.02, -0.4, -0.013, 0.0, 0.02, 0.31, 0.77, 1.9, 4.2, 8.8};
  static const std::vector<double> nonzero = {-9.3, -3.1, -1.02, -0.4, 0.31, 0.77, 1.9, 4.2, 8.8};
  static const std::vector<double> positive = {0.05, 0.31, 0.77, 1.0, 1.9, 4.2, 38.8};
  static const std::vector<Row> rows = {
      row<Neg>(any),       row<Exp>(any),     row<Log>(positive),  row<Log1p>(positive), row<Expm1>(any),
      row<Sqrt>(positive), row<Rsqrt>(positive), row<Abs>(nonzero), row<Square>(any),     row<Reciprocal>(nonzero),
      row<Tanh>(any),      row<Sigmoid>(any), row<Softplus>(any),  row<Relu>(nonzero),   row<Gelu>(any),
      row<GeluTanh>(any),  row<Silu>(any),    row<Erf>(any),       row<Sin>(any),        row<Cos>(any),
      row<LogSigmoid>(any), row<Mish>(any),   row(nonzero, LeakyRelu{0.2}), row(nonzero, Elu{1.5}), row(any, Clamp{-2, 3}),
      row(any, Pow{3}),    row(any, Pow{2}),  row(any, Pow{1}),    row(any, Pow{0}),     row(nonzero, Pow{-2}),
      row(positive, Pow{0.3}), row(positive, Pow{-1.5})};
  return rows;
}

// Central differences at h, h/2, h/4, extrapolated twice (Richardson): the error is O(h⁶).
template <class Function>
double derivative(Function f, double x, double h) {
  const auto central = [&](double step) { return (f(x + step) - f(x - step)) / (2 * step); };
  const double a = central(h), b = central(h / 2), c = central(h / 4);
  const double ab = (4 * b - a) / 3, bc = (4 * c - b) / 3;
  return (16 * bc - ab) / 15;
}

bool close(double x, double exact) { return error_of(x, exact, std::max(1.0, std::fabs(exact))) <= 1e-9; }

template <class... F>
void check_listed(OpList<Unary<F>...>) {
  std::set<std::string> named;
  for (const Row& row : rows()) named.insert(row.name);
  for (const std::string& name : {std::string(F::name)...})
    CHECK_MESSAGE(named.contains(name), name << " has no row in this file");
}

}  // namespace

TEST_CASE("functions: every one of autograd/ops/unary.h has a row") { check_listed(UnaryOps{}); }

TEST_CASE("float functions are within their ulp bounds over all floats") { check_all_ulps<float>(); }

TEST_CASE("double functions are within their ulp bounds over random bit patterns") { check_all_ulps<double>(); }

TEST_CASE("special values are those of IEEE 754") {
  check_special_values<float>();
  check_special_values<double>();
}

TEST_CASE("NaN goes through every function, but for x⁰ = 1") {
  for (const Row& row : rows()) {
    CAPTURE(row.name);
    if (row.f(7) != 1 || row.f(8) != 1) CHECK(std::isnan(row.f(Limits::quiet_NaN())));
  }
  CHECK(scalar::Pow{0}.f(Limits::quiet_NaN()) == 1);
}

TEST_CASE("df is the derivative of f") {
  for (const Row& row : rows())
    for (const double x : row.at) {
      CAPTURE(row.name);
      CAPTURE(x);
      const double exact = row.df(x), h = x == 0 ? 2e-2 : std::min(2e-2, std::fabs(x) / 40);
      CHECK(close(derivative(row.f, x, h), exact));
    }
}

TEST_CASE("df on dual numbers is the second derivative, and f on nested dual numbers too") {
  for (const Row& row : rows())
    for (const double x : row.at) {
      CAPTURE(row.name);
      CAPTURE(x);
      const double second = row.dual_df({x, 1.0}).d, h = x == 0 ? 2e-2 : std::min(2e-2, std::fabs(x) / 40);
      CHECK(close(derivative(row.df, x, h), second));
      CHECK(close(row.second_nested(x), second));
    }
}

TEST_CASE("sub-gradients at kinks are those documented") {
  CHECK(scalar::Relu::df(0.0, 0.0) == 0);
  CHECK(scalar::Relu::df(-0.0, 0.0) == 0);
  CHECK(scalar::Abs::df(0.0, 0.0) == 0);
  CHECK(scalar::Relu::df(Dual<double>(0.0, 1.0), Dual<double>(0.0, 0.0)).d == 0);
  CHECK(std::isinf(scalar::Sqrt::df(0.0, 0.0)));
}

TEST_CASE("tanh, erf and sin are odd, and tanh, erf, exp and sigmoid never decrease between neighbours") {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> place(-12, 12);
  for (int i = 0; i < 100000; ++i) {
    const float x = place(random);
    REQUIRE(math::tanh(-x) == -math::tanh(x));
    REQUIRE(math::erf(-x) == -math::erf(x));
    REQUIRE(math::sin(-x) == -math::sin(x));
    const float above = x + 0x1p-18f * std::max(1.0f, std::fabs(x));  // some ulps on: errors of 2 ulp must not show
    REQUIRE(math::tanh(above) >= math::tanh(x));
    REQUIRE(math::erf(above) >= math::erf(x));
    REQUIRE(math::exp(above) >= math::exp(x));
    REQUIRE(math::sigmoid(above) >= math::sigmoid(x));
  }
}

TEST_CASE("gelu keeps relative accuracy in the lower tail, and is not the tanh form") {
  for (const double x : {-1.0, -5.0, -12.0, -30.0}) {
    const long double exact = x * 0.5L * std::erfc(-static_cast<long double>(x) * std::sqrt(0.5L));
    CHECK(std::fabs(scalar::Gelu::f(x) / static_cast<double>(exact) - 1) < 2e-15);
  }
  CHECK(std::fabs(scalar::Gelu::f(2.0) - scalar::GeluTanh::f(2.0)) > 1e-5);
  const double u = std::sqrt(2 / M_PI) * (2 + 0.044715 * 8);
  CHECK(scalar::GeluTanh::f(2.0) == doctest::Approx(1 + std::tanh(u)).epsilon(1e-14));
}

TEST_CASE("dual numbers carry the value and the derivative in any direction: f(x + d ε) = f(x) + f′(x) d ε") {
  for (const Row& row : rows())
    for (const double x : row.at) {
      CAPTURE(row.name);
      CAPTURE(x);
      const Dual<double> y = row.dual_f({x, 3.0}), slope = row.dual_df({x, 3.0});
      CHECK(close(y.v, row.f(x)));
      CHECK(close(y.d, 3 * row.df(x)));
      CHECK(close(slope.v, row.df(x)));
      CHECK(close(slope.d, 3 * row.dual_df({x, 1.0}).d));
    }
}

TEST_CASE("dual numbers compare by their values") {
  const Dual<double> x(0.7, 1.0), same(0.7, 5.0), more(0.8, 0.0);
  CHECK((x == same && !(x == more)));
  CHECK((x != more && !(x != same)));
  CHECK((x < more && !(x < same) && !(more < x)));
  CHECK((x <= more && x <= same && !(more <= x)));
  CHECK((more > x && !(x > same) && !(x > more)));
  CHECK((more >= x && x >= same && !(x >= more)));
}

TEST_CASE("dual numbers obey the quotient and chain rules") {
  const Dual<double> x(0.7, 1.0);
  const Dual<double> y = math::sin(x) / (x * x - Dual<double>(3));
  const double bottom = 0.49 - 3;
  CHECK(y.v == doctest::Approx(std::sin(0.7) / bottom).epsilon(1e-14));
  CHECK(y.d == doctest::Approx((std::cos(0.7) * bottom - std::sin(0.7) * 1.4) / (bottom * bottom)).epsilon(1e-14));
  CHECK(math::select(x > Dual<double>(0), -x, x).d == -1);
  CHECK((2.0 * x + 1.0).v == doctest::Approx(2.4));
  CHECK((2.0 * x + 1.0).d == 2);
  CHECK(math::select(x < Dual<double>(0), -x, x).d == 1);
  CHECK(math::erf(x).d == doctest::Approx(2 / std::sqrt(M_PI) * std::exp(-0.49)).epsilon(1e-14));
  CHECK(math::normal_density(x).d == doctest::Approx(-0.7 * std::exp(-0.245) / std::sqrt(2 * M_PI)).epsilon(1e-14));
}

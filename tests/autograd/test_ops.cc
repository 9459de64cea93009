// What single ops do with odd numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "autograd/backward.h"
#include "autograd/examples/example.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/index.h"
#include "autograd/ops/pair_loss.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "tensor/view.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

Tensor vector(const std::vector<double>& values) { return Tensor::from(values); }

}  // namespace

TEST_CASE("ops: equal elements keep their order in sort, and topk takes the first of them") {
  for (const DType type : {DType::f64, DType::f32, DType::i32, DType::u8}) {
    std::vector<double> values;   // 0, 1, …, 6, 0, 1, …
    for (int i = 0; i < 1000; ++i) values.push_back(i % 7);
    const Tensor x = vector(values).to(type);
    const std::vector<int32_t> up = sort(x).indices.values<int32_t>(), down = sort(x, 0, true).indices.values<int32_t>();
    const std::vector<int32_t> first = topk(x, 150).indices.values<int32_t>();
    for (int i = 1; i < 1000; ++i) {
      CHECK((up[i] % 7 > up[i - 1] % 7 || (up[i] % 7 == up[i - 1] % 7 && up[i] > up[i - 1])));
      CHECK((down[i] % 7 < down[i - 1] % 7 || (down[i] % 7 == down[i - 1] % 7 && down[i] > down[i - 1])));
    }
    CHECK(first == std::vector<int32_t>(down.begin(), down.begin() + 150));
    CHECK(sort(x).values.dtype() == type);
  }
}

TEST_CASE("ops: sort, topk, argmax and argmin agree with std::stable_sort on lines of every length, first axis or last") {
  const std::vector<double> pool = {3, -0.0, 0, quiet_nan, -inf, 1e-310, 2, inf, -1, 0, -3, quiet_nan, -1e-310, 2, 7, -7};
  const auto less = [](double a, double b) { return !std::isnan(a) && (std::isnan(b) || a < b); };
  for (const DType type : {DType::f64, DType::f32, DType::i32, DType::u8})
    for (int n = 1; n <= 70; ++n) {
      CAPTURE(name_of(type));
      CAPTURE(n);
      std::vector<double> numbers(2 * n);
      for (int i = 0; i < 2 * n; ++i) {
        const double drawn = pool[(i * i + 5 * i / 3) % 16];
        if (type == DType::f64 || type == DType::f32) numbers[i] = drawn;
        else if (type == DType::u8) numbers[i] = std::isfinite(drawn) ? std::fabs(drawn) : 255;
        else numbers[i] = std::isfinite(drawn) ? drawn : drawn > 0 ? 2147483647 : -2147483648.0;
      }
      const Tensor x = Tensor::from(numbers, {2, n}).to(type), columns = view::transpose(x, 0, 1);
      const std::vector<double> values = x.to(DType::f64).values<double>();   // f32 has other subnormal numbers
      const auto expected = [&](int64_t k, bool descending) {
        std::vector<int32_t> order;
        for (int line = 0; line < 2; ++line) {
          std::vector<int32_t> places(n);
          std::iota(places.begin(), places.end(), 0);
          std::stable_sort(places.begin(), places.end(), [&](int i, int j) {
            const double a = values[line * n + i], b = values[line * n + j];
            return descending ? less(b, a) : less(a, b);
          });
          order.insert(order.end(), places.begin(), places.begin() + k);
        }
        return order;
      };
      const auto along_rows = [](const Tensor& indices) { return view::transpose(indices, 0, 1).values<int32_t>(); };
      for (const bool descending : {false, true}) {
        CHECK(sort(x, 1, descending).indices.values<int32_t>() == expected(n, descending));
        CHECK(along_rows(sort(columns, 0, descending).indices) == expected(n, descending));
      }
      for (const int64_t k : {n / 9, n / 3, n / 2, n - 1}) {
        CHECK(topk(x, k, 1).indices.values<int32_t>() == expected(k, true));
        CHECK(along_rows(topk(columns, k, 0).indices) == expected(k, true));
      }
      CHECK(argmax(x, 1).values<int32_t>() == expected(1, true));
      CHECK(argmin(x, 1).values<int32_t>() == expected(1, false));
      CHECK(argmax(columns, 0).values<int32_t>() == expected(1, true));
      CHECK(argmin(columns, 0, true).values<int32_t>() == expected(1, false));
    }
}

TEST_CASE("ops: argmax and argmin of a line that all threads share, of no line, of an axis that stays, without a node") {
  std::vector<double> values(300000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i * 7919 % 299993);   // each at most twice
  const auto place = [&](auto extreme) {
    return static_cast<int32_t>(extreme(values.begin(), values.end()) - values.begin());
  };
  const Tensor x = requires_grad(vector(values));
  CHECK(argmax(x, 0).item() == place([](auto begin, auto end) { return std::max_element(begin, end); }));
  CHECK(argmin(x, -1).item() == place([](auto begin, auto end) { return std::min_element(begin, end); }));
  CHECK(!argmax(x, 0).node);
  CHECK(argmax(x, 0).dtype() == DType::i32);
  CHECK(argmax(x, 0).shape() == Shape{});
  CHECK(argmax(x, 0, true).shape() == Shape{1});
  CHECK(argmin(Tensor::zeros({2, 0, 3}), 2).shape() == Shape{2, 0});
  CHECK(argmin(Tensor::zeros({2, 3, 4}), 1, true).shape() == Shape{2, 1, 4});
  CHECK(message_of([] { argmax(Tensor::zeros({2, 0}), 1); }) == "argmax: nothing to choose from in shape [2,0]");
  const Tensor longest = view::expand(Tensor::zeros({1}, DType::u8), {int64_t(1) << 31});
  for (const auto& [name, call] : std::map<std::string, std::function<void()>>{
           {"argmax", [&] { argmax(longest, 0); }}, {"argmin", [&] { argmin(longest, 0); }},
           {"sort", [&] { sort(longest, 0); }}, {"topk", [&] { topk(longest, 1, 0); }}})
    CHECK(message_of(call) == name + ": axis 0 of shape [2147483648] is too long for i32 indices");
}

TEST_CASE("ops: max and min find NaN beside infinities, wherever it stands") {
  for (int place = 0; place < 100; ++place) {
    std::vector<double> values(100, -1);
    values[(place + 37) % 100] = inf;
    values[(place + 50) % 100] = -inf;
    CHECK(max(vector(values)).item() == inf);
    CHECK(min(vector(values)).item() == -inf);
    values[place] = quiet_nan;
    CHECK(std::isnan(max(vector(values)).item()));
    CHECK(std::isnan(min(vector(values)).item()));
  }
}

TEST_CASE("ops: tril and triu do not read what they drop, forwards and backwards") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{1, quiet_nan, 2, 3}, {2, 2}));
  const Tensor y = tril(x), dx = grad({y}, {x}, {Tensor::from(std::vector<double>{5, inf, 6, 7}, {2, 2})})[0];
  CHECK(y.values<double>() == std::vector<double>{1, 0, 2, 3});
  CHECK(dx.values<double>() == std::vector<double>{5, 0, 6, 7});
  CHECK(triu(transpose(x)).values<double>() == std::vector<double>{1, 2, 0, 3});
}

TEST_CASE("ops: the mean of no element is NaN, and has derivatives 0") {
  for (const bool along : {false, true}) {
    const Tensor x = requires_grad(Tensor::zeros({2, 0}, DType::f64)), y = along ? mean(x, 1) : mean(x);
    for (const double value : y.values<double>()) CHECK(std::isnan(value));
    const Tensor g = requires_grad(Tensor::full(y.shape(), 1, DType::f64));
    const Tensor dx = grad({y}, {x}, {g}, {.create_graph = true})[0];
    CHECK(dx.shape() == x.shape());
    for (const double value : grad({sum(dx)}, {g})[0].values<double>()) CHECK(value == 0);
  }
}

TEST_CASE("ops: bce_with_logits keeps its digits where the sigmoid is 0 or 1") {
  const Tensor x = requires_grad(vector({40, -40, 800, -800, 800, -800})), t = vector({1, 0, 1, 0, 0, 1});
  const std::vector<double> slopes = grad({bce_with_logits(x, t)}, {x})[0].values<double>();
  const double tail = std::exp(-40.0);
  CHECK(bce_with_logits(vector({40}), vector({1})).item() == doctest::Approx(tail).epsilon(1e-14));
  CHECK(bce_with_logits(vector({-40}), vector({0})).item() == doctest::Approx(tail).epsilon(1e-14));
  CHECK(slopes[0] == doctest::Approx(-tail).epsilon(1e-14));
  CHECK(slopes[1] == doctest::Approx(tail).epsilon(1e-14));
  CHECK(bce_with_logits(vector({800, -800}), vector({1, 0})).item() == 0);
  CHECK(bce_with_logits(vector({800, -800}), vector({0, 1})).item() == 1600);
  CHECK(std::vector<double>(slopes.begin() + 4, slopes.end()) == std::vector<double>{1, -1});
}

TEST_CASE("ops: kl_div does not see q where p is 0, and its gradients there are 0") {
  const Tensor log_q = requires_grad(vector({-inf, 0})), p = requires_grad(vector({0, 1}));
  for (const bool create_graph : {false, true}) {
    const Tensor y = kl_div(log_q, p);
    const std::vector<Tensor> slopes = grad({y}, {log_q, p}, {}, {.create_graph = create_graph});
    CHECK(y.item() == 0);
    CHECK(slopes[0].values<double>() == std::vector<double>{0, -1});
    CHECK(slopes[1].values<double>() == std::vector<double>{0, 1});
  }
}

TEST_CASE("ops: the second derivative of smooth_l1 is 1/beta inside and 0 outside, at x = target too") {
  const Tensor x = requires_grad(vector({0, 0.25, -0.25, 3, -3})), t = vector({0, 0, 0, 0, 0});
  const Tensor first = grad({smooth_l1(x, t, 0.5)}, {x}, {}, {.create_graph = true})[0];
  CHECK(first.values<double>() == std::vector<double>{0, 0.5, -0.5, 1, -1});
  CHECK(grad({first}, {x}, {vector({1, 1, 1, 1, 1})})[0].values<double>() == std::vector<double>{2, 2, 2, 0, 0});
}

TEST_CASE("ops: statistics of batch_norm carry no gradient") {
  const Tensor x = requires_grad(Tensor::from(std::vector<double>{1, 2, 3, 6}, {4, 1}));
  const Tensor one = Tensor::full({1}, 1, DType::f64);
  const BatchNormed result = batch_norm(x, one, one);
  CHECK(result.y.node != nullptr);
  CHECK(result.mean.node == nullptr);
  CHECK(result.variance.node == nullptr);
  CHECK(result.mean.item() == 3);
  CHECK(result.variance.item() == 3.5);
}

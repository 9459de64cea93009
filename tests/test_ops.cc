// Ops against values and gradients of PyTorch in float64 (tests/golden/ops.py), and what they do with odd numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "autograd/backward.h"
#include "autograd/ops.h"
#include "tensor/view.h"
#include "tests/examples.h"

using namespace tapir;
using nlohmann::json;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

double number(const json& value) {
  return value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
}

Tensor tensor(const json& entry) {
  Shape shape;
  for (const int64_t extent : entry["shape"]) shape.push_back(extent);
  std::vector<double> values;
  for (const json& value : entry["data"]) values.push_back(number(value));
  return Tensor::from(values, shape);
}

Tensor vector(const std::vector<double>& values) { return Tensor::from(values); }

// |found − expected| ≤ 10⁻¹² max(1, |expected|); what is not finite must be the same.
void compare(const Tensor& found, const json& entry) {
  const Tensor expected = tensor(entry);
  CHECK(found.shape() == expected.shape());
  const std::vector<double> a = found.to(DType::f64).values<double>(), b = expected.values<double>();
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    if (std::isfinite(b[i])) CHECK(std::fabs(a[i] - b[i]) <= 1e-12 * std::max(1.0, std::fabs(b[i])));
    else CHECK((a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))));
  }
}

using Tensors = std::map<std::string, Tensor>;
using Call = std::function<Tensor(const Tensors& in, const json& options, Tensors& more)>;   // more: beside the output

// The variance of PyTorch's running statistics has n − 1 in its denominator.
Tensor unbiased(const Tensor& variance, const Tensor& x) {
  const double n = static_cast<double>(x.elements() / variance.elements());
  return affine(variance, n / (n - 1), 0);
}

const std::map<std::string, Call>& calls() {
  static const auto axis = [](const json& options) { return options["axis"].get<int>(); };
  static const std::map<std::string, Call> all{
      {"rms_norm",
       [](const Tensors& in, const json& o, Tensors&) { return rms_norm(in.at("x"), in.at("weight"), o["epsilon"]); }},
      {"group_norm",
       [](const Tensors& in, const json& o, Tensors&) {
         return group_norm(in.at("x"), o["groups"], in.at("weight"), in.at("bias"), o["epsilon"]);
       }},
      {"batch_norm",
       [](const Tensors& in, const json& o, Tensors& more) {
         const BatchNormed result = batch_norm(in.at("x"), in.at("weight"), in.at("bias"), 1, o["epsilon"]);
         more = {{"running_mean", result.mean}, {"running_variance", unbiased(result.variance, in.at("x"))}};
         return result.y;
       }},
      {"batch_norm, inference",
       [](const Tensors& in, const json& o, Tensors&) {
         return batch_norm(in.at("x"), in.at("weight"), in.at("bias"), in.at("mean"), in.at("variance"), 1, o["epsilon"]);
       }},
      {"cross_entropy",
       [](const Tensors& in, const json& o, Tensors&) {
         return cross_entropy(in.at("logits"), in.at("targets"),
                              {.ignored = o["ignored"], .label_smoothing = o["label_smoothing"]});
       }},
      {"squared_error",
       [](const Tensors& in, const json&, Tensors&) { return squared_error(in.at("x"), in.at("target")); }},
      {"l1", [](const Tensors& in, const json&, Tensors&) { return l1(in.at("x"), in.at("target")); }},
      {"smooth_l1",
       [](const Tensors& in, const json& o, Tensors&) { return smooth_l1(in.at("x"), in.at("target"), o["beta"]); }},
      {"bce_with_logits",
       [](const Tensors& in, const json&, Tensors&) { return bce_with_logits(in.at("x"), in.at("target")); }},
      {"kl_div", [](const Tensors& in, const json&, Tensors&) { return kl_div(in.at("log_q"), in.at("p")); }},
      {"sort",
       [](const Tensors& in, const json& o, Tensors& more) {
         const Sorted result = sort(in.at("x"), axis(o), o["descending"]);
         more = {{"indices", result.indices}};
         return result.values;
       }},
      {"topk",
       [](const Tensors& in, const json& o, Tensors& more) {
         const Sorted result = topk(in.at("x"), o["k"], axis(o));
         more = {{"indices", result.indices}};
         return result.values;
       }},
      {"gather", [](const Tensors& in, const json& o, Tensors&) { return gather(in.at("x"), axis(o), in.at("indices")); }},
      {"scatter_add",
       [](const Tensors& in, const json& o, Tensors&) {
         return scatter_add(in.at("x"), axis(o), in.at("indices"), in.at("source"));
       }},
      {"index_select",
       [](const Tensors& in, const json& o, Tensors&) { return index_select(in.at("x"), axis(o), in.at("indices")); }},
      {"flip", [](const Tensors& in, const json& o, Tensors&) { return flip(in.at("x"), axis(o)); }},
      {"permute",
       [](const Tensors& in, const json& o, Tensors&) { return permute(in.at("x"), o["axes"].get<std::vector<int>>()); }},
      {"tril", [](const Tensors& in, const json& o, Tensors&) { return tril(in.at("x"), o["k"]); }},
      {"triu", [](const Tensors& in, const json& o, Tensors&) { return triu(in.at("x"), o["k"]); }},
  };
  return all;
}

}  // namespace

TEST_CASE("ops: values and gradients equal PyTorch's in float64") {
  std::ifstream file(TAPIR_SOURCE_DIR "/tests/golden/ops.json");
  REQUIRE(file.good());
  const json golden = json::parse(file);
  std::map<std::string, int> seen;
  for (const json& one : golden["cases"]) {
    const std::string op = one["op"], options = one["options"].dump();
    CAPTURE(op);
    CAPTURE(options);
    ++seen[op];
    Tensors inputs;
    std::vector<std::string> names;
    std::vector<Tensor> leaves;
    for (const auto& [name, entry] : one["inputs"].items()) {
      Tensor& value = inputs[name] = tensor(entry);
      if (name == "indices" || name == "targets") value = value.to(DType::i32);
      if (!one["gradients"].contains(name)) continue;
      value = requires_grad(value);
      names.push_back(name);
      leaves.push_back(value);
    }
    Tensors more;
    const Tensor y = calls().at(op)(inputs, one["options"], more);
    compare(y, one["output"]);
    CHECK(more.size() == one["more"].size());
    for (const auto& [name, entry] : one["more"].items()) compare(more.at(name), entry);
    const std::vector<Tensor> gradients = grad({y}, leaves, {tensor(one["upstream"])});
    for (size_t i = 0; i < names.size(); ++i) compare(gradients[i], one["gradients"][names[i]]);
  }
  for (const auto& known : calls()) CHECK_MESSAGE(seen[known.first] > 0, known.first);
}

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

TEST_CASE("ops: sort and topk agree with std::stable_sort on lines of every length, first axis or last") {
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
    }
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

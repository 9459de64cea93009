// Matrix products with rounded operands: the rounding against a definition in double, products and their gradients against
// sums of numbers that were rounded so, and a training.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <sstream>

#include "attention/reproduce/tasks/language.h"
#include "autograd/examples/matrix.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "tensor/arena.h"
#include "tensor/cuda.h"
#include "tensor/random.h"
#include "tensor/threads.h"
#include "tests/autograd/evaluate.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/golden_file.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

constexpr Precision reduced[] = {Precision::tf32, Precision::bf16};

// x to the nearest number with so many bits after the point, ties to even; the exponents are those of f32.
double nearest(double x, int bits) {
  if (x == 0 || !std::isfinite(x)) return x;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(x), -126) - bits), rounded = std::nearbyint(x / unit) * unit;
  return std::fabs(rounded) < 0x1p128 ? rounded : std::copysign(INFINITY, x);
}

double nearest(double x, Precision precision) {
  return precision == Precision::f32 ? x : nearest(x, precision == Precision::tf32 ? 10 : 7);
}

Tensor nearest(const Tensor& x, Precision precision) {   // in f64
  std::vector<double> values = x.detach().to(DType::f64).values<double>();
  for (double& value : values) value = nearest(value, precision);
  return Tensor::from(values, x.shape());
}

bool same_number(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

// Counts wrong roundings to Format of all floats that have one of `tails` as their last `dropped` bits: every exponent, both
// signs, subnormal numbers, infinity and NaN, next to every tie and on it.
template <class Format>
int64_t wrong_roundings(int dropped) {
  const uint32_t half = 1u << (dropped - 1), tails[] = {0, 1, half - 1, half, half + 1, 2 * half - 1};
  int64_t wrong = 0;
  for (uint32_t head = 0; head < 1u << (32 - dropped); ++head)
    for (const uint32_t tail : tails) {
      const float x = std::bit_cast<float>(head << dropped | tail);
      if (!same_number(static_cast<float>(Format(x)), nearest(static_cast<double>(x), 23 - dropped))) ++wrong;
    }
  return wrong;
}

// ‖x − y‖ / ‖y‖
double distance(const Tensor& x, const Tensor& y) {
  const std::vector<double> a = x.detach().to(DType::f64).values<double>(), b = y.detach().to(DType::f64).values<double>();
  REQUIRE(x.shape() == y.shape());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

Tensor numbers(const Shape& shape, uint64_t seed, DType type = DType::f32) {
  Tensor x = Tensor::empty(shape, type);
  normal_(x, 0, 1, {.seed = seed, .step = 0, .site = 1});
  return x;
}

constexpr const char* small = R"(
[data]
kind = "generated"
train_tokens = 2000
valid_tokens = 300
test_tokens = 300
[model]
context = 12
width = 16
layers = 2
heads = 2
[train]
steps = 30
batch = 4
[schedule]
rate = 3e-3
warmup = 5
)";

double loss_of_training(const std::string& device, Precision precision) {
  const testing::TemporaryFolder folder;
  const OnDevice before_device(default_device());
  const InPrecision before_precision(Precision::f32);
  Experiment experiment = read_experiment(folder.write("small.toml", small),
                                          {"run.device=" + device, text("run.precision=", precision)});
  const ComputeAs place(experiment);
  LanguageTask task(experiment);
  CHECK(tapir::precision() == precision);
  TrainTask loop = task.train_task();
  std::ostringstream out;
  return train(loop, experiment.train, experiment.schedule, experiment.optimiser, 1,
               {.folder = folder.path() / "run", .out = out})
      .loss;
}

}  // namespace

TEST_CASE("precision: rounding is to the nearest, ties to even, of every exponent") {
  CHECK(wrong_roundings<Tf32>(13) == 0);
  CHECK(wrong_roundings<Bf16>(16) == 0);
}

TEST_CASE("precision: every number of bf16 stays as it is, and so do infinities and NaN") {
  int64_t changed = 0;
  for (uint32_t bits = 0; bits < 1u << 16; ++bits) {
    const float x = std::bit_cast<float>(bits << 16);
    if (Bf16(x).bits != (std::isnan(x) ? bits | 0x40 : bits)) ++changed;
  }
  CHECK(changed == 0);
  const float largest = std::numeric_limits<float>::max(), nan = std::bit_cast<float>(0x7f800001u);   // by its last bit
  CHECK(static_cast<float>(Bf16(-largest)) == -INFINITY);
  CHECK(static_cast<float>(Tf32(largest)) == INFINITY);
  CHECK(std::isnan(static_cast<float>(Bf16(nan))));
  CHECK(std::isnan(static_cast<float>(Tf32(nan))));
}

TEST_CASE("precision: bf16 is PyTorch's, and so are products of its numbers") {
  const nlohmann::json golden = golden_file("precision.json");
  const auto bits = [&](const char* key) { return golden["conversion"][key].get<std::vector<uint32_t>>(); };
  const std::vector<uint32_t> from = bits("float"), expected = bits("bf16");
  REQUIRE(from.size() > 200);
  for (size_t i = 0; i < from.size(); ++i) {
    CAPTURE(from[i]);
    CHECK(std::bit_cast<uint32_t>(static_cast<float>(Bf16(std::bit_cast<float>(from[i])))) == expected[i]);
  }
  const InPrecision scope(Precision::bf16);
  for (const nlohmann::json& one : golden["products"]) {
    const auto f32 = [&](const char* key) { return golden_tensor(one[key]).to(DType::f32); };
    CHECK(distance(matmul(f32("a"), f32("b")), golden_tensor(one["y"])) <= 1e-6);
  }
}

TEST_CASE("precision: a product with one is the rounded number, to the bit") {
  std::vector<float> x{1 + 0x1p-8f, 1 + 0x1.8p-8f, 1 + 0x1p-11f, 1 + 0x1.8p-11f, -0x1.fffffep127f, INFINITY, 0x1.234566p-100f};
  for (const float value : numbers({100}, 1).values<float>()) x.push_back(value);
  const Tensor column = Tensor::from(x, {static_cast<int64_t>(x.size()), 1}), one = Tensor::full({1, 1}, 1);
  for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16}) {
    CAPTURE(precision);
    const InPrecision scope(precision);
    const std::vector<float> right = matmul(column, one).values<float>(), left = matmul(one, transpose(column)).values<float>();
    for (size_t i = 0; i < x.size(); ++i) {
      CAPTURE(x[i]);
      CHECK(right[i] == nearest(x[i], precision));
      CHECK(left[i] == nearest(x[i], precision));
    }
  }
}

TEST_CASE("precision: products are sums of rounded numbers in f32, and so are their gradients") {
  for (const OpExamples& examples : {Examples<Matmul>::all(), Examples<Linear>::all()})
    for (const Example& row : examples.rows)
      for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16}) {
        INFO("op ", examples.op, ", row '", row.label, "', ", std::string(name_of(precision)));
        std::vector<Tensor> inputs, rounded;
        for (size_t i = 0; i < row.inputs.size(); ++i) {
          inputs.push_back(numbers(row.inputs[i].shape, 10 + i));
          rounded.push_back(i < 2 ? nearest(inputs[i], precision) : inputs[i].to(DType::f64));   // a bias is no operand
        }
        Arrays arrays;
        for (const Tensor& x : rounded) arrays.push_back({x.shape(), x.values<double>()});
        const Array expected = row.reference(arrays);
        const std::vector<Tensor> leaves = requires_grad(inputs), rounded_leaves = requires_grad(rounded);

        const InPrecision scope(precision);
        const Tensor y = row.function(leaves), g = numbers(y.shape(), 20);
        CHECK(distance(y, Tensor::from(expected.values, expected.shape)) <= 1e-5);
        // Derivatives in f64, which the sweep compares with differences, of rounded x and with rounded g; a bias sums g itself.
        const std::vector<Tensor> gradients = grad({y}, leaves, {g});
        const auto in_f64 = [&](const Tensor& u) { return grad({row.function(rounded_leaves)}, rounded_leaves, {u}); };
        const std::vector<Tensor> of_rounded = in_f64(nearest(g, precision)), of_g = in_f64(g.to(DType::f64));
        for (size_t i = 0; i < gradients.size(); ++i) {
          CAPTURE(i);
          CHECK(distance(gradients[i], i < 2 ? of_rounded[i] : of_g[i]) <= 1e-5);
        }
      }
}

TEST_CASE("precision: only products of f32 are rounded, and only while it is asked for") {
  const auto product = [](DType type) { return matmul(numbers({30, 40}, 1, type), numbers({40, 20}, 2, type)); };
  const Tensor f32 = product(DType::f32), f64 = product(DType::f64);
  for (const Precision precision : reduced) {
    CAPTURE(precision);
    {
      const InPrecision scope(precision);
      CHECK_FALSE(same_bits(product(DType::f32), f32));
      CHECK(same_bits(product(DType::f64), f64));
    }
    CHECK(same_bits(product(DType::f32), f32));
  }
}

TEST_CASE("precision: a matrix that many products share is rounded once") {
  const InPrecision scope(Precision::bf16);
  const Tensor shared = expand(numbers({256, 256}, 1), {16, 256, 256}), b = numbers({16, 256, 4}, 2);
  Arena& arena = Arena::of(default_device());
  arena.reset_peak();
  const int64_t before = arena.statistics().in_use, float_size = 4;
  matmul(shared, b);
  CHECK(arena.statistics().peak - before <= float_size * (2 * 256 * 256 + 4 * b.elements()));
}

TEST_CASE("precision: the same bits at any thread count") {
  const int before = threads();
  for (const Precision precision : reduced) {
    const InPrecision scope(precision);
    for (const auto& [a, b] : {std::pair<Shape, Shape>{{700, 90}, {90, 130}}, {{100, 3000}, {3000, 90}},
                               {{24, 60, 40}, {24, 40, 50}}}) {
      const Tensor x = numbers(a, 1), y = numbers(b, 2);
      set_threads(1);
      const Tensor expected = matmul(x, y);
      set_threads(3);
      CHECK(same_bits(matmul(x, y), expected));
    }
  }
  set_threads(before);
}

TEST_CASE("precision: a training comes to about the same loss, on every device") {
  const double f32 = loss_of_training("cpu", Precision::f32);
  CHECK(f32 < 6);
  for (const Precision precision : reduced) {
    CAPTURE(precision);
    const double loss = loss_of_training("cpu", precision);
    CHECK(loss != f32);
    CHECK(std::fabs(loss - f32) <= 0.02 * f32);
    if (cuda::built) CHECK(std::fabs(loss_of_training("cuda", precision) - loss) <= 1e-5 * loss);
  }
}

}  // namespace tapir

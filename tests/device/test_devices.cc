// A CUDA device against the CPU: every op, every row of its examples, values and gradients. Elementwise and row kernels give
// the same bits; matrix products and Fourier transforms sum in another order.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <set>

#include "autograd/examples/matrix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/index.h"
#include "autograd/ops/softmax.h"
#include "autograd/tolerance.h"
#include "tensor/cuda.h"
#include "tensor/in_place.h"
#include "tests/autograd/calls.h"
#include "tests/autograd/evaluate.h"
#include "tests/messages.h"
#include "tests/tensor/policies.h"

using namespace tapir;

namespace {

// Every test of this file needs a device. Where there is none they are skipped, unless DEVICE=cuda asks for it: then they fail.
bool no_device() { return !std::getenv("DEVICE") && message_of(cuda::require_device) != "no error"; }

const std::set<std::string> by_libraries{"matmul", "linear", "rfft", "irfft"};

// y, then the gradients.
std::vector<Tensor> results_of(const Example& row, DType type) {
  Result result = evaluate(row, inputs_of(row, type));
  result.gradients.insert(result.gradients.begin(), result.y);
  return result.gradients;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.detach().to(DType::f64).values<double>(), y = b.detach().to(DType::f64).values<double>();
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, error_of(x[i], y[i], std::max(1.0, std::fabs(y[i]))));
  return largest;
}

}  // namespace

TEST_SUITE_BEGIN("needs a CUDA device" * doctest::skip(no_device()));

TEST_CASE("devices: every op gives the CPU's bits on CUDA, or its numbers where a library sums in another order") {
  std::vector<OpExamples> here, there;
  {
    const OnDevice scope(Device::cpu);
    here = examples_of_every_op();
  }
  const OnDevice scope(Device::cuda);
  there = examples_of_every_op();
  for (size_t op = 0; op < here.size(); ++op)
    for (size_t row = 0; row < here[op].rows.size(); ++row)
      for (const DType type : {DType::f64, DType::f32}) {
        INFO("op ", here[op].op, ", row '", here[op].rows[row].label, "', ", std::string(name_of(type)));
        std::vector<Tensor> expected;
        {
          const OnDevice cpu(Device::cpu);
          expected = results_of(here[op].rows[row], type);
        }
        const std::vector<Tensor> results = results_of(there[op].rows[row], type);
        REQUIRE(results.size() == expected.size());
        for (size_t i = 0; i < results.size(); ++i) {
          CAPTURE(i);   // 0: the value; then the gradients
          REQUIRE(results[i].shape() == expected[i].shape());
          const double largest = largest_difference(results[i], expected[i]);
          CAPTURE(largest);
          const double bound = type == DType::f64 ? 1e-13 : 1e-5;
          CHECK((by_libraries.contains(here[op].op) ? largest <= bound : same_bits(results[i], expected[i])));
        }
      }
}

TEST_CASE("devices: comparisons and places are the CPU's on CUDA") {
  const auto places = [](Device device) {
    const OnDevice scope(device);
    std::vector<Tensor> results;
    for (const OpCall& op : calls_of_every_op()) {
      const Tensor y = op.call(op.tensors);
      if (y.dtype() == DType::u8 || y.dtype() == DType::i32) results.push_back(y);
    }
    return results;
  };
  const std::vector<Tensor> here = places(Device::cpu), there = places(Device::cuda);
  CHECK(here.size() > 12);
  for (size_t i = 0; i < here.size(); ++i) CHECK(same_bits(here[i], there[i]));
}

TEST_CASE("devices: products of rounded operands have the CPU's numbers") {
  for (const Precision precision : {Precision::tf32, Precision::bf16})
    for (const OpExamples& examples : {Examples<Matmul>::all(), Examples<Linear>::all()})
      for (const Example& row : examples.rows) {
        INFO("op ", examples.op, ", row '", row.label, "', ", std::string(name_of(precision)));
        const InPrecision rounded(precision);
        std::vector<Tensor> expected;
        {
          const OnDevice cpu(Device::cpu);
          expected = results_of(row, DType::f32);
        }
        const OnDevice there(Device::cuda);
        const std::vector<Tensor> results = results_of(row, DType::f32);
        for (size_t i = 0; i < results.size(); ++i) {
          CAPTURE(i);
          CHECK(largest_difference(results[i], expected[i]) <= 1e-5);
        }
      }
}

TEST_CASE("devices: tensors travel there and back, and are printed and read from there") {
  const Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4}, {2, 2}, Device::cpu), there = x.to(Device::cuda);
  CHECK(there.device() == Device::cuda);
  CHECK(there.values<double>() == x.values<double>());
  CHECK(there.to(Device::cpu).values<double>() == x.values<double>());
  CHECK(text(there) == text(x));
  CHECK(there.strided({}, {}, 3).item() == 4);
  Tensor index = Tensor::from(std::vector<int32_t>{1, 2}, {2}, Device::cuda);   // kept on the host until it is written to
  CHECK(index.on_host().device() == Device::cpu);
  CHECK(index.strided({1}, {1}, 1).values<int32_t>() == std::vector<int32_t>{2});
  fill_(index, 3);
  CHECK(index.values<int32_t>() == std::vector<int32_t>{3, 3});
}

TEST_CASE("devices: tensors of two devices do not meet") {
  const Tensor x = Tensor::zeros({2, 3}, DType::f64, Device::cuda), y = Tensor::zeros({2, 3}, DType::f64, Device::cpu);
  CHECK(contains_text(message_of([&] { add(x, y); }), "add: devices differ: cuda and cpu"));
  const Tensor index = Tensor::from(std::vector<int32_t>{0, 1}, {2}, Device::cpu);
  CHECK(contains_text(message_of([&] { index_select(x, 0, index); }), "index_select: indices are on cpu, the others on cuda"));
  CHECK(contains_text(message_of([&] { embedding(x, index); }), "embedding: indices are on cpu, the others on cuda"));
  CHECK(contains_text(message_of([&] { cross_entropy(x, index); }), "cross_entropy: targets are on cpu, logits on cuda"));
  const Tensor condition = Tensor::zeros({2, 3}, DType::u8, Device::cpu);
  CHECK(contains_text(message_of([&] { where(condition, x, x); }), "where: the condition is on cpu, the others on cuda"));
  const Tensor scores = Tensor::zeros({1, 1, 2, 3}, DType::f64, Device::cuda);
  const Mask mask{.keys = Tensor::full({1, 3}, 1, DType::u8, Device::cpu)};
  CHECK(contains_text(message_of([&] { softmax(scores, mask); }), "softmax: the key mask is on cpu, the scores on cuda"));
}

TEST_SUITE_END();

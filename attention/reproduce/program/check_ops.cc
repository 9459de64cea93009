#include "attention/reproduce/program/check_ops.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "attention/examples/fused.h"
#include "attention/kernels/all_ops.h"
#include "autograd/all_ops.h"
#include "autograd/examples/arithmetic.h"
#include "autograd/examples/convolution.h"
#include "autograd/examples/fourier.h"
#include "autograd/examples/index.h"
#include "autograd/examples/interpolation.h"
#include "autograd/examples/loss.h"
#include "autograd/examples/matrix.h"
#include "autograd/examples/norm.h"
#include "autograd/examples/patches.h"
#include "autograd/examples/reduction.h"
#include "autograd/examples/rows.h"
#include "autograd/examples/shape.h"
#include "autograd/examples/unary.h"

namespace tapir {
namespace {

template <class... Ops>
std::vector<OpExamples> examples_of(OpList<Ops...>) { return {Examples<Ops>::all()...}; }

int64_t elements_of(const Example& row) {
  int64_t elements = 0;
  for (const Argument& input : row.inputs) elements += input.shape.elements();
  return elements;
}

constexpr uint64_t draws = 5;
constexpr int64_t full_jacobian = 48, full_second_jacobian = 16;   // elements of all inputs, at most

}  // namespace

std::vector<OpExamples> examples_of_every_op() {
  std::vector<OpExamples> all = examples_of(AllOps{}), fused = examples_of(AttentionOps{});
  all.insert(all.end(), fused.begin(), fused.end());
  return all;
}

Tensor input_of(const Example& row, size_t argument, DType type, uint64_t seed) {
  const Argument& a = row.inputs[argument];
  std::mt19937_64 random(std::hash<std::string>{}(row.label) + argument + (seed << 32));
  std::vector<double> values;
  for (int64_t i = 0; i < a.shape.elements(); ++i) {
    const double fraction = static_cast<double>(random() >> 11) * 0x1p-53;
    const double value = a.grid > 0 ? a.low + a.grid * std::floor(fraction * ((a.high - a.low) / a.grid + 1))
                                    : a.low + (a.high - a.low) * fraction;
    values.push_back(static_cast<float>(value));
  }
  return Tensor::from(values, a.shape).to(type);
}

std::vector<Tensor> inputs_of(const Example& row, DType type, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (size_t argument = 0; argument < row.inputs.size(); ++argument)
    inputs.push_back(input_of(row, argument, type, seed));
  return inputs;
}

std::vector<Proof> check_op(const OpExamples& op, uint64_t seed) {
  const auto over_rows = [&](const char* claim, bool second, const auto& check) {
    int rows = 0, jacobians = 0;
    double worst = 0;
    for (const Example& row : op.rows) {
      if (second && !row.second_order) continue;
      GradcheckOptions options{.seed = seed, .directions = 1, .may_vanish = row.may_vanish};
      options.full_jacobian = elements_of(row) <= (second ? full_second_jacobian : full_jacobian);
      if (second) options.relative = 1e-5;
      const std::string name = text(op.op, " (", row.label, ")");
      GradcheckResult result;
      // Where every gate happens to be shut, or a kink is near, other numbers show more.
      for (uint64_t draw = 0; draw < draws && (draw == 0 || result.vanished || !result.notes.empty()); ++draw)
        result = check(name, row.function, inputs_of(row, DType::f64, seed + (draw << 24)), options);
      if (!result.passed) return Proof{claim, false, result.report};
      worst = std::max(worst, result.worst);
      ++rows;
      jacobians += options.full_jacobian;
    }
    return Proof{claim, true, text("worst relative error ", worst, " in ", rows, " rows, ", jacobians, " of them in full")};
  };
  return {over_rows("gradient", false, gradcheck), over_rows("double_gradient", true, gradgradcheck)};
}

}  // namespace tapir

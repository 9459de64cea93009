// Losses of x and a target of the same shape.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/pair_loss.h"

namespace tapir {

// Grids of x and target that lie 0.25 apart stay away from kinks at |x − t| = 0 and 1.
inline OpExamples pair_loss(const std::string& name, Tensor (*f)(const Tensor&, const Tensor&),
                            double (*term)(double, double), Argument x = {}, Argument target = {}) {
  OpExamples examples{.op = name, .rows = {}, .errors = {}};
  const auto row = [&](const std::string& label, const Shape& shape, const Function& call) {
    x.shape = target.shape = shape;
    examples.rows.push_back({.label = label,
                             .function = call,
                             .inputs = {x, target},
                             .reference = [term](const Arrays& in) {
                               double total = 0;
                               for (size_t i = 0; i < in[0].values.size(); ++i)
                                 total += term(in[0].values[i], in[1].values[i]);
                               return Array{{}, {total}};
                             },
                             .relative_f32 = 1e-5});
  };
  const Function call = [f](const std::vector<Tensor>& in) { return f(in[0], in[1]); };
  row("matrix", {4, 7}, call);
  row("rank 1", {37}, call);
  row("rank 0", {}, call);
  row("one element", {1, 1}, call);
  row("none", {0, 3}, call);
  row("several ranges", {300, 256}, call);
  examples.errors = {{[f] { f(zeros({2, 3}), zeros({3})); }, {name, "[2,3]", "[3]"}},
                     {[f] { f(zeros({2, 1}), zeros({2, 3})); }, {name, "[2,1]", "[2,3]"}}};
  return examples;
}

template <> struct Examples<PairLoss<loss::SquaredError>> {
  static OpExamples all() {
    return pair_loss("squared_error", squared_error, [](double x, double t) { return (x - t) * (x - t); });
  }
};

template <> struct Examples<PairLoss<loss::L1>> {
  static OpExamples all() {
    return pair_loss(
        "l1", l1, [](double x, double t) { return std::fabs(x - t); }, {{}, -2, 2, 0.5}, {{}, -2.25, 2.25, 0.5});
  }
};

template <> struct Examples<PairLoss<loss::SmoothL1>> {
  static OpExamples all() {
    OpExamples examples = pair_loss(
        "smooth_l1", [](const Tensor& x, const Tensor& t) { return smooth_l1(x, t); },
        [](double x, double t) { return std::fabs(x - t) < 1 ? (x - t) * (x - t) / 2 : std::fabs(x - t) - 0.5; },
        {{}, -2, 2, 0.5}, {{}, -2.25, 2.25, 0.5});
    examples.rows.push_back({.label = "beta 2",
                             .function = [](const std::vector<Tensor>& in) { return smooth_l1(in[0], in[1], 2); },
                             .inputs = {{{5, 3}, -2, 2, 0.5}, {{5, 3}, -2.25, 2.25, 0.5}},
                             .reference = [](const Arrays& in) {
                               double total = 0;
                               for (size_t i = 0; i < in[0].values.size(); ++i) {
                                 const double d = std::fabs(in[0].values[i] - in[1].values[i]);
                                 total += d < 2 ? d * d / 4 : d - 1;
                               }
                               return Array{{}, {total}};
                             }});
    for (const double beta : {0.0, -1.0, HUGE_VAL, std::nan("")})
      examples.errors.push_back({[=] { smooth_l1(zeros({2}), zeros({2}), beta); }, {"smooth_l1", "beta", text(beta)}});
    return examples;
  }
};

template <> struct Examples<PairLoss<loss::BceWithLogits>> {
  static OpExamples all() {
    return pair_loss(
        "bce_with_logits", bce_with_logits,
        [](double x, double t) { return t * std::log1p(std::exp(-x)) + (1 - t) * std::log1p(std::exp(x)); }, {{}, -5, 5},
        {{}, 0, 1});
  }
};

template <> struct Examples<PairLoss<loss::KlDiv>> {
  static OpExamples all() {
    OpExamples examples = pair_loss("kl_div", kl_div, [](double log_q, double p) { return p * (std::log(p) - log_q); },
                                    {{}, -4, -1}, {{}, 0.1, 0.6});
    // Where p = 0 nothing counts, not even log q = −∞. A constant: no difference may leave p ≥ 0.
    examples.rows.push_back({.label = "some p are 0",
                             .function = [](const std::vector<Tensor>& in) {
                               const double inf = HUGE_VAL;
                               const Tensor p = Tensor::from(std::vector<double>{0, 0.25, 0, 0.75}).to(in[0].dtype());
                               const Tensor none = Tensor::from(std::vector<double>{-inf, 0, 0, 0}).to(in[0].dtype());
                               return kl_div(where(u8({0, 1, 1, 1}, {4}), in[0], none), p);
                             },
                             .inputs = {{{4}, -3, -1}},
                             .reference = [](const Arrays& in) {
                               const std::vector<double>& log_q = in[0].values;
                               return Array{{}, {0.25 * (std::log(0.25) - log_q[1]) + 0.75 * (std::log(0.75) - log_q[3])}};
                             }});
    return examples;
  }
};

}  // namespace tapir

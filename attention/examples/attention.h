// Fused ops of attention/.
#pragma once
#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/mix.h"
#include "attention/kernels/pair_hidden.h"
#include "attention/kernels/rotary.h"
#include "autograd/examples/softmax_mask.h"

namespace tapir {

using PairFunction = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, const Mask&);

// y_rts = Σ_k W_rk h(a_tk + c_sk), pair by pair
inline Array pair_sums(const Arrays& in, double (*h)(double), bool causal, int64_t offset) {
  const Array &a = in[0], &c = in[1], &weight = in[2];
  const int64_t units = a.shape[3], heads = weight.shape[0];
  return build({a.shape[0], a.shape[1], weight.shape[1], a.shape[2], c.shape[2]}, [&](const Index& i) {
    const int64_t b = i[0], head = i[1], r = i[2], t = i[3], s = i[4];
    double y = 0;
    if (causal && s > t + offset) return y;
    for (int64_t k = 0; k < units; ++k)
      y += at(weight, {heads == 1 ? 0 : head, r, k}) * h(at(a, {b, head, t, k}) + at(c, {b, head, s, k}));
    return y;
  });
}

inline OpExamples pair_examples(const std::string& name, PairFunction f, double (*h)(double)) {
  OpExamples examples{.op = name, .rows = {}, .errors = {}};
  const auto row = [&](const std::string& label, const Shape& a, const Shape& c, const Shape& weight, bool causal = false,
                       int64_t offset = 0) {
    const Mask mask{.causal = causal, .offset = offset, .keys = {}};
    // a on a grid of quarters and c between its lines: every sum a + c keeps 1/8 from the kink of ReLU.
    examples.rows.push_back(
        {.label = label, .function = [=](const std::vector<Tensor>& x) { return f(x[0], x[1], x[2], mask); },
         .inputs = {{a, -2, 2, 0.25}, {c, -1.875, 1.875, 0.25}, {weight}},
         .reference = [=](const Arrays& in) { return pair_sums(in, h, causal, offset); }, .may_vanish = true,
         .relative_f32 = 1e-6 + 1e-7 * static_cast<double>(weight[2])});   // units are summed one after the other
  };
  row("shared weight", {2, 2, 3, 4}, {2, 2, 5, 4}, {1, 1, 4});
  row("weight for each head", {2, 3, 3, 4}, {2, 3, 2, 4}, {3, 1, 4});
  row("several outputs", {1, 2, 4, 3}, {1, 2, 3, 3}, {1, 2, 3});
  row("several outputs for each head", {2, 2, 3, 4}, {2, 2, 3, 4}, {2, 3, 4});
  row("causal", {1, 2, 5, 3}, {1, 2, 5, 3}, {1, 2, 3}, true);
  row("causal with offset", {2, 1, 2, 3}, {2, 1, 6, 3}, {1, 1, 3}, true, 3);
  row("causal, a query without keys", {1, 1, 3, 2}, {1, 1, 3, 2}, {1, 1, 2}, true, -1);
  row("one element", {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1});
  row("no query", {2, 1, 0, 3}, {2, 1, 4, 3}, {1, 2, 3});
  row("no key", {2, 1, 4, 3}, {2, 1, 0, 3}, {1, 2, 3});
  row("no batch", {0, 2, 4, 3}, {0, 2, 4, 3}, {2, 1, 3});
  row("more keys than lanes", {1, 1, 3, 2}, {1, 1, 70, 2}, {1, 1, 2});
  row("several ranges", {1, 2, 300, 128}, {1, 2, 4, 128}, {1, 1, 128});
  row("several ranges, causal", {2, 2, 130, 3}, {2, 2, 130, 3}, {2, 2, 3}, true);

  const auto bad = [&](const Shape& a, const Shape& c, const Shape& weight, std::vector<std::string> words) {
    words.push_back(name);
    examples.errors.push_back({[=] { f(zeros(a), zeros(c), zeros(weight), {}); }, words});
  };
  bad({2, 3, 4}, {2, 1, 3, 4}, {1, 1, 4}, {"[2,3,4]", "[2,1,3,4]", "[1,1,4]"});
  bad({2, 1, 3, 4}, {2, 1, 3, 5}, {1, 1, 4}, {"[2,1,3,5]"});
  bad({2, 1, 3, 4}, {1, 1, 3, 4}, {1, 1, 4}, {"[1,1,3,4]"});
  bad({2, 3, 3, 4}, {2, 3, 3, 4}, {2, 1, 4}, {"weight (1 or H,R,M)", "[2,1,4]"});
  bad({2, 3, 3, 4}, {2, 3, 3, 4}, {1, 1, 5}, {"[1,1,5]"});
  return examples;
}

template <> struct Examples<PairHidden<ReluUnit>> {
  static OpExamples all() {
    return pair_examples("pair_hidden", pair_hidden, [](double z) { return std::max(0.0, z); });
  }
};

template <> struct Examples<PairHidden<TanhUnit>> {
  static OpExamples all() {
    return pair_examples("pair_hidden_tanh", pair_hidden_tanh, [](double z) { return std::tanh(z); });
  }
};

template <> struct Examples<ExpressiveWeights> {
  static OpExamples all() {
    OpExamples examples{.op = "expressive_weights", .rows = {}, .errors = {}};
    const auto row = [&](const MaskedCase& c, bool alibi = false) {
      examples.rows.push_back({.label = c.label,
                               .function = [=, mask = c.mask()](const std::vector<Tensor>& x) {
                                 return expressive_weights(c.forbidden_nan ? with_nan(c, x[0]) : x[0], mask, alibi);
                               },
                               .inputs = {{c.scores, -1.875, 1.875, 0.25}},   // a row of zeros has no derivative
                               .reference = [=](const Arrays& in) { return reference(c, alibi, in[0]); },
                               .may_vanish = c.may_vanish});
    };
    row({"no mask", {2, 2, 3, 4}});
    row({"ALiBi", {2, 3, 4, 4}}, true);
    row({"ALiBi, causal, cached keys", {1, 2, 3, 7}, true, 4}, true);
    row({"causal", {2, 3, 5, 5}, true});
    row({"causal, first rows see nothing", {1, 2, 5, 4}, true, -2});
    row({"causal, nothing seen at all", {1, 1, 2, 2}, true, -5, {}, true});
    row({"padded keys", {2, 2, 3, 5}, false, 0, {1, 1, 0, 1, 0, 0, 1, 1, 1, 1}});
    row({"a batch without keys", {2, 1, 3, 3}, false, 0, {0, 0, 0, 1, 0, 1}});
    row({"causal and padded keys, ALiBi", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}}, true);
    row({"NaN where keys are padded", {2, 2, 3, 4}, false, 0, {0, 1, 1, 1, 1, 1, 0, 1}, false, true});
    row({"one key", {1, 1, 1, 1}, false, 0, {}, true});
    row({"no keys", {1, 2, 3, 0}});
    row({"no queries", {2, 1, 0, 3}});
    row({"several ranges", {2, 2, 150, 120}, true, 10, std::vector<uint8_t>(240, 1)}, true);
    row({"window", {2, 2, 6, 7}, false, 0, {}, false, false, 2});
    row({"window, causal and padded keys, ALiBi", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}, false, false, 2}, true);
    row({"NaN outside of the window", {2, 2, 5, 6}, true, 1, {}, false, true, 2});

    const auto bad = [&](const Shape& scores, const Mask& mask, const std::vector<std::string>& words) {
      examples.errors.push_back({[=] { expressive_weights(zeros(scores), mask, false); }, words});
    };
    bad({2, 3, 4}, {}, {"expressive_weights", "(B,H,T,S)", "[2,3,4]"});
    const auto keys = [](const Tensor& present) { return Mask{.causal = false, .offset = 0, .keys = present}; };
    bad({2, 1, 3, 4}, keys(u8({1, 1}, {2, 1})), {"expressive_weights", "u8[2,4]", "u8[2,1]"});
    bad({2, 1, 3, 1}, keys(i32({1, 1}, {2, 1})), {"expressive_weights", "u8[2,1]", "i32[2,1]"});
    return examples;
  }

 private:
  static Array reference(const MaskedCase& c, bool alibi, const Array& z) {
    const auto mass = [&](const Index& i) {
      const double square = std::pow(at(z, i), 2), heads = static_cast<double>(c.scores[1]);
      const double slope = alibi ? std::pow(2.0, -8.0 * static_cast<double>(i[1] + 1) / heads) : 0;
      const double distance = std::fabs(static_cast<double>(i[2] + c.offset - i[3]));
      return allowed(c, i[0], i[2], i[3]) ? std::exp(-slope * distance) * square / (1 + square) : 0.0;
    };
    return by_rows(build(c.scores, mass), c.scores, [](std::vector<double> row) {
      double total = 0;
      for (const double value : row) total += value;
      for (double& value : row) value = total > 0 ? value / total : 0;
      return row;
    });
  }
};

template <> struct Examples<Mix> {
  static OpExamples all() {
    OpExamples examples{.op = "mix", .rows = {}, .errors = {}, .strided_bits = false};
    const auto row = [&](const MaskedCase& c, int64_t D) {
      examples.rows.push_back(
          {.label = c.label,
           .function = [=, mask = c.mask()](const std::vector<Tensor>& in) {
             return mix(mask.hides() ? with_forbidden(c, in[0], 0) : in[0], in[1], mask);
           },
           .inputs = {{c.scores}, {{c.scores[0], c.scores[1], c.scores[3], D}}},
           .reference = [=](const Arrays& in) {
             return build(c.scores.with(3, D), [&](const Index& i) {
               double sum = 0;
               for (int64_t s = 0; s < c.scores[3]; ++s)
                 if (allowed(c, i[0], i[2], s)) sum += at(in[0], {i[0], i[1], i[2], s}) * at(in[1], {i[0], i[1], s, i[3]});
               return sum;
             });
           },
           .may_vanish = c.may_vanish,
           .relative_f32 = 1e-5});
    };
    row({"no mask", {2, 2, 3, 4}}, 5);
    row({"causal", {2, 3, 5, 5}, true}, 4);
    row({"causal, cached keys", {1, 2, 3, 7}, true, 4}, 3);
    row({"causal, nothing seen at all", {1, 1, 2, 2}, true, -5, {}, true}, 2);
    row({"causal and padded keys", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}}, 3);
    row({"one key", {1, 1, 1, 1}}, 1);
    row({"no keys", {1, 2, 3, 0}}, 4);
    row({"no queries", {2, 1, 0, 3}}, 4);
    row({"no values", {2, 1, 2, 3}}, 0);
    row({"several ranges", {2, 2, 150, 120}, true, 10, std::vector<uint8_t>(240, 1)}, 16);
    row({"window", {1, 2, 6, 7}, false, 0, {}, false, false, 2}, 3);
    const auto bad = [&](const Shape& A, const Shape& V, const std::vector<std::string>& words) {
      examples.errors.push_back({[=] { mix(zeros(A), zeros(V), {}); }, words});
    };
    bad({2, 3, 4}, {2, 4, 5}, {"mix", "(B,H,T,S)", "[2,3,4]", "[2,4,5]"});
    bad({2, 1, 3, 4}, {2, 1, 3, 4}, {"mix", "[2,1,3,4]"});
    examples.errors.push_back({[] { mix(zeros({2, 1, 3, 4}), zeros({2, 1, 4, 1}), {.keys = u8({1, 1}, {2, 1})}); },
                               {"mix", "u8[2,4]", "u8[2,1]"}});
    return examples;
  }
};

template <> struct Examples<Rotary> {
  static OpExamples all() {
    OpExamples examples{.op = "rotary", .rows = {}, .errors = {}, .smallest = 2};   // a pair of channels
    const auto row = [&](const std::string& label, const Shape& shape, int64_t offset = 0) {
      examples.rows.push_back(
          {.label = label, .function = [offset](const std::vector<Tensor>& x) { return rotary(x[0], offset); },
           .inputs = {{shape}}, .reference = [offset](const Arrays& in) { return reference(in[0], offset); }});
    };
    row("one token", {1, 2});
    examples.rows.back().nan_elsewhere = true;   // the turn by 0 has a sine of 0
    row("one token, far away", {1, 2}, 100000);
    row("tokens", {5, 6});
    row("heads, with offset", {2, 3, 4, 8}, 7);
    row("no token", {2, 0, 4});
    row("no channel", {2, 3, 0});
    row("no batch", {0, 3, 4});
    row("several ranges", {2, 700, 64});
    for (const Shape& shape : {Shape{4}, Shape{3, 5}})
      examples.errors.push_back(
          {[=] { rotary(zeros(shape)); }, {"rotary", "(…,T,D) with an even D", text(shape)}});
    return examples;
  }

 private:
  // Channels 2i and 2i + 1 turned by (t + offset) / 10000^(2i/D)
  static Array reference(const Array& x, int64_t offset) {
    const int64_t D = x.shape[-1];
    return build(x.shape, [&](const Index& at_y) {
      Index first = at_y, second = at_y;
      first.back() = at_y.back() / 2 * 2;
      second.back() = first.back() + 1;
      const double place = static_cast<double>(at_y[at_y.size() - 2] + offset);
      const double angle = place / std::pow(10000.0, static_cast<double>(first.back()) / static_cast<double>(D));
      const double a = at(x, first), b = at(x, second);
      return at_y.back() % 2 ? a * std::sin(angle) + b * std::cos(angle) : a * std::cos(angle) - b * std::sin(angle);
    });
  }
};

}  // namespace tapir

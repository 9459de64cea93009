// Fused ops of attention/.
#pragma once
#include "attention/all_ops.h"
#include "attention/pair_hidden.h"
#include "attention/rotary.h"
#include "tests/examples.h"

namespace tapir {

template <> struct Examples<PairHidden> {
  static OpExamples all() {
    OpExamples examples{.op = "pair_hidden", .rows = {}, .errors = {}};
    const auto row = [&](const std::string& label, const Shape& a, const Shape& c, const Shape& weight, bool causal = false,
                         int64_t offset = 0) {
      const Mask mask{.causal = causal, .offset = offset, .keys = {}};
      // a on a grid of quarters and c between its lines: every sum a + c keeps 1/8 from the kink.
      examples.rows.push_back(
          {.label = label, .function = [mask](const std::vector<Tensor>& x) { return pair_hidden(x[0], x[1], x[2], mask); },
           .inputs = {{a, -2, 2, 0.25}, {c, -1.875, 1.875, 0.25}, {weight}},
           .reference = [causal, offset](const Arrays& in) { return reference(in, causal, offset); }, .may_vanish = true,
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

    const auto bad = [&](const Shape& a, const Shape& c, const Shape& weight, const std::vector<std::string>& words) {
      examples.errors.push_back({[=] { pair_hidden(zeros(a), zeros(c), zeros(weight), {}); }, words});
    };
    bad({2, 3, 4}, {2, 1, 3, 4}, {1, 1, 4}, {"pair_hidden", "[2,3,4]", "[2,1,3,4]", "[1,1,4]"});
    bad({2, 1, 3, 4}, {2, 1, 3, 5}, {1, 1, 4}, {"pair_hidden", "[2,1,3,5]"});
    bad({2, 1, 3, 4}, {1, 1, 3, 4}, {1, 1, 4}, {"pair_hidden", "[1,1,3,4]"});
    bad({2, 3, 3, 4}, {2, 3, 3, 4}, {2, 1, 4}, {"pair_hidden", "weight (1 or H,R,M)", "[2,1,4]"});
    bad({2, 3, 3, 4}, {2, 3, 3, 4}, {1, 1, 5}, {"pair_hidden", "[1,1,5]"});
    return examples;
  }

 private:
  // y_rts = Σ_k W_rk max(0, a_tk + c_sk), pair by pair
  static Array reference(const Arrays& in, bool causal, int64_t offset) {
    const Array &a = in[0], &c = in[1], &weight = in[2];
    const int64_t units = a.shape[3], heads = weight.shape[0];
    return build({a.shape[0], a.shape[1], weight.shape[1], a.shape[2], c.shape[2]}, [&](const Index& i) {
      const int64_t b = i[0], h = i[1], r = i[2], t = i[3], s = i[4];
      double y = 0;
      if (causal && s > t + offset) return y;
      for (int64_t k = 0; k < units; ++k)
        y += at(weight, {heads == 1 ? 0 : h, r, k}) * std::max(0.0, at(a, {b, h, t, k}) + at(c, {b, h, s, k}));
      return y;
    });
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

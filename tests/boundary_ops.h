// The boundary set of products, reductions, scans, softmax, shapes, indices, norms, losses and attention.
#pragma once
#include "attention/all_ops.h"
#include "attention/expressive_weights.h"
#include "attention/fused_attention.h"
#include "tests/boundary_functions.h"

namespace tapir::boundary {

// ---- matrix products: every product counts, also 0 · NaN; other rows and columns are untouched ----------------------

template <>
struct Boundary<Matmul> {
  static Cases cases(double) {
    return {
        two("", matmul, {{2, 2}, {nan, 1, 1, 2}}, {{2, 2}, {1, 0, 0, 1}}, {nan, nan, 1, 2}, {1, 1, 1, 1}, {nan, nan, 3, 3}),
        two("", matmul, {{2, 2}, {1, 0, 1, 2}}, {{2, 2}, {1, 3, inf, 1}}, {nan, 3, inf, 5}, {4, inf, 4, inf},
            {2, 2, 2, 2})};
  }
};

template <>
struct Boundary<Linear> {
  static Cases cases(double) {
    return {two("", linear, {{2, 2}, {1, 2, inf, 0}}, {{2, 2}, {1, 1, nan, 0}}, {3, nan, inf, nan}, {nan, 1, nan, 1},
                {inf, 2, inf, 2})};
  }
};

// ---- reductions ------------------------------------------------------------------------------------------------------

template <>
struct Boundary<Sum> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return sum(x, 1); }, {{4, 2}, {inf, -inf, nan, 1, -0.0, 0, s, s}},
                {nan, nan, 0, 2 * s}, {1, 1, 1, 1, 1, 1, 1, 1}),
            one("of none", [](const Tensor& x) { return sum(x); }, Input(Shape{0}, Values{}), {0}, {}),
            one("norm 1", [](const Tensor& x) { return norm(x, 1); }, {0, -0.0, s, -2}, {2}, {0, 0, 1, -1})};
  }
};

template <>
struct Boundary<SumTo> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return sum_to(x, {2}); }, {{2, 2}, {nan, 1, 2, inf}}, {nan, inf}, {1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Var> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return var(x, 1); }, {{4, 2}, {3, 3, nan, 1, 1, 3, inf, 1}}, {0, nan, 2, nan},
                {0, 0, nan, nan, -2, 2, nan, -inf})};
  }
};

template <>
struct Boundary<Extreme<1>> {  // NaN is the largest
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return max(x, 1); },
                {{6, 3}, {1, 1, 1, 0, -0.0, -1, nan, 1, 2, -inf, -inf, -inf, inf, 0, inf, -s, -1, s}},
                {1, 0, nan, -inf, inf, s},
                {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0, 0.5, 0, 0, 1}),
            one("NaN last", [](const Tensor& x) { return max(x); }, {1, 2, nan}, {nan}, {0, 0, 1}),
            one("norm ∞", [](const Tensor& x) { return norm(x, inf, 1); }, {{4, 2}, {0, -0.0, -1, 1, -inf, 0, nan, 1}},
                {0, 1, inf, nan}, {0, 0, -0.5, 0.5, -1, 0, 0, 0})};
  }
};

template <>
struct Boundary<Extreme<-1>> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return min(x, 1); },
                {{5, 3}, {1, 1, 1, 0, 0, 1, nan, 1, 2, inf, inf, inf, s, 1, -s}}, {1, 0, nan, inf, -s},
                {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0, 1})};
  }
};

template <>
struct Boundary<Norm> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return norm(x, 2, 1); }, {{5, 2}, {0, -0.0, s, 0, nan, 1, 3, -4, inf, 1}},
                {0, s, nan, 5, inf}, {0, 0, 1, 0, nan, nan, 0.6, -0.8, nan, 0}),
            one("of none", [](const Tensor& x) { return norm(x, 2); }, Input(Shape{0}, Values{}), {0}, {})};
  }
};

// ---- running totals: nothing before NaN feels it ----------------------------------------------------------------------

template <>
struct Boundary<CumSum> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return cumsum(x, 0); }, {1, nan, 2}, {1, nan, nan}, {3, 2, 1}),
            one("∞", [](const Tensor& x) { return cumsum(x, 0); }, {1, inf, -inf}, {1, inf, nan}, {3, 2, 1}),
            one("reverse", [](const Tensor& x) { return cumsum(x, 0, true); }, {1, nan, 2}, {nan, nan, 2}, {1, 2, 3})};
  }
};

template <>
struct Boundary<LogCumSumExp> {
  static Cases cases(double) {
    const auto f = [](const Tensor& x) { return logcumsumexp(x, 0); };
    return {one("−∞ alone", f, {-inf, -inf}, {-inf, -inf}, {0, 0}),
            one("−∞ first", f, {-inf, -inf, 0}, {-inf, -inf, 0}, {0, 0, 1}), one("−∞ last", f, {0, -inf}, {0, 0}, {2, 0}),
            one("∞", f, {-inf, 0, inf, 1}, {-inf, 0, inf, inf}, {0, 1, inf, 0}),
            one("NaN", f, {0, nan, 1}, {0, nan, nan}, {nan, nan, nan})};
  }
};

template <>
struct Boundary<LinearRecurrence> {
  static Cases cases(double) {
    return {two("", [](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 0); }, {0.5, 0.5, 0.5},
                {1, nan, 2}, {1, nan, nan}, {0, 1.5, nan}, {1.75, 1.5, 1}),
            two("cut by a = 0", [](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 0); }, {1, 0, 1},
                {1, 2, 3}, {1, 2, 5}, {0, 2, 2}, {1, 2, 1})};
  }
};

// ---- softmax and its kin: a row of −∞ has the weights 0 -----------------------------------------------------------------

template <>
struct Boundary<LogSumExp> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return logsumexp(x); }, {{5, 2}, {-inf, -inf, -inf, 1, inf, 0, nan, 0, 0, 0}},
                {-inf, 1, inf, nan, M_LN2}, {0, 0, 0, 1, inf, 0, nan, nan, 0.5, 0.5})};
  }
};

template <>
struct Boundary<Softmax> {
  static Cases cases(double) {
    const auto causal = [](const Tensor& x) {
      return softmax(reshape(x, {1, 1, 2, 2}), Mask{.causal = true, .offset = -1});
    };
    return {one("", [](const Tensor& x) { return softmax(x); }, {{4, 2}, {-inf, -inf, -inf, 1, nan, 0, 0, 0}},
                {0, 0, 0, 1, nan, nan, 0.5, 0.5}, {0, 0, 0, 0, nan, nan, -0.5, 0.5}, {1, 2, 1, 2, 1, 2, 1, 3}),
            one("masked row", causal, {nan, nan, 3, nan}, {0, 0, 1, 0}, {0, 0, 0, 0}, {1, 2, 3, 4})};
  }
};

template <>
struct Boundary<LogSoftmax> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return log_softmax(x); }, {{4, 2}, {-inf, -inf, -inf, 1, nan, 0, 0, 0}},
                {-inf, -inf, -inf, 0, nan, nan, -M_LN2, -M_LN2}, {1, 2, 1, -1, nan, nan, -1, 1}, {1, 2, 1, 2, 1, 2, 1, 3})};
  }
};

// ---- what moves elements moves every bit --------------------------------------------------------------------------------

template <>
struct Boundary<Reshape> {
  static Cases cases(double s) {
    return {one("",
                [](const Tensor& x) {
                  return reshape(x, {3, 2});
                },
                {nan, inf, -inf, -0.0, s, -s}, {nan, inf, -inf, -0.0, s, -s}, {1, 1, 1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Transpose> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return transpose(x); }, {{2, 2}, {nan, inf, -0.0, s}}, {nan, -0.0, inf, s},
                {1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Slice> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return slice(x, 0, 1, 2); }, {nan, -0.0, inf, nan}, {-0.0, inf}, {0, 1, 1, 0})};
  }
};

template <>
struct Boundary<Pad> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return pad(x, 0, 1, 1); }, {nan, -0.0, inf}, {0, nan, -0.0, inf, 0}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Expand> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return expand(x, {2, 2}); }, {nan, -0.0}, {nan, -0.0, nan, -0.0}, {2, 2})};
  }
};

template <>
struct Boundary<Concat> {
  static Cases cases(double) {
    const auto join = [](const Tensor& a, const Tensor& b) { return concat({a, b}, 0); };
    return {two("", join, {nan, -0.0}, {inf}, {nan, -0.0, inf}, {1, 1}, {1})};
  }
};

template <>
struct Boundary<Flip> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return flip(x, 0); }, {nan, -0.0, inf}, {inf, -0.0, nan}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Tril> {  // what is cut away is 0, NaN or not
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return tril(x); }, {{2, 2}, {nan, nan, inf, -0.0}}, {nan, 0, inf, -0.0},
                {1, 0, 1, 1})};
  }
};

template <>
struct Boundary<Triu> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return triu(x); }, {{2, 2}, {nan, inf, nan, -0.0}}, {nan, inf, 0, -0.0},
                {1, 1, 0, 1})};
  }
};

// ---- elements and rows by index -----------------------------------------------------------------------------------------

template <>
struct Boundary<Embedding> {
  static Cases cases(double) {
    return {one("",
                [](const Tensor& x) {
                  return embedding(x, Tensor::from(std::vector<int32_t>{2, 0, 2}));
                },
                {{3, 1}, {-0.0, nan, inf}}, {inf, -0.0, inf}, {1, 0, 2})};
  }
};

template <>
struct Boundary<ScatterRows> {
  static Cases cases(double) {
    return {one("",
                [](const Tensor& x) {
                  return scatter_rows(x, Tensor::from(std::vector<int32_t>{2, 0, 2}), 3);
                },
                {{3, 1}, {inf, nan, -inf}}, {nan, 0, nan}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Gather> {
  static Cases cases(double) {
    const auto pick = [](const Tensor& x) { return gather(x, 0, Tensor::from(std::vector<int32_t>{2, 0, 2})); };
    const auto sorted = [](const Tensor& x) { return sort(x).values; };
    return {one("", pick, {-0.0, nan, inf}, {inf, -0.0, inf}, {1, 0, 2}),
            one("sorted: NaN is the largest", sorted, {nan, inf, -inf, 1}, {-inf, 1, inf, nan}, {4, 3, 1, 2},
                {1, 2, 3, 4})};
  }
};

template <>
struct Boundary<ScatterAdd> {
  static Cases cases(double) {
    const auto add_at = [](const Tensor& base, const Tensor& source) {
      return scatter_add(base, 0, Tensor::from(std::vector<int32_t>{2, 0, 2}), source);
    };
    return {two("", add_at, {1, 2, 0}, {inf, nan, -inf}, {nan, 2, nan}, {1, 1, 1}, {1, 1, 1})};
  }
};

// ---- layers -------------------------------------------------------------------------------------------------------------

template <>
struct Boundary<LayerNorm> {  // a constant row is its bias, without a gradient through it
  static Cases cases(double) {
    return {{"",
             [](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2]); },
             {{{2, 2}, {3, 3, nan, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, -0.5, nan, nan},
             {{0, 0, nan, nan}, {nan, nan}, {2, 2}}}};
  }
};

template <>
struct Boundary<GroupNorm> {
  static Cases cases(double) {
    return {{"",
             [](const std::vector<Tensor>& in) { return group_norm(in[0], 1, in[1], in[2]); },
             {{{2, 2}, {3, 3, nan, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, -0.5, nan, nan},
             {{0, 0, nan, nan}, {nan, nan}, {2, 2}}}};
  }
};

template <>
struct Boundary<BatchNorm> {  // NaN stays in its channel
  static Cases cases(double) {
    return {{"",
             [](const std::vector<Tensor>& in) { return batch_norm(in[0], in[1], in[2]).y; },
             {{{2, 2}, {3, nan, 3, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, nan, 0.5, nan},
             {{0, nan, 0, nan}, {0, nan}, {2, 2}}}};
  }
};

template <>
struct Boundary<RmsNorm> {  // a row of zeros: r = 1/√ε = 1000
  static Cases cases(double) {
    return {two("", [](const Tensor& x, const Tensor& weight) { return rms_norm(x, weight); }, {{2, 2}, {0, 0, nan, 1}},
                {1, 2}, {0, 0, nan, nan}, {1000, 2000, nan, nan}, {nan, nan})};
  }
};

template <>
struct Boundary<Dropout> {  // a dropped element is 0, NaN or not
  static Cases cases(double) {
    const auto drop = [](const Tensor& x) { return dropout(x, 0.5, {.seed = 1}); };
    const std::vector<double> kept = drop(Tensor::full({7}, 1, DType::f64)).values<double>();
    Values x = {nan, nan, nan, nan, inf, -inf, -0.0}, y, dx;
    for (size_t i = 0; i < x.size(); ++i) {
      y.push_back(kept[i] == 0 ? 0 : 2 * x[i]);
      dx.push_back(kept[i]);
    }
    return {one("", drop, x, y, dx)};
  }
};

template <>
struct Boundary<CrossEntropy> {
  static Cases cases(double) {
    const auto loss = [](const Tensor& x) { return cross_entropy(x, Tensor::from(std::vector<int32_t>{1, -1, 0})); };
    return {one("a class of probability 0, and a row that does not count", loss, {{3, 2}, {-inf, 0, nan, nan, 7, 7}},
                {M_LN2}, {0, 0, 0, 0, -0.5, 0.5}),
            one("the target has probability 0",
                [](const Tensor& x) { return cross_entropy(x, Tensor::from(std::vector<int32_t>{0})); },
                {{1, 2}, {-inf, 0}}, {inf}, {-1, 1})};
  }
};

template <>
struct Boundary<PairLoss<loss::SquaredError>> {
  static Cases cases(double) {
    return {two("", squared_error, {3, -0.0, 2}, {3, 0, inf}, {inf}, {0, 0, -inf}, {0, 0, inf}),
            two("NaN", squared_error, {nan, 1}, {1, 1}, {nan}, {nan, 0}, {nan, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::L1>> {
  static Cases cases(double) {
    return {two("", l1, {1, 1, inf, -0.0}, {1, 3, 0, 0}, {inf}, {0, -1, 1, 0}, {0, 1, -1, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::SmoothL1>> {
  static Cases cases(double) {
    return {two("", [](const Tensor& x, const Tensor& t) { return smooth_l1(x, t); }, {0, 2, -inf, 0.5}, {0, 0, 0, 0},
                {inf}, {0, 1, -1, 0.5}, {0, -1, 1, -0.5})};
  }
};

template <>
struct Boundary<PairLoss<loss::BceWithLogits>> {  // a right answer of any certainty costs nothing
  static Cases cases(double) {
    return {two("", bce_with_logits, {inf, -inf, 0}, {1, 0, 0.5}, {M_LN2}, {0, 0, 0}, {-inf, inf, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::KlDiv>> {
  static Cases cases(double) {
    return {two("", kl_div, {-inf, 0, 0}, {0, 0, 1}, {0}, {0, 0, -1}, {0, 0, 1})};
  }
};

// ---- attention: a row of scores 0 has no mass, and answers with 0 ------------------------------------------------------

template <>
struct Boundary<ExpressiveWeights> {
  static Cases cases(double) {
    return {one("", [](const Tensor& z) { return expressive_weights(z, {}, false); }, {{1, 1, 2, 2}, {0, -0.0, 1, 1}},
                {0, 0, 0.5, 0.5}, {0, 0, -0.5, 0.5}, {1, 2, 1, 3})};
  }
};

template <>
struct Boundary<FusedAttention<ExpressiveForm>> {
  static Cases cases(double) {
    return {{"", [](const auto& in) { return expressive_attention(in[0], in[1], in[2], {}, false); },
             {{{1, 1, 2, 2}, {0, -0.0, 1, 1}}, {{1, 1, 2, 2}, {1, 0, 0, 1}}, {{1, 1, 2, 1}, {2, 6}}}, {0, 4},
             {{0, 0, -1, 1}, {-1, -1, 1, 1}, {0.5, 0.5}}, {}}};
  }
};

template <>
struct Boundary<FusedAttention<DotProductForm>> {   // a key far below the others has no weight
  static Cases cases(double) {
    return {{"", [](const auto& in) { return dot_product_attention(in[0], in[1], in[2], {}, false); },
             {{{1, 1, 1, 1}, {1}}, {{1, 1, 3, 1}, {0, -1e30, -0.0}}, {{1, 1, 3, 1}, {1, 5, 3}}}, {2},
             {{0}, {-0.5, 0, 0.5}, {0.5, 0, 0.5}}, {}}};
  }
};

template <>
struct Boundary<FusedAttention<NetworkForm>> {   // at the kink of a unit the gradient is 0
  static Cases cases(double) {
    return {{"", [](const auto& in) { return network_attention(in[0], in[1], in[2], in[3], {}, false); },
             {{{1, 1, 1, 3}, {0, 2, 1}}, {{1, 1, 2, 3}, {-0.0, -2, 1, -1, -3, 1}}, {{1, 1, 2, 1}, {1, 3}}, {{1, 3}, {5, 5, 1}}},
             {2}, {{0, 0, 0}, {0, 0, -0.5, 0, 0, 0.5}, {0.5, 0.5}, {0, 0, 0}}, {}}};
  }
};

template <>
struct Boundary<FusedAttention<DeepNetworkForm>> {   // at the kink of a unit of the second layer, here with the first key
  static Cases cases(double) {
    return {{"", [](const auto& in) { return deep_network_attention(in[0], in[1], in[2], in[3], in[4], {}, false); },
             {{{1, 1, 1, 2}, {1, 1}}, {{1, 1, 2, 2}, {0, 0, 0, 1}}, {{1, 1, 2, 1}, {1, 3}}, {{1, 1, 2}, {1, -1}},
              {{1, 1}, {5}}},
             {2}, {{0, 0}, {0, 0, 0, 0}, {0.5, 0.5}, {0, 0}, {0}}, {}}};
  }
};

}  // namespace tapir::boundary

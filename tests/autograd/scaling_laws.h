// How each op answers when its inputs are scaled: f(2^(k d_i) x_i) = 2^(k d) f(x), or, for softmax and its kin, when a number
// is added to all of them. A law is exact mathematics, so it judges numbers of every size: test_scales.cc.
#pragma once
#include "attention/kernels/all_ops.h"
#include "autograd/examples/example.h"
#include "autograd/ops.h"

namespace tapir::scaling {

struct Input {
  Shape shape;
  std::vector<double> values;   // of a few bits, so that they are exact down to the smallest subnormal number
  int degree = 1;               // d_i
};

struct Law {
  std::string label;
  Function function;
  std::vector<Input> inputs;
  int degree;            // d of the result
  bool shifts = false;   // 2^k d_i is added to the inputs, and 2^k d to the result
  int headroom = 0;      // exponents at both ends that sums of products need, 8 times as many in f64
};

using AllLaws = std::vector<Law>;

// Not defined: an op of the lists without its laws, as `static AllLaws all()`, does not compile. An op without any says why.
template <class Op> struct Laws;

using F1 = Tensor (*)(const Tensor&);
using F2 = Tensor (*)(const Tensor&, const Tensor&);
inline Function of(F1 f) { return [f](const std::vector<Tensor>& in) { return f(in[0]); }; }
inline Function of(F2 f) { return [f](const std::vector<Tensor>& in) { return f(in[0], in[1]); }; }

inline const std::vector<double> eight{1, -2, 4, 3, -6, 1, 2, 5}, positive{1, 2, 4, 3, 6, 1, 2, 5};
inline const std::vector<double> other{3, 1, -1, 2, 4, -3, 2, 6};
inline Input row(int degree = 1) { return {{2, 4}, eight, degree}; }
inline Input row_of_other(int degree = 1) { return {{2, 4}, other, degree}; }

// ---- functions of one number: those without a law have a row in boundary_functions.h -------------------------------------

template <class F> struct Laws<Unary<F>> { static AllLaws all() { return {}; } };

#define TAPIR_POWER_LAW(Name, call, values, from, to)                                                    \
  template <> struct Laws<Unary<scalar::Name>> {                                                         \
    static AllLaws all() { return {{"", of([](const Tensor& x) { return call; }), {{{2, 4}, values, from}}, to}}; } \
  };
TAPIR_POWER_LAW(Neg, neg(x), eight, 1, 1)
TAPIR_POWER_LAW(Abs, abs(x), eight, 1, 1)
TAPIR_POWER_LAW(Square, square(x), eight, 1, 2)
TAPIR_POWER_LAW(Reciprocal, reciprocal(x), eight, 1, -1)
TAPIR_POWER_LAW(Sqrt, sqrt(x), positive, 2, 1)
TAPIR_POWER_LAW(Rsqrt, rsqrt(x), positive, 2, -1)
TAPIR_POWER_LAW(Relu, relu(x), eight, 1, 1)
TAPIR_POWER_LAW(LeakyRelu, leaky_relu(x, 0.25), eight, 1, 1)
TAPIR_POWER_LAW(Pow, pow(x, 3), eight, 1, 3)
#undef TAPIR_POWER_LAW

// ---- arithmetic ----------------------------------------------------------------------------------------------------------

#define TAPIR_LAWS(Op, ...) \
  template <> struct Laws<Op> { static AllLaws all() { return {__VA_ARGS__}; } };
#define TAPIR_MOVES(Op, call) \
  TAPIR_LAWS(Op, {"", of([](const Tensor& x) { return call; }), {row()}, 1})

TAPIR_MOVES(Identity, identity(x))
TAPIR_MOVES(Contiguous, contiguous(x))
TAPIR_MOVES(Copy, copy(x))
TAPIR_MOVES(To, to(to(x, DType::f64), x.dtype()))
TAPIR_LAWS(Add, {"", of(add), {row(), row_of_other()}, 1})
TAPIR_LAWS(Sub, {"", of(sub), {row(), row_of_other()}, 1})
TAPIR_LAWS(Mul, {"both", of(mul), {row(), row_of_other()}, 2}, {"against each other", of(mul), {row(), row_of_other(-1)}, 0})
TAPIR_LAWS(Div, {"both", of(div), {row(), row_of_other()}, 0, false, 24},   // the gradient is g reciprocal(b)
           {"the divisor", of(div), {row(0), row_of_other()}, -1})
TAPIR_MOVES(Affine, affine(x, 3, 0))
TAPIR_LAWS(Maximum, {"", of(maximum), {row(), row_of_other()}, 1})
TAPIR_LAWS(Minimum, {"", of(minimum), {row(), row_of_other()}, 1})
TAPIR_LAWS(Where, {"", of([](const Tensor& a, const Tensor& b) { return where(u8({1, 0, 0, 1}, {4}).to(a.device()), a, b); }),
                   {row(), row_of_other()}, 1})
TAPIR_LAWS(Chain, {"both", of(chain), {row(), row_of_other()}, 2})
TAPIR_LAWS(Pow)                               // the derivative by b has a logarithm; boundary_functions.h

// ---- products ------------------------------------------------------------------------------------------------------------

TAPIR_LAWS(Matmul, {"both", of([](const Tensor& a, const Tensor& b) { return matmul(a, transpose(b)); }),
                    {{{2, 4}, positive}, {{2, 4}, positive}}, 2},
           {"against each other", of([](const Tensor& a, const Tensor& b) { return matmul(a, transpose(b)); }),
            {row(), row_of_other(-1)}, 0, false, 64})
TAPIR_LAWS(Linear, {"", [](const std::vector<Tensor>& in) { return linear(in[0], in[1], in[2]); },
                    {{{2, 4}, positive}, {{2, 4}, positive, 0}, {{2}, {1, 3}}}, 1})

#define TAPIR_PRODUCT_LAWS(Op, call, shape)                                                              \
  TAPIR_LAWS(Op, {"both", of([](const Tensor& a, const Tensor& b) { return call; }),                    \
                  {{{1, 2, 2, 2}, positive}, {shape, positive}}, 2},                                    \
             {"against each other", of([](const Tensor& a, const Tensor& b) { return call; }),          \
              {{{1, 2, 2, 2}, eight}, {shape, other, -1}}, 0, false, 64})
TAPIR_PRODUCT_LAWS(Conv2d, conv2d(a, b), (Shape{1, 2, 2, 2}))
TAPIR_PRODUCT_LAWS(ConvTranspose2d, conv_transpose2d(a, b), (Shape{1, 2, 2, 2}))
TAPIR_PRODUCT_LAWS(Conv2dWeight, conv2d_weight(a, b, 1, 1), (Shape{1, 2, 2, 2}))
#undef TAPIR_PRODUCT_LAWS

// ---- sums, reductions, running totals -------------------------------------------------------------------------------------

TAPIR_LAWS(Sum, {"row", of([](const Tensor& x) { return sum(x, 1); }), {row()}, 1},
           {"all", of([](const Tensor& x) { return sum(x); }), {row()}, 1},
           {"norm 1", of([](const Tensor& x) { return norm(x, 1); }), {row()}, 1})
TAPIR_LAWS(Mean, {"row", of([](const Tensor& x) { return mean(x, 1); }), {row()}, 1},
           {"column", of([](const Tensor& x) { return mean(x, 0); }), {row()}, 1},
           {"all", of([](const Tensor& x) { return mean(x); }), {row()}, 1})
TAPIR_MOVES(SumTo, sum_to(x, {4}))
TAPIR_LAWS(Var, {"row", of([](const Tensor& x) { return var(x, 1); }), {row()}, 2},
           {"all", of([](const Tensor& x) { return var(x); }), {row()}, 2})
TAPIR_LAWS(Extreme<1>, {"row", of([](const Tensor& x) { return max(x, 1); }), {row()}, 1},
           {"norm ∞", of([](const Tensor& x) { return norm(x, HUGE_VAL); }), {row()}, 1})
TAPIR_MOVES(Extreme<-1>, min(x, 1))
TAPIR_LAWS(Norm, {"row", of([](const Tensor& x) { return norm(x, 2, 1); }), {row()}, 1},
           {"all", of([](const Tensor& x) { return norm(x, 2); }), {row()}, 1})
TAPIR_MOVES(CumSum, cumsum(x, 1))
TAPIR_LAWS(LinearRecurrence, {"", of([](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 1); }),
                              {{{2, 4}, positive, 0}, {{2, 4}, positive}}, 1})

// ---- softmax and its kin ---------------------------------------------------------------------------------------------------

inline Law shift(const std::string& label, F1 f, int degree) {
  return {label, of(f), {{{2, 4}, {0, 1, 2, 2, 3, 0, 1, 1}}}, degree, true};
}

TAPIR_LAWS(LogCumSumExp, shift("", [](const Tensor& x) { return logcumsumexp(x, 1); }, 1))
TAPIR_LAWS(LogSumExp, shift("", [](const Tensor& x) { return logsumexp(x); }, 1))
TAPIR_LAWS(Softmax, shift("", [](const Tensor& x) { return softmax(x); }, 0),
           shift("mask", [](const Tensor& x) { return softmax(reshape(x, {1, 1, 2, 4}), {.causal = true, .offset = 1}); }, 0))
TAPIR_LAWS(LogSoftmax, shift("", [](const Tensor& x) { return log_softmax(x); }, 0))
TAPIR_LAWS(CrossEntropy, shift("", [](const Tensor& x) { return cross_entropy(x, i32({3, 0}, {2})); }, 0),
           shift("smoothing",
                 [](const Tensor& x) { return cross_entropy(x, i32({3, 0}, {2}), {.label_smoothing = 0.25}); }, 0))

// ---- what moves elements ---------------------------------------------------------------------------------------------------

TAPIR_MOVES(Reshape, reshape(x, {8}))
TAPIR_MOVES(Transpose, transpose(x))
TAPIR_MOVES(Slice, slice(x, 1, 1, 2))
TAPIR_MOVES(Pad, pad(x, 1, 1, 2))
TAPIR_MOVES(Expand, expand(x, {3, 2, 4}))
TAPIR_LAWS(Concat, {"", of([](const Tensor& a, const Tensor& b) { return concat({a, b}, 0); }), {row(), row_of_other()}, 1})
TAPIR_MOVES(Flip, flip(x, 1))
TAPIR_MOVES(Unfold, unfold(reshape(x, {1, 2, 4, 1}), 2, 3, {.padding = 1}))
TAPIR_MOVES(Fold, fold(reshape(x, {1, 1, 2, 4}), 1, 3, 1, 2))
TAPIR_MOVES(Tril, tril(x))
TAPIR_MOVES(Triu, triu(x))
TAPIR_MOVES(Embedding, embedding(x, i32({1, 0, 1}, {3})))
TAPIR_MOVES(ScatterRows, scatter_rows(x, i32({1, 1}, {2}), 3))
TAPIR_LAWS(Gather, {"", of([](const Tensor& x) { return gather(x, 0, i32({1, 0, 0, 1}, {1, 4})); }), {row()}, 1},
           {"sorted", of([](const Tensor& x) { return sort(x).values; }), {row()}, 1},
           {"the largest", of([](const Tensor& x) { return topk(x, 2).values; }), {row()}, 1})
TAPIR_LAWS(ScatterAdd, {"", of([](const Tensor& a, const Tensor& b) {
                          return scatter_add(a, 0, i32({1, 1, 0, 0, 1, 0, 1, 0}, {2, 4}), b);
                        }),
                        {row(), row_of_other()}, 1})
TAPIR_MOVES(Interpolate, interpolate(x, 1, 8))
TAPIR_MOVES(InterpolateAdjoint, interpolate_adjoint(x, 1, 2))
TAPIR_LAWS(Rfft, {"", of([](const Tensor& x) { return rfft(x); }), {row()}, 1, false, 1})
TAPIR_LAWS(Irfft, {"even", of([](const Tensor& X) { return irfft(reshape(X, {4, 2}), 6); }), {row()}, 1, false, 1},
           {"odd", of([](const Tensor& X) { return irfft(reshape(X, {4, 2}), 7); }), {row()}, 1, false, 1})
TAPIR_MOVES(Dropout, dropout(x, 0.5, {.seed = 1}))

// ---- layers: without epsilon ------------------------------------------------------------------------------------------------

inline Law norm_law(const std::string& label, const Shape& x, const Shape& channels, const Function& f) {
  return {label, f, {{x, eight}, {channels, std::vector<double>(eight.begin(), eight.begin() + channels.elements()), 0},
                     {channels, std::vector<double>(other.begin(), other.begin() + channels.elements()), 0}}, 0};
}

inline double square_of(const Tensor& x) { return std::pow(max(abs(x.detach())).item(), 2); }   // an epsilon that scales
inline Law within(int headroom, Law law) {
  law.headroom = headroom;
  return law;
}

TAPIR_LAWS(LayerNorm, norm_law("", {2, 4}, {4}, [](const auto& in) { return layer_norm(in[0], in[1], in[2], 0); }),
           within(88, norm_law("epsilon", {2, 4}, {4}, [](const auto& in) {
                    return layer_norm(in[0], in[1], in[2], square_of(in[0]));
                  })))
TAPIR_LAWS(RmsNorm, {"", of([](const Tensor& x, const Tensor& weight) { return rms_norm(x, weight, 0); }),
                     {row(), {{4}, {1, 3, -1, 2}, 0}}, 0},
           {"epsilon", of([](const Tensor& x, const Tensor& weight) { return rms_norm(x, weight, square_of(x)); }),
            {row(), {{4}, {1, 3, -1, 2}, 0}}, 0, false, 88})
TAPIR_LAWS(GroupNorm, norm_law("", {1, 4, 2}, {4}, [](const auto& in) { return group_norm(in[0], 2, in[1], in[2], 0); }),
           within(88, norm_law("epsilon", {1, 4, 2}, {4}, [](const auto& in) {
                    return group_norm(in[0], 2, in[1], in[2], square_of(in[0]));
                  })))
TAPIR_LAWS(BatchNorm, norm_law("columns", {4, 2}, {2}, [](const auto& in) { return batch_norm(in[0], in[1], in[2], 1, 0).y; }),
           norm_law("runs", {2, 2, 2}, {2}, [](const auto& in) { return batch_norm(in[0], in[1], in[2], 1, 0).y; }),
           within(88, norm_law("epsilon", {4, 2}, {2}, [](const auto& in) {
                    return batch_norm(in[0], in[1], in[2], 1, square_of(in[0])).y;
                  })))

// ---- losses -----------------------------------------------------------------------------------------------------------------

TAPIR_LAWS(PairLoss<loss::SquaredError>, {"", of(squared_error), {row(), row_of_other()}, 2})
TAPIR_LAWS(PairLoss<loss::L1>, {"", of(l1), {row(), row_of_other()}, 1})
TAPIR_LAWS(PairLoss<loss::SmoothL1>)          // neither: a parabola that becomes a line; boundary_layers.h
TAPIR_LAWS(PairLoss<loss::BceWithLogits>)     // log σ; boundary_layers.h
TAPIR_LAWS(PairLoss<loss::KlDiv>)             // log p; boundary_layers.h

// ---- attention ----------------------------------------------------------------------------------------------------------------

inline Input heads(const std::vector<double>& values, int degree) { return {{1, 1, 2, 4}, values, degree}; }
inline const std::vector<double> close{1, 1, -1, 2, 1, 0, 1, 1}, near{1, 0, 1, 1, 2, 1, 0, -1};   // scores of a few units
inline const std::vector<double> apart{-3, 2, 1, -3, 1, -3, 2, 1};   // units that one key alone turns on

TAPIR_LAWS(PairHidden<ReluUnit>,
           {"features", [](const auto& in) { return pair_hidden(in[0], in[1], in[2], {}); },
            {heads(eight, 1), heads(other, 1), {{1, 1, 4}, {1, -1, 2, 3}, 0}}, 1},
           {"features against weights", [](const auto& in) { return pair_hidden(in[0], in[1], in[2], {}); },
            {heads(eight, 1), heads(other, 1), {{1, 1, 4}, {1, -1, 2, 3}, -1}}, 0, false, 64})
TAPIR_LAWS(PairHidden<TanhUnit>, {"weights", [](const auto& in) { return pair_hidden_tanh(in[0], in[1], in[2], {}); },
                                  {heads(close, 0), heads(near, 0), {{1, 1, 4}, {1, -1, 2, 3}}}, 1, false, 64})
TAPIR_LAWS(ExpressiveWeights)                 // z²/(1 + z²); boundary_layers.h
TAPIR_MOVES(Rotary, rotary(x, 0))
TAPIR_LAWS(Mix, {"both", of([](const Tensor& A, const Tensor& V) { return mix(A, V, {}); }),
                 {{{1, 1, 2, 4}, positive}, {{1, 1, 4, 2}, positive}}, 2},
           {"against each other", of([](const Tensor& A, const Tensor& V) { return mix(A, V, {}); }),
            {{{1, 1, 2, 4}, eight}, {{1, 1, 4, 2}, other, -1}}, 0, false, 64})

#define TAPIR_FUSED_LAWS(Form, call, ...)                                                                      \
  TAPIR_LAWS(FusedAttention<Form>,                                                                             \
             {"queries against keys", [](const auto& in) { return call(in[0], in[1], in[2], {}, __VA_ARGS__); }, \
              {heads(close, 1), heads(near, -1), {{1, 1, 2, 2}, {1, 5, 3, -2}, 0}}, 0, false, 64},              \
             {"values", [](const auto& in) { return call(in[0], in[1], in[2], {}, __VA_ARGS__); },             \
              {heads(close, 0), heads(near, 0), {{1, 1, 2, 2}, {1, 5, 3, -2}, 1}}, 1, false, 64})
TAPIR_FUSED_LAWS(DotProductForm, dot_product_attention, false, true)
TAPIR_FUSED_LAWS(ExpressiveForm, expressive_attention, false)
#undef TAPIR_FUSED_LAWS

TAPIR_LAWS(FusedTwicing,
           {"queries against keys", [](const auto& in) { return twicing_attention(in[0], in[1], in[2], {}, false); },
            {heads(close, 1), heads(near, -1), {{1, 1, 2, 2}, {1, 5, 3, -2}, 0}}, 0, false, 64},
           {"values", [](const auto& in) { return twicing_attention(in[0], in[1], in[2], {}, false); },
            {heads(close, 0), heads(near, 0), {{1, 1, 2, 2}, {1, 5, 3, -2}, 1}}, 1, false, 64})
TAPIR_LAWS(FusedDoublyNormalised,
           {"queries against keys", [](const auto& in) { return doubly_normalised_attention(in[0], in[1], in[2], {}, false); },
            {heads(close, 1), heads(near, -1), {{1, 1, 2, 2}, {1, 5, 3, -2}, 0}}, 0, false, 64},
           {"values", [](const auto& in) { return doubly_normalised_attention(in[0], in[1], in[2], {}, false); },
            {heads(close, 0), heads(near, 0), {{1, 1, 2, 2}, {1, 5, 3, -2}, 1}}, 1, false, 64})

TAPIR_LAWS(FusedAttention<NetworkForm>,
           {"features against weights",
            [](const auto& in) { return network_attention(in[0], in[1], in[2], in[3], {}, false); },
            {heads(close, 1), heads(apart, 1), {{1, 1, 2, 2}, {1, 5, 3, -2}, 0},
             {{1, 4}, {0.125, -0.25, 0.25, 0.125}, -1}},
            0, false, 64})
TAPIR_LAWS(FusedAttention<DeepNetworkForm>,
           {"features against weights",
            [](const auto& in) { return deep_network_attention(in[0], in[1], in[2], in[3], in[4], {}, false); },
            {heads(close, 1), heads(apart, 1), {{1, 1, 2, 2}, {1, 5, 3, -2}, 0},
             {{1, 2, 4}, {0.125, -0.25, 0.25, 0.125, 0.125, 0.25, -0.125, 0.25}, -1}, {{1, 2}, {1, -1}, 0}},
            0, false, 64})
#undef TAPIR_MOVES
#undef TAPIR_LAWS

}  // namespace tapir::scaling

// The list of all ops of autograd/. The tests sweep it: an op that is not listed does not compile, and a listed op without
// a row of examples in tests/ does not compile there. Mechanisms with fused kernels keep their own list in attention/.
#pragma once
#include <type_traits>

namespace tapir {

namespace scalar {   // tensor/scalar.h
struct Neg;
struct Exp;
struct Log;
struct Log1p;
struct Expm1;
struct Sqrt;
struct Rsqrt;
struct Abs;
struct Square;
struct Reciprocal;
struct Sin;
struct Cos;
struct Tanh;
struct Sigmoid;
struct Softplus;
struct Relu;
struct Gelu;
struct GeluTanh;
struct Silu;
struct Erf;
struct LogSigmoid;
struct Mish;
struct LeakyRelu;
struct Elu;
struct Clamp;
struct Pow;
}  // namespace scalar

namespace loss {     // ops/pair_loss.cc
struct SquaredError;
struct L1;
struct SmoothL1;
struct BceWithLogits;
struct KlDiv;
}  // namespace loss

template <class F, int order = 0> struct Unary;   // ops/unary.cc
struct Identity;                                  // ops/arithmetic.cc
struct Contiguous;
struct Copy;
struct To;
struct Add;
struct Sub;
struct Mul;
struct Div;
struct Affine;
struct Maximum;
struct Minimum;
struct Where;
struct Chain;
struct Pow;
struct Matmul;                                    // ops/matmul.cc
struct Linear;
struct Sum;                                       // ops/sum.cc
struct Mean;
struct SumTo;
struct Var;                                       // ops/reduction.cc
template <int sign> struct Extreme;
struct Norm;
struct CumSum;                                    // ops/scan.cc
struct LogCumSumExp;
struct LinearRecurrence;
struct LogSumExp;                                 // ops/softmax.cc
struct Softmax;
struct LogSoftmax;
struct Reshape;                                   // ops/shape.cc
struct Transpose;
struct Slice;
struct Pad;
struct Expand;
struct Concat;
struct Flip;
struct Tril;
struct Triu;
struct Embedding;                                 // ops/embedding.cc
struct ScatterRows;
struct Gather;                                    // ops/index.cc
struct ScatterAdd;
struct LayerNorm;                                 // ops/layer_norm.cc
struct Dropout;                                   // ops/dropout.cc
struct CrossEntropy;                              // ops/cross_entropy.cc
struct RmsNorm;                                   // ops/rms_norm.cc
struct GroupNorm;                                 // ops/group_norm.cc
struct BatchNorm;                                 // ops/batch_norm.cc
template <class F> struct PairLoss;               // ops/pair_loss.cc

template <class... Ops> struct OpList {};

using AllOps = OpList<
    Unary<scalar::Neg>, Unary<scalar::Exp>, Unary<scalar::Log>, Unary<scalar::Log1p>, Unary<scalar::Expm1>,
    Unary<scalar::Sqrt>, Unary<scalar::Rsqrt>, Unary<scalar::Abs>, Unary<scalar::Square>, Unary<scalar::Reciprocal>,
    Unary<scalar::Sin>, Unary<scalar::Cos>, Unary<scalar::Tanh>, Unary<scalar::Sigmoid>, Unary<scalar::Softplus>,
    Unary<scalar::Relu>, Unary<scalar::Gelu>, Unary<scalar::GeluTanh>, Unary<scalar::Silu>, Unary<scalar::Erf>,
    Unary<scalar::LogSigmoid>, Unary<scalar::Mish>, Unary<scalar::LeakyRelu>, Unary<scalar::Elu>, Unary<scalar::Clamp>,
    Unary<scalar::Pow>,
    Identity, Contiguous, Copy, To, Add, Sub, Mul, Div, Affine, Maximum, Minimum, Where, Chain, Pow, Matmul, Linear, Sum, Mean,
    SumTo, Var, Extreme<1>,
    Extreme<-1>, Norm, CumSum, LogCumSumExp, LinearRecurrence, LogSumExp, Softmax, LogSoftmax, Reshape, Transpose, Slice,
    Pad, Expand, Concat, Embedding, ScatterRows, LayerNorm, Dropout, CrossEntropy,
    Flip, Tril, Triu, Gather, ScatterAdd, RmsNorm, GroupNorm, BatchNorm, PairLoss<loss::SquaredError>, PairLoss<loss::L1>,
    PairLoss<loss::SmoothL1>, PairLoss<loss::BceWithLogits>, PairLoss<loss::KlDiv>>;

template <class Op, class List> inline constexpr bool contains = false;
template <class Op, class... Ops> inline constexpr bool contains<Op, OpList<Ops...>> = (std::is_same_v<Op, Ops> || ...);

// Whether the tests sweep Op. A folder with a list of its own specialises this.
template <class Op> inline constexpr bool is_listed = contains<Op, AllOps>;
template <class F, int order> inline constexpr bool is_listed<Unary<F, order>> = contains<Unary<F>, AllOps>;

}  // namespace tapir

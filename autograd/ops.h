// The ops: everything a user calls, one line of mathematics each. All are differentiable any number of times that their
// formulas allow (at least twice), take views of any strides, check what they are given, and throw an Error that names the
// function that was called and the shapes in full.
//
// Letters: x, a, b inputs; y the result. Axes may be negative: −1 is the last. Arithmetic broadcasts as NumPy does. Numbers
// are finite unless their line says more, ε is ≥ 0, NaN is in no range. An Axis is an int, a Flag a bool, a Count whole, a
// Number any number, and none of them is taken for another (tensor/argument.h): sum(x, true) does not compile.
//
// NaN in an input is NaN in every element that depends on it, however little, and in no other. What a mask hides is not read.
// Only a definition lets 0 hide NaN: x⁰ = 1, p = 0 in kl_div, and this: an element whose cotangent is 0 takes no part in the
// gradient, even where its derivative is infinite or NaN. So where() hides √x at 0 and a/b at b = 0, forwards and backwards.
// Excepted are products and rows, where 0 · NaN is NaN: matmul, linear, linear_recurrence, logcumsumexp, logsumexp, softmax,
// the norms of layers, and attention. Where an op has no derivative, the sub-gradient is the one named here.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/argument.h"
#include "tensor/mask.h"
#include "tensor/philox.h"
#include "tensor/tensor.h"

namespace tapir {

// ---- arithmetic (ops/arithmetic.cc) -------------------------------------------------------------------------------
Tensor identity(const Tensor& x);                                             // y = x, a new node
Tensor contiguous(const Tensor& x);                                           // y = x, row-major in memory
Tensor copy(const Tensor& x);                                                 // y = x, in memory of its own
Tensor to(const Tensor& x, DType type);                                       // y = x as f32 or f64
Tensor add(const Tensor& a, const Tensor& b);                                 // y = a + b
Tensor sub(const Tensor& a, const Tensor& b);                                 // y = a − b
Tensor mul(const Tensor& a, const Tensor& b);                                 // y = a b
Tensor div(const Tensor& a, const Tensor& b);                                 // y = a / b
Tensor affine(const Tensor& x, Number factor, Number shift);                  // y = factor x + shift; both may be infinite
Tensor maximum(const Tensor& a, const Tensor& b);                             // at a tie each gets half of the gradient
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);      // condition (u8): y = a where not 0, else b
Tensor pow(const Tensor& a, const Tensor& b);                                 // aᵇ; da is 0 for b = 0, db for a = 0 ≤ b
Tensor chain(const Tensor& g, const Tensor& slope);                           // g slope; 0 if g = 0, or slope = 0 and g = ±∞

// ---- functions of one number (ops/unary.cc, tensor/scalar.h) ------------------------------------------------------
Tensor neg(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor log1p(const Tensor& x);                                                // log(1 + x)
Tensor expm1(const Tensor& x);                                                // eˣ − 1
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);                                                // 1/√x
Tensor abs(const Tensor& x);                                                  // derivative 0 at 0
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);                                           // 1/x
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);                                              // 1/(1 + e⁻ˣ)
Tensor softplus(const Tensor& x);                                             // log(1 + eˣ)
Tensor relu(const Tensor& x);                                                 // max(x, 0), derivative 0 at 0
Tensor gelu(const Tensor& x);                                                 // x Φ(x), Φ the normal distribution
Tensor gelu_tanh(const Tensor& x);                                            // its approximation by tanh
Tensor silu(const Tensor& x);                                                 // x sigmoid(x)
Tensor erf(const Tensor& x);
Tensor log_sigmoid(const Tensor& x);                                          // −log(1 + e⁻ˣ)
Tensor mish(const Tensor& x);                                                 // x tanh(softplus(x))
Tensor leaky_relu(const Tensor& x, Number slope = 0.01);                      // x where x > 0, else slope x; slope at 0
Tensor elu(const Tensor& x, Number alpha = 1);                                // x where x > 0, else α (eˣ − 1); α at 0
Tensor clamp(const Tensor& x, Number low, Number high);                       // bounds may be infinite; derivative 1 there
Tensor pow(const Tensor& x, Number exponent);                                 // xᵖ; NaN for x < 0 unless p is whole; x⁰ = 1
Tensor finite(const Tensor& x);                                               // ±∞ as the largest numbers of the type

// ---- matrix products (ops/matmul.cc) ------------------------------------------------------------------------------
Tensor matmul(const Tensor& a, const Tensor& b);                              // (…,M,K) (…,K,N) → (…,M,N); batch broadcasts
Tensor linear(const Tensor& x, const Tensor& weight);                         // (…,I) (O,I) → (…,O)      y = x Wᵀ
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);     // bias (O):                y = x Wᵀ + b

// ---- sums (ops/sum.cc) --------------------------------------------------------------------------------------------
Tensor sum(const Tensor& x);                                                  // of all elements, rank 0
Tensor sum(const Tensor& x, Axis axis, Flag keep = false);                    // keep: the axis stays, with extent 1
Tensor mean(const Tensor& x);                                                 // of no element: NaN
Tensor mean(const Tensor& x, Axis axis, Flag keep = false);
Tensor sum_to(const Tensor& x, const Shape& shape);                           // the adjoint of expand

// ---- other reductions (ops/reduction.cc): of all elements, or along an axis, which stays with extent 1 if `keep` ------
Tensor var(const Tensor& x);                                                  // Σ (x − mean)²/(n − 1)
Tensor var(const Tensor& x, Axis axis, Number correction = 1, Flag keep = false);   // Σ (x − mean)²/(n − correction > 0)
Tensor max(const Tensor& x);                                                  // equal largest share the gradient equally
Tensor max(const Tensor& x, Axis axis, Flag keep = false);
Tensor min(const Tensor& x);
Tensor min(const Tensor& x, Axis axis, Flag keep = false);
Tensor norm(const Tensor& x, Number p);                                       // p = 1, 2, ∞; gradient 0 at the zero vector
Tensor norm(const Tensor& x, Number p, Axis axis, Flag keep = false);

// ---- running totals along an axis (ops/scan.cc) -------------------------------------------------------------------
Tensor cumsum(const Tensor& x, Axis axis, Flag reverse = false);              // y_t = Σ_{s ≤ t} x_s; reverse: s ≥ t
Tensor logcumsumexp(const Tensor& x, Axis axis);                              // y_t = log Σ_{s ≤ t} exp x_s
// y_t = a_t y_{t−1} + b_t, from y_{−1} = 0; reverse: y_t = a_t y_{t+1} + b_t. a and b of one shape
Tensor linear_recurrence(const Tensor& a, const Tensor& b, Axis axis, Flag reverse = false);

// ---- softmax and its kin, along the last axis (ops/softmax.cc) ----------------------------------------------------
Tensor logsumexp(const Tensor& x);                                            // (…,S) → (…)
Tensor log_softmax(const Tensor& x);
Tensor softmax(const Tensor& x);
// Weights of attention, E (B,H,T,S):  A_ts = exp(E_ts) / Σ_allowed exp(E_ts′); 0 where the mask forbids, and in rows where
// nothing is allowed. Forbidden scores are never read.
Tensor softmax(const Tensor& scores, const Mask& mask);

// ---- shapes (ops/shape.cc): views without a copy up to expand, and permute ------------------------------------------
Tensor reshape(const Tensor& x, const Shape& shape);                          // one extent may be −1: what is left
Tensor transpose(const Tensor& x, Axis a = -2, Axis b = -1);                  // axes a and b change places
Tensor slice(const Tensor& x, Axis axis, Count begin, Count length);
Tensor expand(const Tensor& x, const Shape& shape);                           // repeats axes of extent 1
Tensor concat(const std::vector<Tensor>& parts, Axis axis);
Tensor stack(const std::vector<Tensor>& parts, Axis axis);                    // equal shapes; axis: the new one, in y
Tensor pad(const Tensor& x, Axis axis, Count before, Count after);            // zeros around
Tensor permute(const Tensor& x, const std::vector<int>& axes);                // axis a of y is axis axes[a] of x
Tensor flip(const Tensor& x, Axis axis);                                      // a copy, last element first
// Of the last two axes, (…,M,N): a copy where j − i ≤ k (tril) or j − i ≥ k (triu), else exactly 0, even where x is NaN.
Tensor tril(const Tensor& x, Count k = 0);
Tensor triu(const Tensor& x, Count k = 0);

// ---- rows by index (ops/embedding.cc): indices i32 of any shape (…) -----------------------------------------------
Tensor embedding(const Tensor& table, const Tensor& indices);                 // (V,C), (…) → (…,C)
Tensor scatter_rows(const Tensor& rows, const Tensor& indices, Count size);   // (…,C), (…) → (size,C): equal ones add up

// ---- elements by index (ops/index.cc): indices i32; an Error tells the first one out of range, and its place ------
// In three axes, with axis = 1: y[i][k][j] = x[i][indices[i][k][j]][j]. Beside the axis the indices have the shape of x.
Tensor gather(const Tensor& x, Axis axis, const Tensor& indices);
Tensor index_select(const Tensor& x, Axis axis, const Tensor& indices);       // indices (K): … = x[i][indices[k]][j]
// y = base, then y[i][indices[i][k][j]][j] += source[i][k][j] in the order of k, whatever the threads; adjoint of gather.
Tensor scatter_add(const Tensor& base, Axis axis, const Tensor& indices, const Tensor& source);

struct Sorted {
  Tensor values, indices;   // values = gather(x, axis, indices); the indices are i32 and have no gradient
};
Sorted sort(const Tensor& x, Axis axis = -1, Flag descending = false);        // stable; NaN counts as the largest number
Sorted topk(const Tensor& x, Count k, Axis axis = -1);                        // the k largest, as sorted descending

// ---- layers -------------------------------------------------------------------------------------------------------
// y = weight (x − mean)/√(variance + epsilon) + bias along the last axis; weight, bias (C)      Ba et al. 2016, eq. 4
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Number epsilon = 1e-5);
// y = x/(1 − p) with probability 1 − p, else 0, p in [0, 1); element i draws Philox at (key, i)   Srivastava et al. 2014
Tensor dropout(const Tensor& x, Number p, const RandomKey& key);
// y = weight x/√(mean x² + epsilon) along the last axis; weight (C)                          Zhang & Sennrich 2019, eq. 4
Tensor rms_norm(const Tensor& x, const Tensor& weight, Number epsilon = 1e-6);
// As layer_norm, but mean and variance are those of one of `groups` groups of consecutive channels, over all their places.
// x (B,C,…), weight and bias (C), groups divides C                                              Wu & He 2018, eq. 7
Tensor group_norm(const Tensor& x, Count groups, const Tensor& weight, const Tensor& bias, Number epsilon = 1e-5);
// As layer_norm, but for each channel (an index of `axis`, C of them) over all else; weight, bias (C).
// Running statistics take mean and variance n/(n − 1), n = x.elements()/C; no gradient there.   Ioffe & Szegedy 2015
struct BatchNormed {
  Tensor y, mean, variance;   // as x, (C), (C): Σ (x − mean)²/n
};
BatchNormed batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Axis axis = 1, Number epsilon = 1e-5);
// The same with a given mean and variance (C), for inference.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& variance,
                  Axis axis = 1, Number epsilon = 1e-5);

// ---- losses (ops/cross_entropy.cc, ops/pair_loss.cc): sums over rows or elements, not means -----------------------
// The caller divides, once, by the count of the whole batch: sums of its parts (accumulated steps, several machines) add up
// to the loss of the whole; means of parts of different size do not.
//
// Σ_n −log softmax(logits_n)[target_n] over the rows whose target is not `ignored`; logits (…,V), targets i32 (…).
// label_smoothing ε in [0, 1]: the target distribution is (1 − ε) onehot + ε/V                  Szegedy et al. 2016, § 7
struct CrossEntropyOptions {
  int32_t ignored = -1;
  double label_smoothing = 0;
};
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options = {});
// x and target of one shape. The gradient of target, where wanted, is right too.
Tensor squared_error(const Tensor& x, const Tensor& target);                  // Σ (x − t)²
Tensor l1(const Tensor& x, const Tensor& target);                             // Σ |x − t|, derivative 0 at 0
// Σ d²/(2 beta) where |d| < beta, else |d| − beta/2; d = x − t, beta > 0                         Girshick 2015, eq. 3
Tensor smooth_l1(const Tensor& x, const Tensor& target, Number beta = 1);
// Σ −t log σ(x) − (1 − t) log σ(−x), σ the sigmoid, x of any size: a right answer costs e^−|x|, a wrong one |x|
Tensor bce_with_logits(const Tensor& x, const Tensor& target);
Tensor kl_div(const Tensor& log_q, const Tensor& p);                          // Σ p (log p − log q); 0 where p = 0, and dp

}  // namespace tapir

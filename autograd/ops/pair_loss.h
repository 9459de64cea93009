// Losses of x and a target of one shape: sums over elements, not means (autograd/ops.h).
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// x and target of one shape. The gradient of target, where wanted, is right too.
Tensor squared_error(const Tensor& x, const Tensor& target);                  // Σ (x − t)²
Tensor l1(const Tensor& x, const Tensor& target);                             // Σ |x − t|, derivative 0 at 0
// Σ d²/(2 beta) where |d| < beta, else |d| − beta/2; d = x − t, beta > 0                         Girshick 2015, eq. 3
Tensor smooth_l1(const Tensor& x, const Tensor& target, Number beta = 1);
// Σ −t log σ(x) − (1 − t) log σ(−x), σ the sigmoid, x of any size: a right answer costs e^−|x|, a wrong one |x|
Tensor bce_with_logits(const Tensor& x, const Tensor& target);
Tensor kl_div(const Tensor& log_q, const Tensor& p);                          // Σ p (log p − log q); 0 where p = 0, and dp

namespace loss {
struct SquaredError;
struct L1;
struct SmoothL1;
struct BceWithLogits;
struct KlDiv;
}  // namespace loss

template <class F> struct PairLoss;
using PairLossOps = OpList<PairLoss<loss::SquaredError>, PairLoss<loss::L1>, PairLoss<loss::SmoothL1>,
                           PairLoss<loss::BceWithLogits>, PairLoss<loss::KlDiv>>;
template <OneOf<PairLossOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

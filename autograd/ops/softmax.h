// Softmax and its kin, along the last axis.
#pragma once
#include "autograd/op_list.h"
#include "tensor/mask.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor logsumexp(const Tensor& x);                                            // (…,S) → (…)
Tensor log_softmax(const Tensor& x);
Tensor softmax(const Tensor& x);
// Weights of attention, E (B,H,T,S):  A_ts = exp(E_ts) / Σ_allowed exp(E_ts′); 0 where the mask forbids, and in rows where
// nothing is allowed. Forbidden scores are never read.
Tensor softmax(const Tensor& scores, const Mask& mask);

struct LogSumExp;
struct Softmax;
struct LogSoftmax;
using SoftmaxOps = OpList<LogSumExp, Softmax, LogSoftmax>;
template <OneOf<SoftmaxOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

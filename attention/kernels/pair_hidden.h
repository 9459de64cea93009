// The pairwise hidden layer of score networks, without ever storing a value for each pair and unit.
#pragma once
#include "autograd/op_list.h"
#include "tensor/mask.h"
#include "tensor/tensor.h"

namespace tapir {

// y_rts = Σ_k W_rk h(a_tk + c_sk);  0 where the mask is causal and forbids (t,s)
//
// Letters: B batch, H heads, T queries, S keys, M units of the layer, R outputs.
// a (B,H,T,M), c (B,H,S,M), weight (1 or H,R,M): one for all heads or one for each. Returns (B,H,R,T,S).
// Throws Error when shapes do not fit. Differentiable twice; ReLU′(0) = 0.
//
// The backward sums over pairs, with h and its slope h′ at a_tk + c_sk:
//   F_rtk = Σ_s g_rts h′_tsk,  G_rsk = Σ_t g_rts h′_tsk,  P_rtk = Σ_s g_rts h_tsk
//   da_tk = Σ_r W_rk F_rtk,    dc_sk = Σ_r W_rk G_rsk,    dW_rk = Σ_t P_rtk
// Since ReLU(z) = z ReLU′(z), it needs no P:  dW_rk = Σ_t a_tk F_rtk + Σ_s c_sk G_rsk
Tensor pair_hidden(const Tensor& a, const Tensor& c, const Tensor& weight, const Mask& mask);        // h = ReLU
Tensor pair_hidden_tanh(const Tensor& a, const Tensor& c, const Tensor& weight, const Mask& mask);   // h = tanh

struct ReluUnit;
struct TanhUnit;
template <class Unit> struct PairHidden;
using PairHiddenOps = OpList<PairHidden<ReluUnit>, PairHidden<TanhUnit>>;
template <OneOf<PairHiddenOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

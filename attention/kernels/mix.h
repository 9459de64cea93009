// The last stage of attention under a mask, what a mask hides from every query, and scores that no softmax sees.
#pragma once
#include "autograd/op_list.h"
#include "tensor/mask.h"
#include "tensor/tensor.h"

namespace tapir {

// Below every score, yet a number: beside any other score its exponential is 0, and no op has an infinite result that a search for
// anomalies would have to tell from a fault.
inline constexpr double below_all_scores = -1e30;

// Scores E (…,T,S), but below_all_scores for the key at the place of the query, s = t + offset.
Tensor without_own(const Tensor& E, int64_t offset);

// y_t = Σ_s A_ts v_s                         A (B,H,T,S), 0 where the mask hides; V (B,H,S,D) → (B,H,T,D)
// Over the keys that query t may see: of the others no value is read, where 0 · NaN would be NaN. Throws Error when shapes do
// not fit. Differentiable twice:  dA = g Vᵀ,  dV = Aᵀ g
Tensor mix(const Tensor& A, const Tensor& V, const Mask& mask);

// x (…,T,S), but 0 where causality or the window hides key s from query t, whatever stands there.
Tensor in_reach(const Tensor& x, const Mask& mask);

// x (B,…,S,C), but 0 at the keys that mask.keys (B,S) hides, whatever stands there, and no gradient to them. x itself where
// mask.keys is undefined.
Tensor without_hidden(const Tensor& x, const Mask& mask);

// Of S keys, 1 where they are there and 0 where mask.keys hides them: (B,1,S,1), or (1,1,S,1) where all are there; of like's type.
Tensor keys_there(const Mask& mask, int64_t S, const Tensor& like);

// x (B,…,S,C), of keys → (B,…,T,C): to query t the sum over keys s ≤ t + offset under a causal mask, else over all.
Tensor sum_to_each(const Tensor& x, int64_t T, const Mask& mask);

struct Mix;
using MixOps = OpList<Mix>;
template <OneOf<MixOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

// Heads of attention. Letters: B batch, H heads, G heads of keys, T tokens, D head width.
#pragma once
#include "tensor/tensor.h"

namespace tapir {

Tensor split_heads(const Tensor& x, int64_t heads);    // (B,T,H·D) → (B,H,T,D)
Tensor merge_heads(const Tensor& x);                   // (B,H,T,D) → (B,T,H·D)
Tensor beside(const Tensor& x, const Tensor& y, int64_t heads);   // (B,T,H·D), (B,T,H·E) → (B,T,H·(D+E)), head by head
Tensor repeat_heads(const Tensor& x, int64_t heads);   // (B,G,T,D) → (B,H,T,D), each H/G times in a row    Ainslie et al. 2023

}  // namespace tapir

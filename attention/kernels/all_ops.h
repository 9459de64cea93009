// All ops of attention/, for the tests.
#pragma once
#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/fused_attention.h"
#include "attention/kernels/mix.h"
#include "attention/kernels/pair_hidden.h"
#include "attention/kernels/rotary.h"

namespace tapir {

using AttentionOps = decltype(PairHiddenOps{} + ExpressiveWeightsOps{} + RotaryOps{} + MixOps{} + FusedAttentionOps{});

}  // namespace tapir

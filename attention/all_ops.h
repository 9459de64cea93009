// The list of the fused ops of attention/, swept by the tests like that of autograd/.
#pragma once
#include "autograd/all_ops.h"

namespace tapir {

struct PairHidden;   // pair_hidden.cc
struct Rotary;       // rotary.cc

using AttentionOps = OpList<PairHidden, Rotary>;

template <> inline constexpr bool is_listed<PairHidden> = contains<PairHidden, AttentionOps>;
template <> inline constexpr bool is_listed<Rotary> = contains<Rotary, AttentionOps>;

}  // namespace tapir

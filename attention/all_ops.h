// The list of the fused ops of attention/, swept by the tests like that of autograd/.
#pragma once
#include "autograd/all_ops.h"

namespace tapir {

struct PairHidden;   // pair_hidden.cc

using AttentionOps = OpList<PairHidden>;

template <> inline constexpr bool is_listed<PairHidden> = contains<PairHidden, AttentionOps>;

}  // namespace tapir

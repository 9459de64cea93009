// The list of the fused ops of attention/, swept by the tests like that of autograd/.
#pragma once
#include "autograd/all_ops.h"

namespace tapir {

struct ReluUnit;                             // pair_hidden.cc
struct TanhUnit;
template <class Unit> struct PairHidden;
struct ExpressiveWeights;                    // expressive_weights.cc
struct Rotary;                               // rotary.cc
struct Mix;                                  // mix.cc
struct DotProductForm;                       // fused_attention.cc
struct ExpressiveForm;
struct NetworkForm;
struct DeepNetworkForm;
template <class Form> struct FusedAttention;

using AttentionOps = OpList<PairHidden<ReluUnit>, PairHidden<TanhUnit>, ExpressiveWeights, Rotary, Mix,
                            FusedAttention<DotProductForm>, FusedAttention<ExpressiveForm>, FusedAttention<NetworkForm>,
                            FusedAttention<DeepNetworkForm>>;

template <class Unit>
inline constexpr bool is_listed<PairHidden<Unit>> = contains<PairHidden<Unit>, AttentionOps>;
template <> inline constexpr bool is_listed<ExpressiveWeights> = contains<ExpressiveWeights, AttentionOps>;
template <class Form>
inline constexpr bool is_listed<FusedAttention<Form>> = contains<FusedAttention<Form>, AttentionOps>;
template <> inline constexpr bool is_listed<Rotary> = contains<Rotary, AttentionOps>;
template <> inline constexpr bool is_listed<Mix> = contains<Mix, AttentionOps>;

}  // namespace tapir

// Attention of a head in one op: scores, their weights and the sum of values, tile by tile. The (T,S) matrix is never stored:
// memory grows with T + S, and backward computes the tiles again (the scheme of Dao et al. 2022, arXiv 2205.14135).
//
// Letters: B batch, H heads, T queries, S keys, D width of a head, M hidden units.
// Each returns (B,H,T,D). A query that may see no key gets 0, and passes no gradient. The key part of the mask is u8 (B,S).
// Throws Error when shapes do not fit, and where backward's tiles of 4 rows exceed a block's memory: where the width of features
// and that of values (of the two ops below that pass twice: 1½ times that of values, or one more of each) come to more than 765 in
// f64 or 1533 in f32. Differentiable twice: the second time through the (T,S) matrix.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/mask.h"
#include "tensor/tensor.h"

namespace tapir {

// Σ_s softmax_s(q_t·k_s − m_h |t + offset − s|) v_s                    m_h = 0 without `alibi`, else alibi_slopes (alibi.h)
// Q (B,H,T,D) with the factor of its scores, K (B,H,S,D), V (B,H,S,D′). Without `own` the score of a query with the key at its
// place, s = t + offset, is below_all_scores (mix.h): that key counts where the query sees no other.
Tensor dot_product_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi, Flag own);

// A (2 V − A V) with the weights A of dot_product_attention; there are as many queries as keys, and token t is one of each
// (Abdullaev & Nguyen 2025, arXiv 2503.00687)
Tensor twicing_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi);

// Σ_s softmax_s(s_ts − log Σ_t' exp s_t's) v_s,  s_ts = q_t·k_s − m_h |t − s|, of as many keys as queries. `present`: which tokens
// are there, as queries of the inner sum and as keys, u8 (B,S); undefined: all (Ding et al. 2020, arXiv 2009.14308)
Tensor doubly_normalised_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Tensor& present, Flag alibi);

// Σ_s w_ts v_s / Σ_s w_ts,  w = z²/(1 + z²) · exp(−m_h |t + offset − s|),  z = q_t·k_s      (expressive_weights.h)
Tensor expressive_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi);

// Σ_s softmax_s(Σ_k w_k ReLU(a_tk + c_sk) − m_h |t + offset − s|) v_s
// a (B,H,T,M), c (B,H,S,M), V (B,H,S,D), weight (1 or H,M): one for all heads or one for each
Tensor network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& weight, const Mask& mask,
                         Flag alibi);

// Σ_s softmax_s(Σ_r w_r ReLU(Σ_k W_rk ReLU(a_tk + c_sk)) − m_h |t + offset − s|) v_s
// As above, with hidden = W (1 or H,R,M) and weight = w (1 or H,R). Time grows with R·M, and so do the gradients' tiles.
// A bias in W's layer is a unit that is always on: a = 1, c = 0.
Tensor deep_network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& hidden, const Tensor& weight,
                              const Mask& mask, Flag alibi);

struct DotProductForm;
struct ExpressiveForm;
struct NetworkForm;
struct DeepNetworkForm;
template <class Form> struct FusedAttention;
struct FusedTwicing;
struct FusedDoublyNormalised;
using FusedAttentionOps = OpList<FusedAttention<DotProductForm>, FusedTwicing, FusedDoublyNormalised,
                                 FusedAttention<ExpressiveForm>, FusedAttention<NetworkForm>, FusedAttention<DeepNetworkForm>>;
template <OneOf<FusedAttentionOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir

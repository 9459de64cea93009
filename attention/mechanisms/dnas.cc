#include "attention/mechanisms/dnas.h"

#include "attention/kernels/fused_attention.h"
#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

class DoublyNormalised final : public StagedAttention {
 public:
  DoublyNormalised(const DnasOptions& options, const MixerShape& shape)
      : StagedAttention(shape, options.fused()),
        share_(options.hybrid ? &parameter("share", {shape.heads}, nn::ParameterKind::gain, nn::Init::constant(0)) : nullptr) {}

  nn::Needs needs() const override { return {.self = true, .all_tokens = fused_, .any_distance = true}; }

 private:
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    require_whole("dnas", Q, K, call, cache);
    const Tensor there = cache ? Q : without_hidden(Q, call.mask);   // a state has no gradient that hidden ones could reach
    if (in_one_op(call)) return fused(there, K, V, call);
    const Tensor products = scores(there, K, call), E = with_bias(products, bias_of_places(products, call));
    Tensor A = softmax(sub(E, columns(E, call.mask, cache)), call.mask);
    if (share_) A = shared(A, softmax(E, call.mask));
    call.record("weights", A);
    return mix(A, V, call);
  }

  Tensor fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const override {
    const Tensor q = tempered(Q, call), y = doubly_normalised_attention(q, K, V, call.mask.keys, has_alibi());
    return share_ ? shared(y, dot_product_attention(q, K, V, call.mask, has_alibi(), true)) : y;
  }

  Tensor shared(const Tensor& doubly, const Tensor& plain) const {
    const Tensor u = sigmoid(reshape(share_->value, {-1, 1, 1}));
    return add(mul(u, doubly), mul(affine(u, -1, 1), plain));
  }

  // c: of all queries (B,H,1,S), or of those up to each one (B,H,T,S).
  Tensor columns(const Tensor& E, const Mask& mask, Cache* cache) const {
    const int64_t B = E.size(0), T = E.size(2), S = E.size(3);
    Tensor of_queries = E;
    if (mask.keys.defined()) {
      const Tensor there = reshape(slice(mask.keys, 1, S - T, T), {B, 1, T, 1});
      of_queries = where(there, E, Tensor::full({}, below_all_scores, E.dtype(), E.device()));
    }
    if (!mask.causal) return reshape(logsumexp(transpose(of_queries)), {B, E.size(1), 1, S});
    of_queries = add(of_queries, triu(Tensor::full({T, S}, below_all_scores, E.dtype(), E.device()), mask.offset + 1));
    if (!cache) return logcumsumexp(of_queries, 2);
    const Tensor fresh = Tensor::full({B, E.size(1), T, 1}, below_all_scores, E.dtype(), E.device());
    const Tensor earlier = transpose(cache->append("column", fresh, S - T));
    const Tensor all = slice(logcumsumexp(concat({earlier, of_queries}, 2), 2), 2, 1, T);
    cache->append("column", transpose(slice(all, 2, T - 1, 1)), 0);
    return all;
  }

  nn::Parameter* const share_;   // θ (H)
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_dnas(const DnasOptions& options, const MixerShape& shape) {
  nn::require_allowed("dnas", options);
  return std::make_unique<DoublyNormalised>(options, shape);
}

Mechanism dnas_row() {
  return row_of<DnasOptions>(
      {.name = "dnas",
       .title = "Doubly normalised attention",
       .paper = "Ding et al. 2020, arXiv 2009.14308",
       .equation = "a_ij = softmax_j(s_ij − log Σ_i exp s_ij)",
       .cost = "4 D operations and two exponentials a pair, fused 6 D; memory T × S, fused T + S"},
      [](const DnasOptions& options) {   // a key's sum over queries so far would be another one for each of them
        Claims claims = and_exact(staged_claims);
        if (options.fused()) claims.causal = claims.streaming = false;
        return claims;
      },
      make_dnas);
}

}  // namespace tapir

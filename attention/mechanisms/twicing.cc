#include "attention/mechanisms/twicing.h"

#include "attention/kernels/fused_attention.h"
#include "attention/kernels/mix.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"

namespace tapir {
namespace {

class Twicing final : public StagedAttention {
 public:
  using StagedAttention::StagedAttention;

  nn::Needs needs() const override { return {.self = true}; }

 private:
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    require_whole("twicing", Q, K, call, cache);
    if (in_one_op(call) && !cache) return twicing_attention(tempered(Q, call), K, V, call.mask, has_alibi());
    const int64_t T = Q.size(2), S = K.size(2);
    const auto smoothed = smoother(Q, K, call);
    const Tensor Y = smoothed(V), R = sub(slice(V, 2, S - T, T), Y);
    return add(Y, smoothed(without_hidden(cache ? cache->append("residual", R, S - T) : R, call.mask)));
  }
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_twicing(const TwicingOptions& options, const MixerShape& shape) {
  nn::require_allowed("twicing", options);
  if (options.last > 0 && shape.layer < shape.layers - options.last) return make_dot_product(shape, options.fused());
  return std::make_unique<Twicing>(shape, options.fused());
}

Mechanism twicing_row() {
  return row_of<TwicingOptions>(
      {.name = "twicing",
       .title = "Twicing Attention",
       .paper = "Abdullaev & Nguyen 2025, arXiv 2503.00687",
       .equation = "O = A V + A (V − A V)",
       .cost = "6 D operations a pair, fused 8 D; memory T × S, fused T + S"},
      without(and_exact(staged_claims), &Claims::distribution),   // elements of 2 A − A² may be negative
      make_twicing);
}

}  // namespace tapir

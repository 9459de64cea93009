#include "attention/mechanisms/expressive.h"

#include <cmath>

#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/fused_attention.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace tapir {
namespace {

class Expressive final : public StagedAttention {
 public:
  Expressive(const ExpressiveOptions& options, const MixerShape& shape)
      : StagedAttention(shape, options.fused()),
        beta_(options.beta > 0 ? options.beta : 1 / std::sqrt(static_cast<double>(shape.head_channels()))),
        alibi_(options.alibi) {}

  nn::Needs needs() const override { return {.sequence = alibi_}; }
  // A bias of places is a term of scores that softmax makes a factor; that of ALiBi itself is the option `alibi`.
  bool accepts(nn::Positions positions) const override { return !nn::is_bias(positions); }

 private:
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call&) const override {
    return matmul(affine(Q, beta_, 0), transpose(K));
  }
  Tensor weights(const Tensor& E, const Tensor&, const nn::Call& call) const override {
    return expressive_weights(E, call.mask, alibi_);
  }
  Tensor fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const override {
    return expressive_attention(affine(Q, beta_, 0), K, V, call.mask, alibi_);
  }

  const double beta_;
  const bool alibi_;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_expressive(const ExpressiveOptions& options, const MixerShape& shape) {
  nn::require_allowed("expressive", options);
  return std::make_unique<Expressive>(options, shape);
}

Mechanism expressive_row() {
  return row_of<ExpressiveOptions>(
      {.name = "expressive",
       .title = "Expressive Attention",
       .paper = "Gros 2024, arXiv 2407.18601",
       .equation = "a_ij = g_ij / Σ_l g_il, g = z²/(1 + z²), z = β q_i·k_j",
       .cost = "4 D operations a pair; memory T × S, fused T + S"},
      [](const ExpressiveOptions& options) {   // ALiBi is a bias of position
        Claims claims = and_exact(staged_claims);
        claims.equivariant = !options.alibi;
        return claims;
      },
      make_expressive);
}

}  // namespace tapir

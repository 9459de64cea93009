#include "attention/mechanisms/cosine.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

const double highest = std::log(100.0);   // of log γ

Tensor unit(const Tensor& x) {   // x / √(|x|² + 10⁻¹²): a token of zeros stays zero
  return mul(x, rsqrt(affine(sum(square(x), -1, true), 1, 1e-12)));
}

class Cosine final : public StagedAttention {
 public:
  Cosine(const CosineOptions& options, const MixerShape& shape)
      : StagedAttention(shape, options.fused()),
        bounded_(options.temperature == "logarithm"),
        learnt_(parameter(options.temperature, {bounded_ ? shape.heads : 1}, nn::ParameterKind::gain,
                          nn::Init::constant(bounded_ ? std::log(options.initial) : options.initial))) {}

 private:
  // The dot product, divided by √D, of q̂ = √D γ q/|q| and k̂ = k/|k|.
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    const Tensor gamma = bounded_ ? exp(clamp(learnt_.value, -HUGE_VAL, highest)) : learnt_.value;
    const Tensor factor = affine(reshape(gamma, {-1, 1, 1}), std::sqrt(static_cast<double>(Q.size(-1))), 0);
    return StagedAttention::mixed(mul(unit(Q), factor), unit(K), V, call, cache);
  }

  const bool bounded_;
  nn::Parameter& learnt_;   // log γ (H), or γ (1)
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_cosine(const CosineOptions& options, const MixerShape& shape) {
  nn::require_allowed("cosine", options);
  return std::make_unique<Cosine>(options, shape);
}

Mechanism cosine_row() {
  return row_of<CosineOptions>(
      {.name = "cosine",
       .title = "Cosine attention",
       .paper = "Henry et al. 2020, arXiv 2010.04245",
       .equation = "s_ij = γ q_i·k_j / (|q_i| |k_j|)",
       .cost = "4 D operations a pair; memory T × S, fused T + S"},
      and_exact(staged_claims),
      make_cosine);
}

}  // namespace tapir

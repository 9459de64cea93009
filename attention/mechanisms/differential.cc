#include "attention/mechanisms/differential.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/layers/norm.h"

namespace tapir {
namespace {

class Differential final : public StagedAttention {
 public:
  Differential(const DifferentialOptions& options, const MixerShape& shape)
      : StagedAttention(shape),
        half_(shape.head_channels() / 2),
        initial_(options.initial > 0 ? options.initial : 0.8 - 0.6 * std::exp(-0.3 * static_cast<double>(shape.layer))),
        query1_(vector("lambda_q1")),
        key1_(vector("lambda_k1")),
        query2_(vector("lambda_q2")),
        key2_(vector("lambda_k2")),
        norm_(child<nn::RmsNorm>("norm", shape.head_channels(), 1e-5)) {
    require(
        shape.head_channels() % 2 == 0, "differential",
        [&] { return text("heads have a width of ", shape.head_channels(), ", which has no halves for two maps"); },
        "choose an even head width");
  }

  bool accepts(nn::Positions positions) const override { return positions != nn::Positions::rotary || shape_.can_turn(half_); }

 private:
  nn::Parameter& vector(const std::string& name) {
    return parameter(name, {half_}, nn::ParameterKind::bias, nn::Init::normal(0.1));
  }

  Tensor half(const Tensor& x, int64_t which) const { return slice(x, -1, which * half_, half_); }

  // Each half has all angles.
  Tensor placed(const Tensor& x, int64_t begin, const nn::Call& call) const override {
    if (shape_.positions != nn::Positions::rotary) return x;
    return concat({StagedAttention::placed(half(x, 0), begin, call), StagedAttention::placed(half(x, 1), begin, call)}, -1);
  }

  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache*) const override {
    Tensor bias;   // of both maps
    const auto map = [&](int64_t which) {
      const Tensor E = scores(half(Q, which), half(K, which), call);
      if (!bias.defined()) bias = bias_of_places(E, call);
      return weights(E, bias, call);
    };
    const auto product = [](const nn::Parameter& q, const nn::Parameter& k) { return exp(sum(mul(q.value, k.value), 0)); };
    const Tensor lambda = affine(sub(product(query1_, key1_), product(query2_, key2_)), 1, initial_);
    const Tensor taken = mul(lambda, map(1)), A = sub(map(0), taken);   // which of them is first decides the memory
    call.record("weights", A);
    return affine(norm_.forward(mix(A, V, call)), 1 - initial_, 0);
  }

  const int64_t half_;
  const double initial_;   // λ₀
  nn::Parameter &query1_, &key1_, &query2_, &key2_;
  nn::RmsNorm& norm_;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_differential(const DifferentialOptions& options, const MixerShape& shape) {
  nn::require_allowed("differential", options);
  return std::make_unique<Differential>(options, shape);
}

Mechanism differential_row() {
  return row_of<DifferentialOptions>(
      {.name = "differential",
       .title = "Differential attention",
       .paper = "Ye et al. 2024, arXiv 2410.05258",
       .equation = "A = softmax(Q₁K₁ᵀ) − λ softmax(Q₂K₂ᵀ)",
       .cost = "4 D operations and two exponentials a pair; memory 2 T × S"},
      without(and_exact(staged_claims), &Claims::distribution),   // a difference may be negative, and rows sum to 1 − λ
      make_differential);
}

}  // namespace tapir

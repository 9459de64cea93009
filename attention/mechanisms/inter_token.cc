#include "attention/mechanisms/inter_token.h"

#include <cmath>

#include "attention/heads.h"
#include "attention/kernels/fused_attention.h"
#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

constexpr int64_t units = 16;   // of the network

// 1/τ (B,H,·,1) of u (B,·,H·D), means of queries with the heads side by side:
//   τ = 0.1 √D + softplus(W₂ tanh(W₁ u + b₁) + b₂),  which is √D at first: W₂ = 0
struct TemperatureNetwork : nn::Module {
  TemperatureNetwork(int64_t H, int64_t D)
      : hidden(child<nn::Linear>("hidden", H * D, units, true, nn::Init::xavier_uniform())),
        weight(parameter("weight", {H, units}, nn::ParameterKind::weight, nn::Init::constant(0))),
        bias(parameter("bias", {H}, nn::ParameterKind::bias, nn::Init::constant(std::log(std::expm1(0.9 * std::sqrt(D)))))),
        least(0.1 * std::sqrt(static_cast<double>(D))) {}

  Tensor forward(const Tensor& u) const {
    const Scope scope = enter();
    const Tensor inner = tanh(hidden.forward(u));
    const Tensor tau = affine(softplus(add(matmul(inner, transpose(weight.value)), bias.value)), 1, least);   // (B,·,H)
    return leave(reshape(transpose(reciprocal(tau)), {u.size(0), -1, u.size(1), 1}), u);
  }

  nn::Linear& hidden;
  nn::Parameter &weight, &bias;
  const double least;
};

class InterToken final : public StagedAttention {
 public:
  InterToken(const InterTokenOptions& options, const MixerShape& shape)
      : StagedAttention(shape, options.fused()), diagonal_(options.diagonal) {
    const double scale = 1 / std::sqrt(static_cast<double>(shape.head_channels()));
    if (options.temperature == "network") network_ = &child<TemperatureNetwork>("temperature", shape.heads, shape.head_channels());
    if (options.temperature == "factor")
      factor_ = &parameter("factor", {shape.heads}, nn::ParameterKind::gain, nn::Init::constant(scale));
    if (options.temperature == "logarithm")
      logarithm_ = &parameter("logarithm", {shape.heads}, nn::ParameterKind::gain, nn::Init::constant(std::log(scale)));
  }

  nn::Needs needs() const override { return {.self = true, .any_distance = network_ != nullptr}; }

  // The network reads what queries are, not where they stand.
  bool accepts(nn::Positions positions) const override {
    return StagedAttention::accepts(positions) && (!network_ || positions != nn::Positions::rotary);
  }

 private:
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    require_whole("inter_token", Q, K, call, cache);
    if (!network_) return StagedAttention::mixed(Q, K, V, call, cache);
    const Tensor queries = cache ? Q : without_hidden(Q, call.mask);   // a state has no gradient that hidden ones could reach
    const Tensor all = cache ? cache->append("query", Q, K.size(2) - Q.size(2)) : queries;   // hidden ones are behind all others
    const Tensor scale = network_->forward(merge_heads(mean_query(all, Q.size(2), call.mask)));
    return StagedAttention::mixed(mul(queries, scale), K, V, call, cache);
  }

  // Of queries (B,H,S,D), 0 where hidden: (B,H,1,D), or under a causal mask, for the last T of them, of those up to each (B,H,T,D).
  static Tensor mean_query(const Tensor& all, int64_t T, const Mask& mask) {
    const int64_t S = all.size(2);
    const auto total = [&](const Tensor& x) { return mask.causal ? slice(cumsum(x, 2), 2, S - T, T) : sum(x, 2, true); };
    return div(total(all), clamp(total(keys_there(mask, S, all)), 1, HUGE_VAL));
  }

  // q/τ
  Tensor tempered(const Tensor& Q, const nn::Call& call) const override {
    if (network_) return Q;   // tempered already
    if (!factor_ && !logarithm_) return StagedAttention::tempered(Q, call);
    const Tensor scale = factor_ ? factor_->value : exp(clamp(logarithm_->value, -6, 6));   // where softmax is not saturated yet
    return mul(Q, reshape(scale, {-1, 1, 1}));
  }

  Tensor weights(const Tensor& scores, const Tensor& bias, const nn::Call& call) const override {
    const Tensor E = with_bias(scores, bias);
    return softmax(diagonal_ ? E : without_own(E, call.mask.offset), call.mask);   // where all else is hidden, softmax has 1 there
  }

  Tensor fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const override {
    return dot_product_attention(tempered(Q, call), K, V, call.mask, has_alibi(), diagonal_);
  }

  const bool diagonal_;
  nn::Parameter *factor_ = nullptr, *logarithm_ = nullptr;   // (H); one of them, or none
  TemperatureNetwork* network_ = nullptr;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_inter_token(const InterTokenOptions& options, const MixerShape& shape) {
  nn::require_allowed("inter_token", options);
  return std::make_unique<InterToken>(options, shape);
}

Mechanism inter_token_row() {
  return row_of<InterTokenOptions>(
      {.name = "inter_token",
       .title = "Inter-token attention, learnt temperature",
       .paper = "Rahman & Arafat 2024, arXiv 2410.12861",
       .equation = "s_ij = q_i·k_j / τ, s_ii = −∞",
       .cost = "4 D operations a pair; memory T × S, fused T + S"},
      and_exact(staged_claims),
      make_inter_token);
}

}  // namespace tapir

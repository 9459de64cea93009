#include "attention/mechanisms/gated_linear.h"

#include <cmath>

#include "attention/heads.h"
#include "attention/lower_triangular.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/layers/norm.h"

namespace tapir {
namespace {

// (B,T,·) → (B,T,H·D) through fewer channels, W₂ W₁ x + b
struct LowRank : nn::Module {
  LowRank(int64_t in, int64_t rank, int64_t out)
      : down(child<nn::Linear>("down", in, rank, false, nn::Init::normal(0.02))),
        up(child<nn::Linear>("up", rank, out, true, nn::Init::normal(0.02))) {}

  Tensor forward(const Tensor& x) const {
    const Scope scope = enter();
    return leave(up.forward(down.forward(x)), x);
  }

  const nn::Linear &down, &up;
};

// A query has its output gate beside it, (q, r), and a key what its rates are made of, (k, z).
class GatedLinear final : public RecurrentAttention {
 public:
  GatedLinear(const GatedLinearOptions& options, const MixerShape& shape)
      : RecurrentAttention(shape, options.chunk, {Projection::query, Projection::key}),
        options_(options),
        features_(shape.head_channels() / 2),
        query_(linear("query", shape.heads * features_)),
        key_(linear("key", shape.key_head_count() * features_)),
        gate_(linear("gate", shape.heads * shape.head_channels())),
        norm_(child<nn::RmsNorm>("norm", shape.head_channels(), 1e-5)) {
    if (options.decay == "feature")
      rates_of_features_ = &child<LowRank>("decay", shape.width, options.rank, shape.key_head_count() * features_);
    if (options.decay == "head")
      rates_of_heads_ = &child<nn::Linear>("decay", shape.width, shape.key_head_count(), true, nn::Init::normal(0.02));
  }

  bool accepts(nn::Positions positions) const override {
    return positions == nn::Positions::none || (positions == nn::Positions::rotary && shape_.can_turn(features_));
  }

 private:
  const nn::Linear& linear(const char* name, int64_t out) {
    return child<nn::Linear>(name, shape_.width, out, shape_.biases, nn::Init::normal(0.02));
  }

  Tensor project(Projection which, const Tensor& x) const override {
    if (which == Projection::query) return beside(query_.forward(x), gate_.forward(x), shape_.heads);
    if (which != Projection::key) return RecurrentAttention::project(which, x);
    const Tensor k = key_.forward(x);
    if (rates_of_features_) return beside(k, rates_of_features_->forward(x), shape_.key_head_count());
    return rates_of_heads_ ? beside(k, rates_of_heads_->forward(x), shape_.key_head_count()) : k;
  }

  Tensor placed(const Tensor& x, int64_t begin, const nn::Call& call) const override {
    if (shape_.positions != nn::Positions::rotary) return x;
    return concat({RecurrentAttention::placed(own(x), begin, call), other(x)}, -1);
  }

  Tensor queries(const Tensor& Q) const override { return own(Q); }

  Tensor keys(const Tensor& K) const override {   // (k, log α)
    const Tensor k = own(K), rates = rates_of_features_ || rates_of_heads_
                                         ? affine(log_sigmoid(other(K)), 1 / options_.temperature, 0)
                                         : of_retention(K);
    return concat({k, expand(rates, k.shape())}, -1);
  }

  Tokens tokens(const Tensor& q, const Tensor& keys) const override {
    const Tensor k = own(keys), g = other(keys), up_to_each = cumsum(g, 2), all = sum(g, 2, true);
    return {.pairs = decayed_products(q, k, g), .reads = mul(q, exp(up_to_each)), .keeps = diagonal(exp(all)),
            .writes = transpose(mul(k, exp(sub(all, up_to_each))))};
  }

  Tensor result(const Tensor& y, const Tensor& Q) const override { return mul(norm_.forward(y), silu(other(Q))); }

  Tensor of_retention(const Tensor& like) const {   // log α_h, (H,1,1)
    std::vector<double> rates;
    for (int64_t h = 0; h < shape_.heads; ++h) rates.push_back(std::log1p(-std::exp2(-5.0 - static_cast<double>(h))));
    return Tensor::from(rates, {shape_.heads, 1, 1}, like.device()).to(like.dtype());
  }

  Tensor own(const Tensor& x) const { return slice(x, -1, 0, features_); }
  Tensor other(const Tensor& x) const { return slice(x, -1, features_, x.size(-1) - features_); }

  const GatedLinearOptions options_;
  const int64_t features_;   // F
  const nn::Linear &query_, &key_, &gate_;
  const nn::RmsNorm& norm_;
  const LowRank* rates_of_features_ = nullptr;
  const nn::Linear* rates_of_heads_ = nullptr;
};

}  // namespace

std::unique_ptr<RecurrentAttention> make_gated_linear(const GatedLinearOptions& options, const MixerShape& shape) {
  nn::require_allowed("gated_linear", options);
  require(
      shape.head_channels() % 2 == 0, "gated_linear",
      [&] { return text("heads have a width of ", shape.head_channels(), ", and queries and keys half of it"); },
      "choose an even head width");
  return std::make_unique<GatedLinear>(options, shape);
}

Mechanism gated_linear_row() {
  return row_of<GatedLinearOptions>(
      {.name = "gated_linear",
       .title = "Gated linear attention",
       .paper = "Yang et al. 2023, arXiv 2312.06635",
       .equation = "S_t = diag(α_t) S_{t−1} + k_tᵀ v_t, y_t = RMSNorm(q_t S_t) ⊙ swish(r_t)",
       .cost = "2 D² operations a token and head; memory T"},
      recurrent_claims,
      make_gated_linear);
}

}  // namespace tapir

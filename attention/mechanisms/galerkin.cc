#include "attention/mechanisms/galerkin.h"

#include <cmath>
#include <map>

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/layer_norm.h"
#include "autograd/ops/shape.h"

namespace tapir {
namespace {

struct HeadNorm : nn::Module {   // (B,H,T,D) along D, each head with gains and biases of its own
  HeadNorm(int64_t heads, int64_t width, double epsilon)
      : epsilon(epsilon), weight(parameter("weight", {heads, width}, nn::ParameterKind::gain, nn::Init::constant(1))),
        bias(parameter("bias", {heads, width}, nn::ParameterKind::bias, nn::Init::constant(0))) {}

  Tensor forward(const Tensor& x) const {
    const Scope scope = enter();
    const Shape of_heads{x.size(1), 1, x.size(3)};
    const Tensor plain = layer_norm(x, Tensor::full({x.size(3)}, 1, x.dtype(), x.device()),
                                    Tensor::zeros({x.size(3)}, x.dtype(), x.device()), epsilon);
    return leave(add(mul(plain, reshape(weight.value, of_heads)), reshape(bias.value, of_heads)), x);
  }

  const double epsilon;
  nn::Parameter &weight, &bias;   // (H,D)
};

class SoftmaxFree final : public StateAttention {
 public:
  // `normalised`: of q, k and v. `scale`: of products of queries and keys.
  SoftmaxFree(const GalerkinOptions& options, const MixerShape& shape, const std::set<Projection>& normalised, double scale)
      : StateAttention(shape, options.chunk, Divisor::keys,
                       {Projection::query, Projection::key, Projection::value, Projection::out}),
        scale_(scale) {
    for (const Projection which : {Projection::query, Projection::key, Projection::value}) {
      const Widths widths = widths_of(which, shape);
      linear_[which] = &child<nn::Linear>(name_of(which), widths.in, widths.out, shape.biases,
                                          nn::Init::xavier_uniform(options.gain).plus_identity(options.diagonal));
    }
    const int64_t D = shape.head_channels(), joined = shape.heads * (D + shape.places.dimensions);
    linear_[Projection::out] = &child<nn::Linear>(name_of(Projection::out), joined, shape.width, shape.biases,
                                                  nn::Init::fan_in(joined), nn::Init::fan_in(joined));
    if (!options.norm) return;
    require(D > 1, "attention", [] { return "a head has one channel, and its layer norm would be 0"; }, "or set norm = false");
    for (const Projection which : normalised)
      norms_[which] = &child<HeadNorm>(text(name_of(which), "_norm"), shape.heads, D, options.epsilon);
  }

  bool accepts(nn::Positions positions) const override { return positions == nn::Positions::none; }

 private:
  Tensor project(Projection which, const Tensor& x) const override { return linear_.at(which)->forward(x); }

  Tensor query_features(const Tensor& Q, const nn::Call& call) const override {
    const Tensor joined = at_places(normalised(Projection::query, Q), call.places);
    return scale_ == 1 ? joined : affine(joined, scale_, 0);
  }
  Tensor key_features(const Tensor& K, const nn::Call& call) const override {
    return at_places(normalised(Projection::key, K), call.context_places);
  }
  Tensor values(const Tensor& V, const nn::Call& call) const override {
    const Tensor& places = call.context_places;
    return at_places(normalised(Projection::value, V), places.defined() ? without_hidden(places, call.mask) : places);
  }

  Tensor normalised(Projection which, const Tensor& x) const {
    const auto norm = norms_.find(which);
    return norm == norms_.end() ? x : norm->second->forward(x);
  }

  // (B,H,T,D) and the coordinates (B,T,d) → (B,H,T,D+d)
  Tensor at_places(const Tensor& x, const Tensor& places) const {
    const int64_t B = x.size(0), H = x.size(1), T = x.size(2), d = shape_.places.dimensions;
    if (d == 0) return x;
    require(
        places.defined() && places.shape() == Shape{B, T, d}, "attention",
        [&] {
          return text("coordinates of tokens must be ", Shape{B, T, d}, ", got ",
                      places.defined() ? text(places.shape()) : "none");
        },
        "the call brings those of queries, places, and of keys, context_places");
    return concat({x, expand(reshape(places, {B, 1, T, d}), {B, H, T, d})}, 3);
  }

  const double scale_;
  std::map<Projection, const nn::Linear*> linear_;
  std::map<Projection, const HeadNorm*> norms_;
};

constexpr Claims claims_of_means() {   // weights have any sign
  Claims claims = and_exact(staged_claims);
  claims.distribution = false;
  claims.linear = true;
  return claims;
}

}  // namespace

std::unique_ptr<StateAttention> make_galerkin(const GalerkinOptions& options, const MixerShape& shape) {
  nn::require_allowed("galerkin", options);
  return std::make_unique<SoftmaxFree>(options, shape, std::set{Projection::key, Projection::value}, 1);
}

std::unique_ptr<StateAttention> make_fourier(const FourierOptions& options, const MixerShape& shape) {
  nn::require_allowed("fourier", options);
  const auto width = static_cast<double>(shape.head_channels() + shape.places.dimensions);
  return std::make_unique<SoftmaxFree>(options, shape, std::set{Projection::query, Projection::key},
                                       options.scale ? 1 / std::sqrt(width) : 1);
}

Mechanism galerkin_row() {
  return row_of<GalerkinOptions>(
      {.name = "galerkin",
       .title = "Galerkin-type attention",
       .paper = "Cao 2021, arXiv 2105.14995",
       .equation = "y_i = q_i · Σ_j LN(k_j)ᵀ LN(v_j) / n",
       .cost = "4 D² operations a token and head; memory T"},
      claims_of_means(),
      make_galerkin);
}

Mechanism fourier_row() {
  return row_of<FourierOptions>(
      {.name = "fourier",
       .title = "Fourier-type attention",
       .paper = "Cao 2021, arXiv 2105.14995",
       .equation = "y_i = Σ_j LN(q_i)·LN(k_j) v_j / (n √D)",
       .cost = "4 D² operations a token and head; memory T"},
      claims_of_means(),
      make_fourier);
}

}  // namespace tapir

#include "attention/mechanisms/flatten.h"

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"
#include "nn/layers/convolution.h"

namespace tapir {
namespace {

// A convolution of each channel by itself, of tokens (N,S,channels): over the cells of a grid, or over a sequence.
class Depthwise : public nn::Module {
 public:
  Depthwise(int64_t channels, int64_t kernel, const nn::Places& places)
      : places_(places), kernel_(kernel),
        cells_(places.on_grid() ? &child<nn::Conv2d>("cells", channels, channels, kernel,
                                              ConvolutionOptions{.padding = kernel / 2, .groups = channels})
                         : nullptr),
        tokens_(places.on_grid() ? nullptr
                          : &child<nn::Conv1d>("tokens", channels, channels, kernel, ConvolutionOptions{.groups = channels})) {}

  Tensor forward(const Tensor& x, bool causal) const {
    const Scope scope = enter();
    const int64_t N = x.size(0), S = x.size(1), C = x.size(2), behind = causal ? 0 : kernel_ / 2;
    if (!places_.on_grid()) return leave(tokens_->forward(pad(x, 1, kernel_ - 1 - behind, behind)), x);
    const int64_t alone = places_.class_tokens;   // which have no neighbours
    const Tensor image = reshape(slice(x, 1, alone, S - alone), {N, places_.rows, places_.columns, C});
    return leave(pad(reshape(cells_->forward(image), {N, S - alone, C}), 1, alone, 0), x);
  }

 private:
  const nn::Places places_;
  const int64_t kernel_;
  const nn::Conv2d* const cells_;
  const nn::Conv1d* const tokens_;
};

class Flatten final : public StateAttention {
 public:
  Flatten(const FlattenOptions& options, const MixerShape& shape)
      : StateAttention(shape, options.chunk, Divisor::mean_weight), options_(options) {
    const int64_t H = shape.heads, D = shape.head_channels();
    if (options.channel_scale)
      scale_ = &parameter("scale", {H, D}, nn::ParameterKind::gain, nn::Init::constant(0));
    if (options.key_positions)
      positions_ = &parameter("key_positions", {shape.places.tokens(), H * D}, nn::ParameterKind::embedding,
                              nn::Init::constant(0));
    if (options.kernel > 0)
      depthwise_ = &child<Depthwise>("depthwise", options.shared_kernel ? D : H * D, options.kernel, shape.places);
  }

  nn::Needs needs() const override {
    return {.self = depthwise_ != nullptr,
            .all_tokens = depthwise_ && shape_.places.on_grid(),
            .any_distance = true,
            .order = depthwise_ != nullptr};
  }

 private:
  Tensor query_features(const Tensor& Q, const nn::Call&) const override { return features(Q); }
  Tensor key_features(const Tensor& K, const nn::Call&) const override {
    const int64_t tokens = shape_.places.tokens();
    require(!(positions_ || needs().all_tokens) || K.size(2) == tokens, "flatten",
            [&] { return text("the grid has ", tokens, " tokens, got ", K.size(2), " keys"); });
    return features(positions_ ? add(K, split_heads(reshape(positions_->value, {1, tokens, -1}), shape_.heads)) : K);
  }
  double epsilon() const override { return options_.epsilon; }

  Tensor features(const Tensor& x) const {   // φ
    Tensor y = affine(relu(x), 1, options_.epsilon);
    if (scale_) y = div(y, softplus(reshape(scale_->value, {shape_.heads, 1, shape_.head_channels()})));
    if (options_.norm == "head") return focused(y, options_.power);
    return split_heads(focused(merge_heads(y), options_.power), shape_.heads);
  }

  int64_t reach() const override { return depthwise_ ? options_.kernel - 1 : 0; }

  Tensor of_neighbours(const Tensor& V, int64_t T, const nn::Call& call) const override {
    if (!depthwise_) return {};
    const int64_t S = V.size(2), offset = call.mask.offset;
    require(
        offset >= 0 && offset + T <= S, "flatten",
        [&] { return text("queries are keys too, got ", T, " of them at offset ", offset, " for ", S, " keys"); },
        "give the keys of the queries, after those of earlier tokens");
    const auto convolved = [&](const Tensor& x) { return depthwise_->forward(x, call.mask.causal); };
    const Tensor y = options_.shared_kernel ? reshape(convolved(reshape(V, {-1, S, V.size(3)})), V.shape())
                                            : split_heads(convolved(merge_heads(V)), shape_.heads);
    return slice(without_hidden(y, call.mask), 2, offset, T);
  }

  const FlattenOptions options_;
  nn::Parameter* scale_ = nullptr;       // θ (H,D)
  nn::Parameter* positions_ = nullptr;   // (S,H·D)
  const Depthwise* depthwise_ = nullptr;
};

}  // namespace

// xᵖ/‖xᵖ‖ is the same for every multiple of x, so its largest number may be 1, of which no power underflows or overflows. What
// x was divided by has no say, and no gradient passes through it.
Tensor focused(const Tensor& x, int64_t power) {
  const Tensor one = Tensor::full({}, 1, x.dtype(), x.device()), largest = max(x.detach(), -1, true);
  const Tensor there = greater(largest, 0);
  const Tensor powers = pow(div(x, where(there, largest, one)), static_cast<double>(power));
  return mul(powers, div(norm(x, 2, -1, true), where(there, norm(powers, 2, -1, true), one)));
}

std::unique_ptr<StateAttention> make_flatten(const FlattenOptions& options, const MixerShape& shape) {
  nn::require_allowed("flatten", options);
  require(options.kernel == 0 || options.kernel % 2 == 1, "flatten",
          [&] { return text("a kernel of ", options.kernel, " values has no middle"); }, "choose an odd one");
  require(!options.key_positions || shape.places.on_grid(), "flatten",
          [] { return "positions of keys are those of a grid, and there is none"; }, "set key_positions = false");
  return std::make_unique<Flatten>(options, shape);
}

Mechanism flatten_row() {
  return row_of<FlattenOptions>(
      {.name = "flatten",
       .title = "FLatten, focused linear attention",
       .paper = "Han et al. 2023, arXiv 2308.00442",
       .equation = "y_i = φ(q_i) Σ_j φ(k_j) v_jᵀ / φ(q_i)·Σ_j φ(k_j) + (w * V)_i, φ(x) = ‖r‖ rᵖ/‖rᵖ‖, r = relu(x)",
       .cost = "4 D² + 2 k D operations a token and head, on a grid 2 k² D for 2 k D; memory T"},
      [](const FlattenOptions& options) {   // no distribution: without a channel above 0 all are 0, and ε has a share
        Claims claims = and_exact(staged_claims);
        claims.distribution = false;
        claims.equivariant = options.kernel <= 1 && !options.key_positions;
        claims.linear = true;
        return claims;
      },
      make_flatten);
}

}  // namespace tapir

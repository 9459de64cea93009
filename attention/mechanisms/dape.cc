#include "attention/mechanisms/dape.h"

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "nn/layers/convolution.h"

namespace tapir {
namespace {

// x (B,T,S,·), 0 at the keys that a query does not see.
Tensor of_seen(const Tensor& x, const Mask& mask) {
  const int64_t B = x.size(0), T = x.size(1), S = x.size(2);
  const Tensor nothing = Tensor::zeros({}, x.dtype(), x.device());
  Tensor y = x;
  if (mask.causal || mask.window > 0) {
    const Tensor seen = in_reach(Tensor::full({T, S}, 1, x.dtype(), x.device()), mask);
    y = where(reshape(not_equal(seen, 0), {T, S, 1}), y, nothing);
  }
  return mask.keys.defined() ? where(reshape(mask.keys, {B, 1, S, 1}), y, nothing) : y;
}

class Dape final : public StagedAttention {
 public:
  Dape(const DapeOptions& options, const MixerShape& shape)
      : StagedAttention(shape), options_(options),
        first_(child<nn::Conv1d>("first", nn::is_bias(shape.positions) ? 2 * shape.heads : shape.heads, options.hidden,
                                 options.kernel, along_keys(options))),
        second_(child<nn::Conv1d>("second", options.hidden, shape.heads, options.kernel, along_keys(options))) {}

  nn::Needs needs() const override { return {.order = options_.kernel > 1}; }

  std::unique_ptr<nn::MixerState> empty_state() const override {
    require(
        options_.streams(), "state", [] { return "the weights of dape's last token depend on how many tokens follow it"; },
        "set attention.mask_hidden = true");
    return StagedAttention::empty_state();
  }

 private:
  static ConvolutionOptions along_keys(const DapeOptions& options) { return {.padding = options.behind()}; }

  Tensor weights(const Tensor& E, const Tensor& bias, const nn::Call& call) const override {
    const Tensor picture = bias.defined() ? concat({E, expand(bias, E.shape())}, 1) : E;
    const Tensor hidden = leaky_relu(each_row(first_, of_seen(permute(picture, {0, 2, 3, 1}), call.mask)));
    const Mask hiding{.causal = call.mask.causal && options_.mask_hidden, .offset = call.mask.offset, .keys = call.mask.keys,
                      .window = call.mask.window};
    const Tensor of_data = permute(each_row(second_, of_seen(hidden, hiding)), {0, 3, 1, 2});
    return softmax(add(with_bias(E, bias), of_data), call.mask);
  }

  // A convolution along the keys of each query: (B,T,S,in) → (B,T,S,out).
  Tensor each_row(const nn::Conv1d& convolution, const Tensor& x) const {
    const int64_t B = x.size(0), T = x.size(1), S = x.size(2), more = options_.before() - options_.behind();
    const Tensor rows = reshape(x, {B * T, S, x.size(3)});
    return reshape(convolution.forward(more == 0 ? rows : pad(rows, 1, more, 0)), {B, T, S, -1});
  }

  const DapeOptions options_;
  const nn::Conv1d &first_, &second_;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_dape(const DapeOptions& options, const MixerShape& shape) {
  nn::require_allowed("dape", options);
  return std::make_unique<Dape>(options, shape);
}

Mechanism dape_row() {
  return row_of<DapeOptions>(
      {.name = "dape",
       .title = "DAPE V2",
       .paper = "Zheng et al. 2024, arXiv 2410.04798",
       .equation = "softmax(X + B + C₂(LeakyReLU(C₁[X, B])))",
       .cost = "4 D + 4 k M operations a pair, with a bias of places 4 D + 6 k M, for M channels and kernels of k; "
               "memory T × S × M"},
      [](const DapeOptions& options) {   // a kernel of several keys sees which are neighbours
        Claims claims = and_exact(staged_claims);
        claims.equivariant = options.kernel == 1;
        claims.streaming = options.streams();
        return claims;
      },
      make_dape);
}

}  // namespace tapir

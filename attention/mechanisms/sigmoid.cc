#include "attention/mechanisms/sigmoid.h"

#include <cmath>

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

// x (…,T,S), but 0 at the pairs that the mask hides, whatever stands there.
Tensor visible(const Tensor& x, const Mask& mask) {
  const Tensor seen = in_reach(x, mask);
  if (!mask.keys.defined()) return seen;
  const int64_t B = mask.keys.size(0), S = mask.keys.size(1);
  return where(reshape(mask.keys, {B, 1, 1, S}), seen, Tensor::zeros({}, x.dtype(), x.device()));
}

class Sigmoid final : public StagedAttention {
 public:
  Sigmoid(const SigmoidOptions& options, const MixerShape& shape)
      : StagedAttention(shape),
        length_(options.length),
        beta_(options.learned ? &parameter("beta", {shape.heads}, nn::ParameterKind::bias, nn::Init::constant(0)) : nullptr) {}

 private:
  Tensor weights(const Tensor& scores, const Tensor& bias, const nn::Call& call) const override {
    Tensor E = with_bias(scores, bias);
    if (beta_) E = add(E, reshape(beta_->value, {-1, 1, 1}));
    return visible(sigmoid(length_ > 0 ? affine(E, 1, -std::log(static_cast<double>(length_)))
                                       : sub(E, log(keys_seen(E, call.mask)))),
                   call.mask);
  }

  // Of each query, (B,1,T,1) or (T,1); 1 where it sees none.
  static Tensor keys_seen(const Tensor& E, const Mask& mask) {
    const Tensor ones = Tensor::full({E.size(2), E.size(3)}, 1, E.dtype(), E.device());
    return clamp(sum(visible(ones, mask), -1, true), 1, HUGE_VAL);
  }

  const int64_t length_;
  nn::Parameter* const beta_;   // (H)
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_sigmoid(const SigmoidOptions& options, const MixerShape& shape) {
  nn::require_allowed("sigmoid", options);
  return std::make_unique<Sigmoid>(options, shape);
}

Mechanism sigmoid_row() {
  return row_of<SigmoidOptions>(
      {.name = "sigmoid",
       .title = "Sigmoid attention",
       .paper = "Ramapuram et al. 2024, arXiv 2409.04431",
       .equation = "a_ij = σ(q_i·k_j / √D − log n)",
       .cost = "4 D operations a pair; memory T × S"},
      without(and_exact(staged_claims), &Claims::distribution),   // no weight knows of another one
      make_sigmoid);
}

}  // namespace tapir

#include "attention/mechanisms/additive.h"

#include "attention/kernels/pair_hidden.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"

namespace tapir {
namespace {

// The hidden layer and its output, for each of H heads with M units.
struct Alignment : nn::Module {
  Alignment(int64_t H, int64_t M, int64_t D, bool with_bias)
      : query(parameter("query", {H, M, D}, nn::ParameterKind::weight, nn::Init::fan_in(D))),
        key(parameter("key", {H, M, D}, nn::ParameterKind::weight, nn::Init::fan_in(D))),
        bias(with_bias ? &parameter("bias", {H, M}, nn::ParameterKind::bias, nn::Init::constant(0)) : nullptr),
        vector(parameter("vector", {H, M}, nn::ParameterKind::weight, nn::Init::fan_in(M))) {}

  Tensor forward(const Tensor& Q, const Tensor& K, const Mask& mask) const {   // → (B,H,T,S)
    const Scope scope = enter();
    const int64_t H = vector.shape[0], M = vector.shape[1];
    const Tensor from_query = matmul(Q, transpose(query.value)), c = matmul(K, transpose(key.value));
    const Tensor a = bias ? add(from_query, reshape(bias->value, {H, 1, M})) : from_query;
    const Tensor scores = pair_hidden_tanh(a, c, reshape(vector.value, {H, 1, M}), mask);
    return leave(reshape(scores, {Q.size(0), H, Q.size(2), K.size(2)}), Q, K);
  }

  nn::Parameter &query, &key, *bias, &vector;   // W, U, b, v
};

class Additive final : public StagedAttention {
 public:
  Additive(const AdditiveOptions& options, const MixerShape& shape)
      : StagedAttention(shape),
        alignment_(child<Alignment>("score", shape.heads, options.hidden_width(shape.head_channels()), shape.head_channels(),
                                    options.bias)) {}

  // As in score_mlp: queries and keys meet in no inner product.
  bool accepts(nn::Positions positions) const override { return positions != nn::Positions::rotary; }

 private:
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    return alignment_.forward(Q, K, call.mask);
  }

  Alignment& alignment_;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_additive(const AdditiveOptions& options, const MixerShape& shape) {
  nn::require_allowed("additive", options);
  return std::make_unique<Additive>(options, shape);
}

Mechanism additive_row() {
  return row_of<AdditiveOptions>(
      {.name = "additive",
       .title = "Additive attention",
       .paper = "Bahdanau, Cho & Bengio 2015, arXiv 1409.0473",
       .equation = "s_ij = vᵀ tanh(W q_i + U k_j)",
       .cost = "3 M operations and M tanh a pair for M hidden units; memory T × S"},
      and_exact(staged_claims),
      make_additive);
}

}  // namespace tapir

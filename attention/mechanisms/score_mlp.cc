#include "attention/mechanisms/score_mlp.h"

#include <cmath>

#include "attention/kernels/fused_attention.h"
#include "attention/kernels/pair_hidden.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

// A linear layer on the last axis of (B,H,T,I), with one weight for all heads or one for each.
struct HeadLinear : nn::Module {
  HeadLinear(int64_t heads, bool shared, int64_t in, int64_t out)
      : weight(parameter("weight", shared ? Shape{out, in} : Shape{heads, out, in}, nn::ParameterKind::weight,
                         nn::Init::fan_in(in))),
        bias(parameter("bias", shared ? Shape{out} : Shape{heads, out}, nn::ParameterKind::bias, nn::Init::fan_in(in))) {}

  Tensor forward(const Tensor& x) const {   // (B,H,T,I) → (B,H,T,O)
    const Scope scope = enter();
    return leave(add(matmul(x, transpose(weight.value)), per_head_bias()), x);
  }
  // The bias as (O) or (H,1,O): it broadcasts over (B,H,T,O).
  Tensor per_head_bias() const {
    return bias.value.rank() == 1 ? bias.value : reshape(bias.value, {bias.value.size(0), 1, bias.value.size(1)});
  }
  // The weight as (1 or H,O,I).
  Tensor by_head() const {
    return weight.value.rank() == 3 ? weight.value : reshape(weight.value, {1, weight.value.size(0), weight.value.size(1)});
  }

  nn::Parameter &weight, &bias;
};

// Records "gate": the share of allowed (pair, unit) whose pre-activation z_unit (B,H,T,S) is positive, over all units.
template <class Unit>
void record_share(const nn::Call& call, const Shape& pairs, int64_t units, const Unit& z) {
  const NoGrad guard;
  const Mask here = call.mask.on_host();
  const MaskView mask = view_of("score_mlp", here, pairs, Device::cpu);
  int64_t active = 0, allowed = 0;
  for (int64_t unit = 0; unit < units; ++unit) {
    const std::vector<double> values = z(unit).to(DType::f64).template values<double>();
    for (int64_t i = 0; i < pairs.elements(); ++i) {
      const int64_t row = i / pairs[3], s = i % pairs[3];
      const uint8_t* present = mask.present_in(row);
      const int64_t t = row % pairs[2];
      if (s < mask.first(t) || s >= mask.limit(t) || (present && !present[s])) continue;
      ++allowed;
      active += values[i] > 0;
    }
  }
  call.record("gate", Tensor::full({}, static_cast<double>(active) / static_cast<double>(std::max<int64_t>(1, allowed)),
                                   DType::f64));
}

// The network of a layer. Its first layer is taken apart into what it does to queries (a) and to keys (c).
struct ScoreNetwork : nn::Module {
  ScoreNetwork(const ScoreMlpOptions& o, const MixerShape& shape)
      : reduced(o.reduced_width(shape.head_channels())),
        reduce_query(child<HeadLinear>("reduce_query", shape.heads, o.shared, shape.head_channels(), reduced)),
        reduce_key(child<HeadLinear>("reduce_key", shape.heads, o.shared, shape.head_channels(), reduced)),
        first(child<HeadLinear>(o.form == "paper" ? "hidden" : "hidden1", shape.heads, o.shared, 2 * reduced,
                                o.form == "paper" ? o.hidden : reduced)),
        second(o.form == "paper"
                   ? nullptr
                   : &child<HeadLinear>("hidden2", shape.heads, o.shared, reduced, std::max<int64_t>(1, reduced / 2))),
        last(child<HeadLinear>("out", shape.heads, o.shared, second ? std::max<int64_t>(1, reduced / 2) : o.hidden, 1)) {}

  // What the first layer makes of queries, its bias included, and of keys: (B,H,T,M), (B,H,S,M).
  std::pair<Tensor, Tensor> first_layer(const Tensor& Q, const Tensor& K) const {
    return {add(matmul(reduce_query.forward(Q), transpose(slice(first.weight.value, -1, 0, reduced))), first.per_head_bias()),
            matmul(reduce_key.forward(K), transpose(slice(first.weight.value, -1, reduced, reduced)))};
  }

  Tensor forward(const Tensor& Q, const Tensor& K, const nn::Call& call) const {   // → (B,H,T,S)
    const Scope scope = enter();
    const std::pair<Tensor, Tensor> both = first_layer(Q, K);
    const Tensor &a = both.first, &c = both.second;
    const Shape pairs{Q.size(0), Q.size(1), Q.size(2), K.size(2)};
    if (!second) {
      if (call.records("gate")) record_share(call, pairs, first.weight.shape[-2], [&](int64_t k) {
        return add(slice(a, 3, k, 1), transpose(slice(c, 3, k, 1)));
      });
      return leave(add(reshape(pair_hidden(a, c, last.by_head(), call.mask), pairs), pair_bias(last, false)), Q, K);
    }
    const Tensor y = add(pair_hidden(a, c, second->by_head(), call.mask), pair_bias(*second, true));   // (B,H,R,T,S)
    if (call.records("gate")) record_share(call, pairs, y.size(2), [&](int64_t r) { return reshape(slice(y, 2, r, 1), pairs); });
    const Tensor weighted = mul(relu(y), reshape(last.by_head(), {last.by_head().size(0), -1, 1, 1}));
    return leave(add(sum(weighted, 2), pair_bias(last, false)), Q, K);
  }

  const int64_t reduced;
  HeadLinear &reduce_query, &reduce_key, &first, *second, &last;

 private:
  // Biases as they broadcast over (B,H,T,S) or, with an axis for outputs, (B,H,R,T,S).
  static Tensor pair_bias(const HeadLinear& layer, bool with_outputs) {
    const Tensor& bias = layer.bias.value;
    const int64_t heads = bias.rank() == 1 ? 1 : bias.size(0);
    return with_outputs ? reshape(bias, {heads, -1, 1, 1}) : reshape(bias, {heads, 1, 1});
  }
};

class ScoreMlp final : public StagedAttention {
 public:
  ScoreMlp(const ScoreMlpOptions& options, const MixerShape& shape)
      : StagedAttention(shape, options.fused()), network_(child<ScoreNetwork>("score", options, shape)),
        factor_(options.scale ? 1 / std::sqrt(static_cast<double>(shape.head_channels())) : 1) {}

  // Turned queries and keys tell of their distance through an inner product, and there is none here.
  bool accepts(nn::Positions positions) const override {
    return positions != nn::Positions::rotary && StagedAttention::accepts(positions);
  }

 private:
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    const Tensor s = network_.forward(Q, K, call);
    return factor_ == 1 ? s : affine(s, factor_, 0);
  }

  // The last bias is the same for all keys and cancels.
  Tensor fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const override {
    if (call.records("gate")) scores(Q, K, call);
    const auto [a, c] = network_.first_layer(Q, K);
    const bool alibi = has_alibi();
    const Tensor last = network_.last.by_head();   // (1 or H,1,units)
    const Tensor weight = affine(reshape(last, {last.size(0), last.size(2)}), factor_, 0);
    if (!network_.second) return network_attention(a, c, V, weight, call.mask, alibi);
    // The bias of the second layer is a unit of the first that is always on.
    const Tensor on = Tensor::full(a.shape().with(3, 1), 1, a.dtype(), a.device());
    const Tensor nothing = Tensor::zeros(c.shape().with(3, 1), c.dtype(), c.device());
    const Tensor bias = network_.second->bias.value;
    const Tensor hidden = concat({network_.second->by_head(), reshape(bias, {last.size(0), last.size(2), 1})}, 2);
    return deep_network_attention(concat({a, on}, 3), concat({c, nothing}, 3), V, hidden, weight, call.mask, alibi);
  }

  ScoreNetwork& network_;
  const double factor_;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_score_mlp(const ScoreMlpOptions& options, const MixerShape& shape) {
  nn::require_allowed("score_mlp", options);
  if (options.layers == "first" && shape.layer > 0) return make_dot_product(shape, options.fused());
  return std::make_unique<ScoreMlp>(options, shape);
}

Mechanism score_mlp_row() {
  return row_of<ScoreMlpOptions>(
      {.name = "score_mlp",
       .title = "Neural Attention",
       .paper = "DiGiugno & Mahmood 2025, arXiv 2502.17206",
       .equation = "s_ij = wᵀ ReLU(W [P_q q_i; P_k k_j] + b) + c; released: one layer more",
       .cost = "3 M operations a pair for M hidden units, released about d′²; memory T × S, fused T + S"},
      and_exact(staged_claims),
      make_score_mlp);
}

}  // namespace tapir

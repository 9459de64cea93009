#include "attention/fused_attention.h"

#include "attention/alibi.h"
#include "attention/all_ops.h"
#include "attention/expressive_weights.h"
#include "attention/fused_tiles.h"
#include "attention/pair_hidden.h"
#include "autograd/apply.h"

namespace tapir {

// A form of attention: its score and weight as kernels know them, and its weights (B,H,T,S) as the stages compute them.

struct DotProductForm {
  static constexpr const char* name = "dot_product_attention";
  using Score = DotScore;
  using Weight = SoftmaxWeight;
  static std::vector<double> slopes(int64_t heads) { return alibi_slopes(heads); }
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, bool alibi) {
    return softmax(biased(matmul(in[0], transpose(in[1])), mask, alibi), mask);
  }
  static Tensor biased(const Tensor& E, const Mask& mask, bool alibi) {
    return alibi ? add(E, alibi_bias(E.size(1), E.size(2), E.size(3), mask.offset, E.dtype(), E.device())) : E;
  }
};

struct ExpressiveForm {
  static constexpr const char* name = "expressive_attention";
  using Score = DotScore;
  using Weight = ResponseWeight;
  static std::vector<double> slopes(int64_t heads) {
    std::vector<double> all;
    for (int64_t h = 0; h < heads; ++h) all.push_back(response_slope(h, heads));
    return all;
  }
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, bool alibi) {
    return expressive_weights(matmul(in[0], transpose(in[1])), mask, alibi);
  }
};

struct NetworkForm {
  static constexpr const char* name = "network_attention";
  using Score = NetworkScore;
  using Weight = SoftmaxWeight;
  static std::vector<double> slopes(int64_t heads) { return alibi_slopes(heads); }
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, bool alibi) {
    const Tensor &a = in[0], &c = in[1], &weight = in[3];
    const Tensor E = pair_hidden(a, c, reshape(weight, {weight.size(0), 1, weight.size(1)}), mask);
    return softmax(DotProductForm::biased(reshape(E, {a.size(0), a.size(1), a.size(2), c.size(2)}), mask, alibi), mask);
  }
};

namespace {

// Rows of a tile: as many as a block's memory holds.
template <class T, class Tile>
int tile_rows(const char* name, int64_t features, int64_t width) {
  for (const int rows : {64, 32, 16, 8, 4})
    if (features + width < largest_block_memory &&
        Tile::memory(rows, static_cast<int>(features), static_cast<int>(width)) * int64_t{sizeof(T)} <= largest_block_memory)
      return rows;
  throw Error(name, text("a score of ", features, " features and values of width ", width, " exceed a block's memory of ",
                         largest_block_memory, " bytes"),
              "use more heads, or implementation = naive");
}

}  // namespace

// Inputs: query features (B,H,T,F), key features (B,H,S,F), values (B,H,S,D) and, for a network, weight (1 or H,F).
template <class Form>
struct FusedAttention {
  static constexpr const char* name = Form::name;
  static constexpr bool network = std::is_same_v<typename Form::Score, NetworkScore>;
  Mask mask;
  bool alibi;
  std::vector<Saved> in{};
  SavedOutput out{};
  Saved shifts{}, factors{};   // of the weights of each query

  Tensor forward(const std::vector<Tensor>& inputs) {
    const Tensor &q = inputs[0], &k = inputs[1], &v = inputs[2];
    require_same_kind(name, {&q, &k, &v});
    require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4 && q.shape().with(2, 0) == k.shape().with(2, 0) &&
                k.shape().with(3, 0) == v.shape().with(3, 0),
            name, [&] {
              return text("needs queries (B,H,T,F), keys (B,H,S,F), values (B,H,S,D), got ", q.shape(), ", ", k.shape(), ", ",
                          v.shape());
            });
    if constexpr (network) {
      const Tensor& w = inputs[3];
      require_same_kind(name, {&q, &w});
      require(w.rank() == 2 && (w.size(0) == 1 || w.size(0) == q.size(1)) && w.size(1) == q.size(3), name,
              [&] { return text("weight must be (1 or H,M) for a ", q.shape(), ", got ", w.shape()); });
    }
    in.assign(inputs.begin(), inputs.end());
    const Tensor o = Tensor::empty(q.shape().with(3, v.size(3)), q.dtype(), q.device());
    const Tensor shift = Tensor::empty(q.shape().without(3), q.dtype(), q.device());
    const Tensor factor = Tensor::empty(shift.shape(), q.dtype(), q.device());
    count_operations(1, 1);
    with_float(name, q.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using Tile = AttentionTile<T, typename Form::Score, typename Form::Weight>;
      for_each_tile<T, Tile>(q.size(2), [&](const AttentionTensors<T>& tensors) {
        return Tile{tensors, o.data<T>(), shift.data<T>(), factor.data<T>()};
      });
    });
    out = o;
    shifts = shift;
    factors = factor;
    return o;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    const Tensor g = g_.contiguous(), delta = sum(mul(g, at.output(out)), -1);
    const Tensor dq = Tensor::empty(in[0]->shape(), g.dtype(), g.device()), dk = Tensor::empty(in[1]->shape(), g.dtype(), g.device());
    const Tensor dv = Tensor::empty(in[2]->shape(), g.dtype(), g.device());
    count_operations(4, 3);
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using QueryTile = AttentionGradientTile<T, typename Form::Score, typename Form::Weight, false>;
      using KeyTile = AttentionGradientTile<T, typename Form::Score, typename Form::Weight, true>;
      const auto tile = [&](auto kind, const AttentionTensors<T>& tensors, const Tensor& features, const Tensor& values) {
        return decltype(kind){tensors, g.data<T>(), shifts->data<T>(), factors->data<T>(), delta.data<T>(), features.data<T>(),
                              values.data<T>()};
      };
      for_each_tile<T, QueryTile>(dq.size(2), [&](const auto& tensors) { return tile(QueryTile{}, tensors, dq, dv); });
      for_each_tile<T, KeyTile>(dk.size(2), [&](const auto& tensors) { return tile(KeyTile{}, tensors, dk, dv); });
    });
    if constexpr (!network) {
      return {dq, dk, dv};
    } else {
      // With G and G′ the sums of ds over pairs whose unit is on:  da = w G,  dc = w G′,  dw = Σ_t a G + Σ_s c G′
      const Tensor &a = *in[0], &c = *in[1], &w = *in[3];
      const Tensor factor = reshape(w, {1, w.size(0), 1, w.size(1)});
      const Tensor dw = add(sum(mul(a, dq), 2), sum(mul(c, dk), 2));   // (B,H,M)
      return {mul(factor, dq), mul(factor, dk), dv, reshape(sum_to(dw, {1, w.size(0), w.size(1)}), w.shape())};
    }
  }

  std::vector<Saved> inputs() const { return in; }
  Tensor composite(const std::vector<Tensor>& inputs) const {
    return matmul(Form::weights(inputs, mask, alibi), inputs[2]);
  }

 private:
  // Runs the tile that make(tensors) returns over all tiles of `rows` queries or keys of each head.
  template <class T, class Tile, class Make>
  void for_each_tile(int64_t rows, const Make& make) const {
    const Tensor q = in[0]->contiguous(), k = in[1]->contiguous(), v = in[2]->contiguous();
    const Tensor weight = network ? in[3]->contiguous() : Tensor();
    const int64_t heads = q.size(0) * q.size(1), F = q.size(3), D = v.size(3);
    const Tensor slopes = alibi ? Tensor::from(Form::slopes(q.size(1)), {q.size(1)}, q.device()).to(q.dtype()) : Tensor();
    const MaskView view = view_of(name, mask, {q.size(0), q.size(1), q.size(2), k.size(2)}, q.device());
    const int tile = tile_rows<T, Tile>(name, F, D);
    const AttentionTensors<T> tensors{.query = q.data<T>(), .key = k.data<T>(), .value = v.data<T>(),
                                      .weight = network ? weight.data<T>() : nullptr,
                                      .slopes = alibi ? slopes.data<T>() : nullptr,
                                      .weight_heads = network ? weight.size(0) : 1, .mask = view,
                                      .features = static_cast<int>(F), .width = static_cast<int>(D), .tile = tile};
    for_each_block(q.device(), heads * ((rows + tile - 1) / tile),
                   Tile::memory(tile, tensors.features, tensors.width) * int64_t{sizeof(T)}, make(tensors));
  }

  // Multiplications and additions of so many passes over all pairs' features, and over their values.
  void count_operations(int64_t of_features, int64_t of_values) const {
    if (DryRun* dry = DryRun::current())
      dry->count(2 * in[0]->size(0) * in[0]->size(1) * in[0]->size(2) * in[1]->size(2) *
                 (of_features * in[0]->size(3) + of_values * in[2]->size(3)));
  }
};

Tensor dot_product_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, bool alibi) {
  return tapir::apply(FusedAttention<DotProductForm>{mask, alibi}, std::vector<Tensor>{Q, K, V});
}

Tensor expressive_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, bool alibi) {
  return tapir::apply(FusedAttention<ExpressiveForm>{mask, alibi}, std::vector<Tensor>{Q, K, V});
}

Tensor network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& weight, const Mask& mask, bool alibi) {
  return tapir::apply(FusedAttention<NetworkForm>{mask, alibi}, std::vector<Tensor>{a, c, V, weight});
}

}  // namespace tapir

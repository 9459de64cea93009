// One pass of fused attention over all pairs, as an op and as what ops of two passes are made of (fused_attention.cc).
#pragma once
#include <type_traits>
#include <vector>

#include "attention/kernels/fused_kernels.h"
#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/blocks.h"

namespace tapir {

struct ByPlace {   // what a score owes to places
  bool alibi, own = true;
};

// Rows of a tile: as many as a block's memory holds.
template <class T, class Tile>
int tile_rows(const char* name, int64_t features, int64_t units, int64_t width, int64_t mixed) {
  for (const int rows : {64, 32, 16, 8, 4})
    if (Tile::tiles.elements(rows, features, units, width, mixed) * int64_t{sizeof(T)} <= largest_block_memory) return rows;
  throw Error(name, text("a score of ", features, " features", units > 1 ? text(" and ", units, " units") : "",
                         " and values of width ", width, " exceed a block's memory of ", largest_block_memory, " bytes"),
              "use more heads, or implementation = naive");
}

// A form of attention has a name, its Score and Weight as kernels know them, head_slopes() of ALiBi, and weights(), the same
// (B,H,T,S) as the stages compute them.
//
// Inputs: query features (B,H,T,F), key features (B,H,S,F), values (B,H,S,D) and, for a network, its weights: (1 or H,F) of one
// layer, (1 or H,R,F) and (1 or H,R) of two.
template <class Form>
struct FusedAttention {
  static constexpr const char* name = Form::name;
  static constexpr bool deep = std::is_same_v<typename Form::Score, DeepNetworkScore>;
  static constexpr bool network = deep || std::is_same_v<typename Form::Score, NetworkScore>;
  SavedMask mask;
  ByPlace by;
  std::vector<Saved> in{};
  SavedOutput out{};
  Saved shifts{}, factors{};   // of the weights of each query
  Saved key_terms{};           // of NetworkScore

  Tensor forward(const std::vector<Tensor>& inputs) {
    take(inputs);
    require_memory(inputs[2].size(3), inputs[2].size(3));
    if constexpr (network && !deep)
      key_terms = sum(mul(inputs[1], reshape(inputs[3], {networks(), 1, inputs[1].size(3)})), 3);
    const Tensor o = attend(inputs[2]);
    out = o;
    return o;
  }

  Gradients backward(const Tensor& g, const Backward& at) const {
    return gradients(*in[2], g, sum(mul(g, at.output(out)), -1), in[2]->size(3));
  }

  // Checks and keeps the inputs.
  void take(const std::vector<Tensor>& inputs) {
    const Tensor &q = inputs[0], &k = inputs[1], &v = inputs[2];
    require_same_kind(name, {&q, &k, &v});
    require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4 && q.shape().with(2, 0) == k.shape().with(2, 0) &&
                k.shape().with(3, 0) == v.shape().with(3, 0),
            name, [&] {
              return text("needs queries (B,H,T,F), keys (B,H,S,F), values (B,H,S,D), got ", q.shape(), ", ", k.shape(), ", ",
                          v.shape());
            });
    if constexpr (network) require_network(inputs);
    in.assign(inputs.begin(), inputs.end());
  }

  // What backward could not do is refused in forward: for values of this width, of which the last `mixed` get a gradient.
  void require_memory(int64_t width, int64_t mixed) const {
    with_float(name, in[0]->dtype(), [&](auto zero) {
      using T = decltype(zero);
      tile_rows<T, GradientTile<T, Of::keys>>(name, in[0]->size(3), units(), width, mixed);
    });
  }

  // The weights, times v (B,H,S,D): (B,H,T,D).
  Tensor attend(const Tensor& v) {
    const Tensor& q = *in[0];
    const Tensor o = Tensor::empty(q.shape().with(3, v.size(3)), q.dtype(), q.device());
    const Tensor shift = Tensor::empty(q.shape().without(3), q.dtype(), q.device());
    const Tensor factor = Tensor::empty(shift.shape(), q.dtype(), q.device());
    count_operations(deep ? units() : 1, v.size(3));
    with_float(name, q.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using Tile = AttentionTile<T, typename Form::Score, typename Form::Weight>;
      for_each_tile<T, Tile>(q.size(2), v, 0, [&](const AttentionTensors<T>& tensors) {
        return Tile{tensors, o.data<T>(), shift.data<T>(), factor.data<T>()};
      });
    });
    shifts = shift;
    factors = factor;
    return o;
  }

  // The transposed weights, times g (B,H,T,D): (B,H,S,D).
  Tensor attend_back(const Tensor& g) const {
    const Tensor dense = g.contiguous(), &k = *in[1], dv = Tensor::empty(k.shape().with(3, g.size(3)), g.dtype(), g.device());
    count_operations(deep ? units() : 1, g.size(3));
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using Tile = GradientTile<T, Of::values>;
      for_each_tile<T, Tile>(k.size(2), dense, g.size(3), [&](const AttentionTensors<T>& tensors) {
        return Tile{.in = tensors, .g = dense.data<T>(), .shifts = shifts->data<T>(), .factors = factors->data<T>(),
                    .deltas = nullptr, .gradient = nullptr, .value_gradient = dv.data<T>()};
      });
    });
    return dv;
  }

  // Of the weights times `values`, with the cotangent g: the inputs' gradients, of values their last `mixed` channels alone.
  // delta: the sums g·o (B,H,T) of the output's rows.
  Gradients gradients(const Tensor& values, const Tensor& g_, const Tensor& delta, int64_t mixed) const {
    const Tensor q = *in[0], k = *in[1], g = g_.contiguous();
    const Tensor dq = Tensor::empty({q.size(0), q.size(1), units(), q.size(2), q.size(3)}, g.dtype(), g.device());
    const Tensor dk = Tensor::empty({k.size(0), k.size(1), units(), k.size(2), k.size(3)}, g.dtype(), g.device());
    const Tensor dv = Tensor::empty(values.shape().with(3, mixed), g.dtype(), g.device());
    count_operations(deep ? 6 * units() : 4, 2 * values.size(3) + mixed);
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using QueryTile = GradientTile<T, Of::queries>;
      using KeyTile = GradientTile<T, Of::keys>;
      const auto tile = [&](auto kind, const AttentionTensors<T>& tensors, const Tensor& features) {
        return decltype(kind){tensors, g.data<T>(), shifts->data<T>(), factors->data<T>(), delta.data<T>(), features.data<T>(),
                              dv.data<T>()};
      };
      for_each_tile<T, QueryTile>(q.size(2), values, 0, [&](const auto& tensors) { return tile(QueryTile{}, tensors, dq); });
      for_each_tile<T, KeyTile>(k.size(2), values, mixed, [&](const auto& tensors) { return tile(KeyTile{}, tensors, dk); });
    });
    if constexpr (network) {
      // G_rt and G′_rs: the sums of ds over pairs whose units r and k are on. w_r = 1 where there is one layer.
      //   da = Σ_r w_r W_r G_r,  dc = Σ_r w_r W_r G′_r,  X_r = Σ_t a G_r + Σ_s c G′_r,  dW_r = w_r X_r,  dw_r = Σ_k W_rk X_rk
      const Tensor W = reshape(*in[3], {networks(), units(), q.size(3)});
      const Tensor w = deep ? reshape(*in[4], {networks(), units(), 1}) : Tensor();
      const Tensor factor = reshape(deep ? mul(w, W) : W, {1, networks(), units(), 1, q.size(3)});
      const Tensor X_of_heads = add(sum(chain(dq, reshape(q, {q.size(0), q.size(1), 1, q.size(2), q.size(3)})), 3),
                                    sum(chain(dk, reshape(k, {k.size(0), k.size(1), 1, k.size(2), k.size(3)})), 3));
      const Tensor X = reshape(sum_to(X_of_heads, {1, networks(), units(), q.size(3)}), W.shape());
      const auto over_units = [](const Tensor& x) { return deep ? sum(x, 2) : reshape(x, x.shape().without(2)); };
      Gradients all{over_units(mul(factor, dq)), over_units(mul(factor, dk)), dv,
                    reshape(deep ? mul(w, X) : X, in[3]->shape())};
      if constexpr (deep) all.push_back(sum(mul(W, X), 2));
      return all;
    } else {
      return {reshape(dq, q.shape()), reshape(dk, k.shape()), dv};
    }
  }

  std::vector<Saved> inputs() const { return in; }
  Tensor composite(const std::vector<Tensor>& inputs) const {
    std::vector<Tensor> visible = inputs;
    for (const int of_keys : {1, 2}) visible[of_keys] = without_hidden(inputs[of_keys], *mask);
    return mix(Form::weights(visible, *mask, by), visible[2], *mask);
  }

 private:
  template <class T, Of of>
  using GradientTile = AttentionGradientTile<T, typename Form::Score, typename Form::Weight, of>;

  int64_t networks() const { return network ? in[3]->size(0) : 1; }
  int64_t units() const { return deep ? in[3]->size(1) : 1; }   // of a second layer

  static void require_network(const std::vector<Tensor>& inputs) {
    const Tensor &q = inputs[0], &hidden = inputs[3];
    require_same_kind(name, {&q, &hidden});
    require(hidden.rank() == (deep ? 3 : 2) && (hidden.size(0) == 1 || hidden.size(0) == q.size(1)) &&
                hidden.size(-1) == q.size(3),
            name, [&] {
              return text(deep ? "hidden weights must be (1 or H,R,M)" : "weight must be (1 or H,M)", " for a ", q.shape(),
                          ", got ", hidden.shape());
            });
    if constexpr (deep) {
      require_same_kind(name, {&q, &inputs[4]});
      require(inputs[4].shape() == hidden.shape().without(2), name,
              [&] { return text("weight must be ", hidden.shape().without(2), ", got ", inputs[4].shape()); });
    }
  }

  // Runs the tile that make(tensors) returns over all tiles of `rows` queries or keys of each head.
  template <class T, class Tile, class Make>
  void for_each_tile(int64_t rows, const Tensor& values, int64_t mixed, const Make& make) const {
    const Tensor q = in[0]->contiguous(), k = network ? neg(*in[1]) : in[1]->contiguous(), v = values.contiguous();
    const Tensor hidden = network ? in[3]->contiguous() : Tensor(), last = deep ? in[4]->contiguous() : Tensor();
    const int64_t heads = q.size(0) * q.size(1), F = q.size(3), D = v.size(3);
    const Tensor slopes = by.alibi ? Tensor::from(Form::head_slopes(q.size(1)), {q.size(1)}, q.device()).to(q.dtype()) : Tensor();
    const MaskView view = view_of(name, *mask, {q.size(0), q.size(1), q.size(2), k.size(2)}, q.device());
    const int tile = tile_rows<T, Tile>(name, F, units(), D, mixed);
    const auto data_of = [](const Tensor& x) { return x.defined() ? x.data<T>() : nullptr; };
    const AttentionTensors<T> tensors{.query = q.data<T>(), .key = k.data<T>(), .value = v.data<T>(), .hidden = data_of(hidden),
                                      .out = data_of(last), .key_terms = data_of(*key_terms), .slopes = data_of(slopes),
                                      .networks = networks(), .mask = view, .own = by.own, .features = static_cast<int>(F),
                                      .units = static_cast<int>(units()), .width = static_cast<int>(D), .tile = tile,
                                      .mixed = static_cast<int>(mixed)};
    for_each_block(q.device(), heads * ((rows + tile - 1) / tile),
                   Tile::tiles.elements(tile, F, units(), D, mixed) * int64_t{sizeof(T)}, make(tensors));
  }

  // Multiplications and additions of so many passes over all pairs' features, and over so many channels of values.
  void count_operations(int64_t of_features, int64_t channels) const {
    if (DryRun* dry = DryRun::current())
      dry->count(2 * in[0]->size(0) * in[0]->size(1) * in[0]->size(2) * in[1]->size(2) *
                 (of_features * in[0]->size(3) + channels));
  }
};

}  // namespace tapir

#include "attention/kernels/fused_attention.h"

#include "attention/kernels/alibi.h"
#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/fused_kernels.h"
#include "attention/kernels/pair_hidden.h"
#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/blocks.h"

namespace tapir {

// A form of attention: its score and weight as kernels know them, and its weights (B,H,T,S) as the stages compute them.

struct ByPlace {   // what a score owes to places
  bool alibi, own = true;
};

struct SoftmaxForm {
  using Weight = SoftmaxWeight;
  static std::vector<double> head_slopes(int64_t heads) { return alibi_slopes(heads); }
  static Tensor softmax_of(const Tensor& E, const Mask& mask, ByPlace by) {
    const Tensor all = by.own ? E : without_own(E, mask.offset);
    return softmax(by.alibi ? with_alibi(all, mask.offset) : all, mask);
  }
  static Tensor with_alibi(const Tensor& E, int64_t offset) {
    return add(E, alibi_bias(E.size(1), E.size(2), E.size(3), offset, E.dtype(), E.device()));
  }
};

struct DotProductForm : SoftmaxForm {
  static constexpr const char* name = "dot_product_attention";
  using Score = DotScore;
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    return softmax_of(matmul(in[0], transpose(in[1])), mask, by);
  }
};

struct ExpressiveForm {
  static constexpr const char* name = "expressive_attention";
  using Score = DotScore;
  using Weight = ResponseWeight;
  static std::vector<double> head_slopes(int64_t heads) {
    std::vector<double> all;
    for (int64_t h = 0; h < heads; ++h) all.push_back(response_slope(h, heads));
    return all;
  }
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    return expressive_weights(matmul(in[0], transpose(in[1])), mask, by.alibi);
  }
};

struct NetworkForm : SoftmaxForm {
  static constexpr const char* name = "network_attention";
  using Score = NetworkScore;
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    const Tensor& weight = in[3];
    const Tensor E = pair_hidden(in[0], in[1], reshape(weight, {weight.size(0), 1, weight.size(1)}), mask);   // (B,H,1,T,S)
    return softmax_of(reshape(E, E.shape().without(2)), mask, by);
  }
};

struct DeepNetworkForm : SoftmaxForm {
  static constexpr const char* name = "deep_network_attention";
  using Score = DeepNetworkScore;
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    const Tensor &hidden = in[3], &out = in[4];
    const Tensor v = relu(pair_hidden(in[0], in[1], hidden, mask));   // (B,H,R,T,S)
    return softmax_of(sum(mul(v, reshape(out, {out.size(0), out.size(1), 1, 1})), 2), mask, by);
  }
};

namespace {

// Rows of a tile: as many as a block's memory holds.
template <class T, class Tile>
int tile_rows(const char* name, int64_t features, int64_t units, int64_t width, int64_t mixed) {
  for (const int rows : {64, 32, 16, 8, 4})
    if (Tile::tiles.elements(rows, features, units, width, mixed) * int64_t{sizeof(T)} <= largest_block_memory) return rows;
  throw Error(name, text("a score of ", features, " features", units > 1 ? text(" and ", units, " units") : "",
                         " and values of width ", width, " exceed a block's memory of ", largest_block_memory, " bytes"),
              "use more heads, or implementation = naive");
}

}  // namespace

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

// Of ops in which token t is query t and key t.
void require_tokens(const char* name, const Tensor& Q, const Tensor& K, const Tensor& V) {
  require(Q.rank() == 4 && Q.shape() == K.shape() && V.rank() == 4 && V.shape().with(3, 0) == Q.shape().with(3, 0), name, [&] {
    return text("needs queries and keys (B,H,T,F) and values (B,H,T,D), got ", Q.shape(), ", ", K.shape(), ", ", V.shape());
  });
}

// Y = A V, U = 2 V − Y, O = A U:
//   dU = Aᵀ dO,  dY = −dU,  dV = 2 dU + Aᵀ dY,  ds_ts = A_ts (dO_t·u_s + dY_t·v_s − dO_t·O_t − dY_t·Y_t)
struct FusedTwicing {
  struct Form : DotProductForm {
    static constexpr const char* name = "twicing_attention";
  };
  static constexpr const char* name = Form::name;
  FusedAttention<Form> attention;
  Saved smoothed{};   // Y
  SavedOutput out{};

  Tensor forward(const Tensor& Q, const Tensor& K, const Tensor& V) {
    require_tokens(name, Q, K, V);
    attention.take({Q, K, V});
    attention.require_memory(2 * V.size(3), V.size(3));
    smoothed = without_hidden(attention.attend(V), *attention.mask);
    const Tensor O = attention.attend(twiced(V, *smoothed));
    out = O;
    return O;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor &V = *attention.in[2], &Y = *smoothed, dU = attention.attend_back(g), dY = neg(dU);
    const Tensor delta = add(sum(mul(g, at.output(out)), -1), sum(mul(dY, Y), -1));
    Gradients all = attention.gradients(concat({twiced(V, Y), V}, 3), concat({g, dY}, 3), delta, V.size(3));
    all[2] = add(all[2], affine(dU, 2, 0));
    return all;
  }

  std::vector<Saved> inputs() const { return attention.in; }
  Tensor composite(const std::vector<Tensor>& inputs) const {
    const Mask& mask = *attention.mask;
    const Tensor V = without_hidden(inputs[2], mask);
    const Tensor A = Form::weights({inputs[0], without_hidden(inputs[1], mask)}, mask, attention.by);
    return mix(A, twiced(V, without_hidden(mix(A, V, mask), mask)), mask);
  }

 private:
  static Tensor twiced(const Tensor& V, const Tensor& Y) { return sub(affine(V, 2, 0), Y); }
};

// c_s = log Σ_t exp s_ts comes from attention with keys and queries exchanged and values of no width: it keeps the shift and
// 1/Σ exp(s − shift) of each row. Then O = P V with P = softmax_s(s_ts − c_s), which are scores of the features (q,1) and (k,−c).
//   dO = g,  δ_t = g_t·O_t,  dv_s = Σ_t P_ts g_t,  dc_s = −Σ_t P_ts (g_t·v_s − δ_t) = Σ_t P_ts δ_t − v_s·dv_s
//   ds_ts = P_ts (g_t·v_s − δ_t) + dc_s exp(s_ts − c_s) = P_ts (g_t·v_s + z_t dc_s − δ_t),   z_t = Σ_s exp(s_ts − c_s)
// So (v,dc) and (g,z) stand where v and g do in the gradient of attention. z_t is 0 for a query that counts in no column.
struct FusedDoublyNormalised {
  struct Form : DotProductForm {
    static constexpr const char* name = "doubly_normalised_attention";
  };
  static constexpr const char* name = Form::name;
  FusedAttention<Form> attention;   // of (q,1), (k,−c) and v
  std::vector<Saved> in{};
  SavedOutput out{};

  Tensor forward(const Tensor& Q, const Tensor& K, const Tensor& V) {
    require_tokens(name, Q, K, V);
    in = {Q, K, V};
    FusedAttention<Form> columns{attention.mask, attention.by};
    columns.take({K, Q, V});
    columns.attend(slice(V, 3, 0, 0));
    const Tensor none = Tensor::full({}, below_all_scores, Q.dtype(), Q.device());   // of a column without queries
    const Tensor c = where(equal(*columns.factors, 0), none, sub(*columns.shifts, log(*columns.factors)));
    const Shape one = Q.shape().with(3, 1);
    attention.take({concat({Q, Tensor::full(one, 1, Q.dtype(), Q.device())}, 3), concat({K, reshape(neg(c), one)}, 3), V});
    attention.require_memory(V.size(3) + 1, V.size(3) + 1);
    const Tensor O = attention.attend(V);
    out = O;
    return O;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor& V = *in[2];
    const Shape one = V.shape().with(3, 1);
    const Tensor delta = sum(mul(g, at.output(out)), 3), back = attention.attend_back(concat({g, reshape(delta, one)}, 3));
    const Tensor dV = slice(back, 3, 0, V.size(3)), dc = sub(slice(back, 3, V.size(3), 1), sum(mul(V, dV), 3, true));
    const Tensor total = reshape(div(exp(*attention.shifts), *attention.factors), one);
    const Tensor z = without_hidden(total, *attention.mask);
    const Gradients all = attention.gradients(concat({V, dc}, 3), concat({g, z}, 3), delta, 0);
    const auto features = [&](const Tensor& x) { return slice(x, 3, 0, in[0]->size(3)); };
    return {features(all[0]), features(all[1]), dV};
  }

  std::vector<Saved> inputs() const { return in; }
  Tensor composite(const std::vector<Tensor>& inputs) const {
    const Mask& mask = *attention.mask;
    Tensor E = matmul(inputs[0], transpose(without_hidden(inputs[1], mask)));
    if (attention.by.alibi) E = SoftmaxForm::with_alibi(E, mask.offset);
    Tensor counted = E;   // a query that is not there counts in no column
    if (mask.keys.defined()) {
      const Tensor none = Tensor::full({}, below_all_scores, E.dtype(), E.device());
      counted = where(reshape(mask.keys, {E.size(0), 1, E.size(2), 1}), E, none);
    }
    const Tensor c = reshape(logsumexp(transpose(counted)), {E.size(0), E.size(1), 1, E.size(3)});
    return mix(softmax(sub(E, c), mask), without_hidden(inputs[2], mask), mask);
  }
};

Tensor doubly_normalised_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Tensor& present, Flag alibi) {
  return tapir::apply(FusedDoublyNormalised{{Mask{.keys = present}.dense(), {alibi}}}, Q, K, V);
}

Tensor twicing_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi) {
  return tapir::apply(FusedTwicing{{mask.dense(), {alibi}}}, Q, K, V);
}

Tensor dot_product_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi, Flag own) {
  return tapir::apply(FusedAttention<DotProductForm>{mask.dense(), {alibi, own}}, std::vector<Tensor>{Q, K, V});
}

Tensor expressive_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi) {
  return tapir::apply(FusedAttention<ExpressiveForm>{mask.dense(), {alibi}}, std::vector<Tensor>{Q, K, V});
}

Tensor network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& weight, const Mask& mask,
                         Flag alibi) {
  return tapir::apply(FusedAttention<NetworkForm>{mask.dense(), {alibi}}, std::vector<Tensor>{a, c, V, weight});
}

Tensor deep_network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& hidden, const Tensor& weight,
                              const Mask& mask, Flag alibi) {
  return tapir::apply(FusedAttention<DeepNetworkForm>{mask.dense(), {alibi}}, std::vector<Tensor>{a, c, V, hidden, weight});
}

}  // namespace tapir

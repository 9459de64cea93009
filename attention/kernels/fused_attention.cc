#include "attention/kernels/fused_attention.h"

#include "attention/kernels/alibi.h"
#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/fused_scores.h"
#include "attention/kernels/mix.h"
#include "attention/kernels/pair_hidden.h"
#include "attention/kernels/response.h"
#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tensor/blocks.h"

namespace tapir {
namespace {

// ---- weights before they are divided by their sum, of a score s without ALiBi's part

struct SoftmaxWeight {   // exp(s − shift), shift: the largest score so far; ALiBi is a term of s
  static constexpr bool shifts = true;
  template <class T> HD static T of(T s, T shift) { return math::exp(s - shift); }
  template <class T> HD static T log_slope(T) { return T(1); }
};

struct ResponseWeight {   // below 1, so there is nothing to shift; ALiBi is a factor of the weight
  static constexpr bool shifts = false;
  template <class T> HD static T of(T z, T) { return response(z); }
  template <class T> HD static T log_slope(T z) { return log_response_slope(z); }
};

// ---- the kernels

// O = Σ_s w_s v_s / Σ_s w_s for a tile of queries. Tiles of keys come one after the other; when a larger score comes, what was
// summed up so far shrinks. shift and factor = 1/Σ w of each query are kept for backward.
template <class T, class Score, class Weight> struct AttentionTile {
  AttentionTensors<T> in;
  T *out, *shifts, *factors;   // (B,H,T,D), (B,H,T), (B,H,T)

  static constexpr TileCounts tiles{.of_features = 2, .of_gradients = 0, .of_values = 2, .of_pairs = 1 + Score::needs_spare};

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int tile = in.tile, F = in.features, D = in.width;
    const int64_t tiles = (in.mask.queries + tile - 1) / tile, head = index / tiles, t0 = index % tiles * tile;
    const int rows = static_cast<int>(in.mask.queries - t0 < tile ? in.mask.queries - t0 : tile);
    Carved<T> memory{static_cast<T*>(block.memory)};
    T* const q = memory.take(tile * F);
    T* const k = memory.take(tile * F);
    T* const v = memory.take(tile * D);
    T* const O = memory.take(tile * D);
    T* const S = memory.take(tile * tile);
    T* const spare = Score::needs_spare ? memory.take(tile * tile) : nullptr;
    T* const shift = memory.take(tile);
    T* const total = memory.take(tile);
    T* const shrink = memory.take(tile);
    const NetworkView<T> network = in.network_of(head);
    const T none = -T(HUGE_VALF), slope = in.slope_of(head);
    const uint8_t* const present = in.present_in(head);

    load(block, in.query + (head * in.mask.queries + t0) * F, rows, F, q);
    fill(block, rows * D, T(0), O);
    fill(block, rows, Weight::shifts ? none : T(0), shift);
    fill(block, rows, T(0), total);
    const int64_t seen = in.mask.limit(t0 + rows - 1);
    for (int64_t s0 = in.mask.first(t0) / tile * tile; s0 < seen; s0 += tile) {
      const int columns = static_cast<int>(seen - s0 < tile ? seen - s0 : tile);
      load_transposed(block, in.key + (head * in.mask.keys + s0) * F, columns, F, k);
      load(block, in.value + (head * in.mask.keys + s0) * D, columns, D, v);
      Score::template scores<false>(block, Pairs<T>{rows, columns, F, q, k, in.key_terms_from(head, s0), network, spare}, S);
      block.rows(rows, [&](const auto& team, int i) {
        const int64_t first = MaskView::within(in.mask.first(t0 + i) - s0, columns);
        const int64_t behind = MaskView::within(in.mask.limit(t0 + i) - s0, columns), allowed = behind - first, s1 = s0 + first;
        T* const row = S + i * columns;
        T* const s = row + first;
        const int64_t own = t0 + i + in.mask.offset - s1;   // the key at the query's place
        const T place = static_cast<T>(own), before = shift[i];
        T largest = before;
        if constexpr (Weight::shifts) {
          if (!in.own) team.each(allowed, [&](int64_t j) { s[j] = j == own ? T(below_all_scores) : s[j]; });
          if (slope != T(0)) team.each(allowed, [&](int64_t j) { s[j] -= slope * math::abs(place - static_cast<T>(j)); });
          const T here = present ? team.max(allowed, [&](int64_t j) { return present[s1 + j] ? s[j] : none; })
                                 : team.max(allowed, [&](int64_t j) { return s[j]; });
          largest = before < here ? here : before;
        }
        const T base = largest == none ? T(0) : largest;
        team.each(allowed, [&](int64_t j) { s[j] = Weight::of(s[j], base); });
        if constexpr (!Weight::shifts)
          if (slope != T(0))
            team.each(allowed, [&](int64_t j) { s[j] *= math::exp(-slope * math::abs(place - static_cast<T>(j))); });
        const T sum = present ? team.sum(allowed, [&](int64_t j) { return present[s1 + j] ? s[j] : T(0); })
                              : team.sum(allowed, [&](int64_t j) { return s[j]; });
        if (present) team.each(allowed, [&](int64_t j) { s[j] = present[s1 + j] ? s[j] : T(hidden); });
        team.each(first, [&](int64_t j) { row[j] = T(hidden); });
        team.each(columns - behind, [&](int64_t j) { row[behind + j] = T(hidden); });
        team.each(1, [&](int64_t) {
          shrink[i] = before == largest ? T(1) : math::exp(before - base);
          total[i] = total[i] * shrink[i] + sum;
          shift[i] = largest;
        });
      });
      if constexpr (Weight::shifts) scale_rows(block, rows, D, shrink, O);
      mix(block, rows, columns, D, S, v, O);
    }
    block.each(rows, [&](int i) {
      total[i] = total[i] == T(0) ? T(0) : T(1) / total[i];
      shifts[head * in.mask.queries + t0 + i] = shift[i] == none ? T(0) : shift[i];
      factors[head * in.mask.queries + t0 + i] = total[i];
    });
    scale_rows(block, rows, D, total, O);
    T* const o = out + (head * in.mask.queries + t0) * D;
    block.each(rows * D, [&](int i) { o[i] = O[i]; });
  }
};

// The gradient of one side's features, and with `by_key` that of the values. P_ts = w_ts / Σ w is computed again:
//   ds_ts = P_ts (dO_t·v_s − delta_t) (log w)′(s_ts),  delta_t = dO_t·O_t,    dv_s = Σ_t P_ts dO_t
template <class T, class Score, class Weight, bool by_key> struct AttentionGradientTile {
  AttentionTensors<T> in;
  const T *g, *shifts, *factors, *deltas;   // (B,H,T,D), (B,H,T) each
  T *gradient, *value_gradient;             // (B,H,R,T,F); by_key: (B,H,R,S,F) and (B,H,S,D)

  static constexpr TileCounts tiles{.of_features = 3, .of_gradients = 1, .of_values = by_key ? 4 : 2,
                                    .of_pairs = 2 + Score::needs_spare};

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int tile = in.tile, F = in.features, R = in.units, D = in.width;
    const int64_t queries = in.mask.queries, keys = in.mask.keys, offset = in.mask.offset;
    const int64_t mine_all = by_key ? keys : queries, theirs_all = by_key ? queries : keys;
    const int64_t tiles = (mine_all + tile - 1) / tile, head = index / tiles, i0 = index % tiles * tile;
    const int rows = static_cast<int>(mine_all - i0 < tile ? mine_all - i0 : tile);
    const T* const features = by_key ? in.key : in.query;
    const T* const values = by_key ? in.value : g;
    const T* const their_features = by_key ? in.query : in.key;
    const T* const their_values = by_key ? g : in.value;

    Carved<T> memory{static_cast<T*>(block.memory)};
    T* const x = memory.take(tile * F);          // my features, their gradient, my values
    T* const dx = memory.take(R * tile * F);
    T* const y = memory.take(tile * D);
    T* const their_x = memory.take(tile * F);
    T* const their_xT = memory.take(tile * F);   // transposed
    T* const their_yT = memory.take(tile * D);
    T* const P = memory.take(tile * tile);
    T* const dS = memory.take(tile * tile);
    T* const spare = Score::needs_spare ? memory.take(tile * tile) : nullptr;
    T* const shift = memory.take(tile);
    T* const factor = memory.take(tile);
    T* const delta = memory.take(tile);
    T* const dy = by_key ? memory.take(tile * D) : nullptr;
    T* const their_y = by_key ? memory.take(tile * D) : nullptr;
    const NetworkView<T> network = in.network_of(head);
    const T slope = in.slope_of(head);
    const uint8_t* const present = in.present_in(head);
    const auto load_statistics = [&](int64_t t0, int count) {
      block.each(count, [&](int i) {
        shift[i] = shifts[head * queries + t0 + i];
        factor[i] = factors[head * queries + t0 + i];
        delta[i] = deltas[head * queries + t0 + i];
      });
    };

    load(block, &features[(head * mine_all + i0) * F], rows, F, x);
    load(block, &values[(head * mine_all + i0) * D], rows, D, y);
    fill(block, R * rows * F, T(0), dx);
    if constexpr (by_key) fill(block, rows * D, T(0), dy);
    else load_statistics(i0, rows);
    // Theirs of my row i: those that a query sees, or that see a key.
    const auto first_of = [&](int64_t i) { return by_key ? in.mask.first_query(i) : in.mask.first(i); };
    const auto limit_of = [&](int64_t i) { return by_key ? in.mask.query_limit(i) : in.mask.limit(i); };
    const int64_t first = first_of(i0) / tile * tile, end = limit_of(i0 + rows - 1);
    for (int64_t j0 = first; j0 < end; j0 += tile) {
      const int columns = static_cast<int>(end - j0 < tile ? end - j0 : tile);
      load(block, &their_features[(head * theirs_all + j0) * F], columns, F, their_x);
      load_transposed(block, &their_features[(head * theirs_all + j0) * F], columns, F, their_xT);
      load_transposed(block, &their_values[(head * theirs_all + j0) * D], columns, D, their_yT);
      if constexpr (by_key) {
        load(block, &their_values[(head * theirs_all + j0) * D], columns, D, their_y);
        load_statistics(j0, columns);
      }
      const Pairs<T> pairs{rows, columns, F, x, their_xT, in.key_terms_from(head, by_key ? i0 : j0), network, spare};
      const Pairs<T> value_pairs{rows, columns, D, y, their_yT};
      Score::template scores<by_key>(block, pairs, P);
      DotScore::scores<by_key>(block, value_pairs, dS);
      block.rows(rows, [&](const auto& team, int i) {
        T* const p = &P[i * columns];
        T* const ds = &dS[i * columns];
        const int64_t begin = MaskView::within(first_of(i0 + i) - j0, columns);
        const bool absent = by_key && present && !present[i0 + i];
        const int64_t end = absent ? begin : MaskView::within(limit_of(i0 + i) - j0, columns);
        const T place = static_cast<T>(by_key ? i0 + i - offset - j0 : i0 + i + offset - j0);
        team.each(end - begin, [&](int64_t n) {
          const int64_t j = begin + n, query = by_key ? j : i;
          const bool below = !in.own && place == static_cast<T>(j);
          const T score = below ? T(below_all_scores) : p[j], fall = slope * math::abs(place - static_cast<T>(j));
          T weight = Weight::of(Weight::shifts ? score - fall : score, shift[query]) * factor[query];
          if constexpr (!Weight::shifts) weight *= math::exp(-fall);
          p[j] = weight;
          ds[j] = below ? T(0) : weight * (ds[j] - delta[query]) * Weight::log_slope(score);
        });
        if (!by_key && present) team.each(end, [&](int64_t j) { p[j] = present[j0 + j] ? p[j] : T(hidden); });
        team.each(begin, [&](int64_t j) { p[j] = T(hidden); });
        team.each(columns - end, [&](int64_t j) { p[end + j] = T(hidden); });
        team.each(columns, [&](int64_t j) { ds[j] = p[j] <= T(0) ? T(0) : ds[j]; });
      });
      Score::template pull<by_key>(block, pairs, their_x, dS, dx);
      if constexpr (by_key) mix(block, rows, columns, D, P, their_y, dy);
    }
    for (int r = 0; r < R; ++r) {
      T* const to = &gradient[((head * R + r) * mine_all + i0) * F];
      block.each(rows * F, [&](int i) { to[i] = dx[r * rows * F + i]; });
    }
    if constexpr (by_key) {
      T* const values_to = &value_gradient[(head * keys + i0) * D];
      block.each(rows * D, [&](int i) { values_to[i] = dy[i]; });
    }
  }
};

}  // namespace

// A form of attention: its score and weight as kernels know them, and its weights (B,H,T,S) as the stages compute them.

struct ByPlace {   // what a score owes to places
  bool alibi, own = true;
};

struct SoftmaxForm {
  using Weight = SoftmaxWeight;
  static std::vector<double> head_slopes(int64_t heads) { return alibi_slopes(heads); }
  static Tensor softmax_of(const Tensor& E, const Mask& mask, ByPlace by) {
    const Tensor all = by.own ? E : without_own(E, mask.offset);
    if (!by.alibi) return softmax(all, mask);
    return softmax(add(all, alibi_bias(E.size(1), E.size(2), E.size(3), mask.offset, E.dtype(), E.device())), mask);
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
int tile_rows(const char* name, int64_t features, int64_t units, int64_t width) {
  for (const int rows : {64, 32, 16, 8, 4})
    if (Tile::tiles.elements(rows, features, units, width) * int64_t{sizeof(T)} <= largest_block_memory) return rows;
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
    const Tensor o = Tensor::empty(q.shape().with(3, v.size(3)), q.dtype(), q.device());
    const Tensor shift = Tensor::empty(q.shape().without(3), q.dtype(), q.device());
    const Tensor factor = Tensor::empty(shift.shape(), q.dtype(), q.device());
    count_operations(deep ? units() : 1, 1);
    with_float(name, q.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using Tile = AttentionTile<T, typename Form::Score, typename Form::Weight>;
      using LargestTile = AttentionGradientTile<T, typename Form::Score, typename Form::Weight, true>;
      tile_rows<T, LargestTile>(name, q.size(3), units(), v.size(3));   // what backward could not do is refused here
      if constexpr (network && !deep) key_terms = sum(mul(k, reshape(inputs[3], {networks(), 1, k.size(3)})), 3);
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
    const Tensor q = *in[0], k = *in[1];
    const Tensor dq = Tensor::empty({q.size(0), q.size(1), units(), q.size(2), q.size(3)}, g.dtype(), g.device());
    const Tensor dk = Tensor::empty({k.size(0), k.size(1), units(), k.size(2), k.size(3)}, g.dtype(), g.device());
    const Tensor dv = Tensor::empty(in[2]->shape(), g.dtype(), g.device());
    count_operations(deep ? 6 * units() : 4, 3);
    with_float(name, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      using QueryTile = AttentionGradientTile<T, typename Form::Score, typename Form::Weight, false>;
      using KeyTile = AttentionGradientTile<T, typename Form::Score, typename Form::Weight, true>;
      const auto tile = [&](auto kind, const AttentionTensors<T>& tensors, const Tensor& features, const Tensor& values) {
        return decltype(kind){tensors, g.data<T>(), shifts->data<T>(), factors->data<T>(), delta.data<T>(), features.data<T>(),
                              values.data<T>()};
      };
      for_each_tile<T, QueryTile>(q.size(2), [&](const auto& tensors) { return tile(QueryTile{}, tensors, dq, dv); });
      for_each_tile<T, KeyTile>(k.size(2), [&](const auto& tensors) { return tile(KeyTile{}, tensors, dk, dv); });
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
  void for_each_tile(int64_t rows, const Make& make) const {
    const Tensor q = in[0]->contiguous(), k = network ? neg(*in[1]) : in[1]->contiguous(), v = in[2]->contiguous();
    const Tensor hidden = network ? in[3]->contiguous() : Tensor(), last = deep ? in[4]->contiguous() : Tensor();
    const int64_t heads = q.size(0) * q.size(1), F = q.size(3), D = v.size(3);
    const Tensor slopes = by.alibi ? Tensor::from(Form::head_slopes(q.size(1)), {q.size(1)}, q.device()).to(q.dtype()) : Tensor();
    const MaskView view = view_of(name, *mask, {q.size(0), q.size(1), q.size(2), k.size(2)}, q.device());
    const int tile = tile_rows<T, Tile>(name, F, units(), D);
    const auto data_of = [](const Tensor& x) { return x.defined() ? x.data<T>() : nullptr; };
    const AttentionTensors<T> tensors{.query = q.data<T>(), .key = k.data<T>(), .value = v.data<T>(), .hidden = data_of(hidden),
                                      .out = data_of(last), .key_terms = data_of(*key_terms), .slopes = data_of(slopes),
                                      .networks = networks(), .mask = view, .own = by.own, .features = static_cast<int>(F),
                                      .units = static_cast<int>(units()), .width = static_cast<int>(D), .tile = tile};
    for_each_block(q.device(), heads * ((rows + tile - 1) / tile),
                   Tile::tiles.elements(tile, F, units(), D) * int64_t{sizeof(T)}, make(tensors));
  }

  // Multiplications and additions of so many passes over all pairs' features, and over their values.
  void count_operations(int64_t of_features, int64_t of_values) const {
    if (DryRun* dry = DryRun::current())
      dry->count(2 * in[0]->size(0) * in[0]->size(1) * in[0]->size(2) * in[1]->size(2) *
                 (of_features * in[0]->size(3) + of_values * in[2]->size(3)));
  }
};

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

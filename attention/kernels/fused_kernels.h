// The kernels of fused attention (fused_attention.cc): one tile of queries, or of keys, against all tiles of the others.
#pragma once
#include "attention/kernels/fused_scores.h"
#include "attention/kernels/mix.h"
#include "attention/kernels/response.h"

namespace tapir {

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

  static constexpr TileCounts tiles{.of_features = 2, .of_gradients = 0, .of_values = 2, .of_mixed = 0,
                                    .of_pairs = 1 + Score::needs_spare};

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

enum class Of { queries, keys, values };   // keys: values too

// The gradient of one side's features, and that of values. P_ts = w_ts / Σ w is computed again:
//   ds_ts = P_ts (dO_t·v_s − delta_t) (log w)′(s_ts),  delta_t = dO_t·O_t,    dv_s = Σ_t P_ts dO_t
template <class T, class Score, class Weight, Of of> struct AttentionGradientTile {
  AttentionTensors<T> in;
  const T *g, *shifts, *factors, *deltas;   // (B,H,T,D), (B,H,T) each
  T *gradient, *value_gradient;             // of queries (B,H,R,T,F), or of keys (B,H,R,S,F); (B,H,S,M)

  static constexpr bool by_key = of != Of::queries, of_scores = of != Of::values;
  static constexpr TileCounts tiles{.of_features = 2 + of_scores, .of_gradients = of_scores, .of_values = 2 * of_scores,
                                    .of_mixed = 2 * by_key, .of_pairs = 1 + of_scores + Score::needs_spare};

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int tile = in.tile, F = in.features, R = in.units, D = in.width, M = in.mixed;
    const int64_t queries = in.mask.queries, keys = in.mask.keys, offset = in.mask.offset;
    const int64_t mine_all = by_key ? keys : queries, theirs_all = by_key ? queries : keys;
    const int64_t tiles = (mine_all + tile - 1) / tile, head = index / tiles, i0 = index % tiles * tile;
    const int rows = static_cast<int>(mine_all - i0 < tile ? mine_all - i0 : tile);
    const T* const features = by_key ? in.key : in.query;
    const T* const values = by_key ? in.value : g;
    const T* const their_features = by_key ? in.query : in.key;
    const T* const their_values = by_key ? g : in.value;

    Carved<T> memory{static_cast<T*>(block.memory)};
    const auto take = [&](bool wanted, int elements) { return wanted ? memory.take(elements) : nullptr; };
    T* const x = memory.take(tile * F);          // my features, their gradient, my values
    T* const dx = take(of_scores, R * tile * F);
    T* const y = take(of_scores, tile * D);
    T* const their_x = take(of_scores, tile * F);
    T* const their_xT = memory.take(tile * F);   // transposed
    T* const their_yT = take(of_scores, tile * D);
    T* const P = memory.take(tile * tile);
    T* const dS = take(of_scores, tile * tile);
    T* const spare = take(Score::needs_spare, tile * tile);
    T* const shift = memory.take(tile);
    T* const factor = memory.take(tile);
    T* const delta = memory.take(tile);
    T* const dy = take(by_key, tile * M);
    T* const their_y = take(by_key, tile * M);
    const NetworkView<T> network = in.network_of(head);
    const T slope = in.slope_of(head);
    const uint8_t* const present = in.present_in(head);
    const auto load_statistics = [&](int64_t t0, int count) {
      block.each(count, [&](int i) {
        shift[i] = shifts[head * queries + t0 + i];
        factor[i] = factors[head * queries + t0 + i];
        if constexpr (of_scores) delta[i] = deltas[head * queries + t0 + i];
      });
    };

    load(block, &features[(head * mine_all + i0) * F], rows, F, x);
    if constexpr (of_scores) {
      load(block, &values[(head * mine_all + i0) * D], rows, D, y);
      fill(block, R * rows * F, T(0), dx);
    }
    if constexpr (by_key) fill(block, rows * M, T(0), dy);
    else load_statistics(i0, rows);
    // Theirs of my row i: those that a query sees, or that see a key.
    const auto first_of = [&](int64_t i) { return by_key ? in.mask.first_query(i) : in.mask.first(i); };
    const auto limit_of = [&](int64_t i) { return by_key ? in.mask.query_limit(i) : in.mask.limit(i); };
    const int64_t first = first_of(i0) / tile * tile, end = limit_of(i0 + rows - 1);
    for (int64_t j0 = first; j0 < end; j0 += tile) {
      const int columns = static_cast<int>(end - j0 < tile ? end - j0 : tile);
      load_transposed(block, &their_features[(head * theirs_all + j0) * F], columns, F, their_xT);
      if constexpr (of_scores) {
        load(block, &their_features[(head * theirs_all + j0) * F], columns, F, their_x);
        load_transposed(block, &their_values[(head * theirs_all + j0) * D], columns, D, their_yT);
      }
      if constexpr (by_key) {
        load_last(block, &their_values[(head * theirs_all + j0) * D], columns, D, M, their_y);
        load_statistics(j0, columns);
      }
      const Pairs<T> pairs{rows, columns, F, x, their_xT, in.key_terms_from(head, by_key ? i0 : j0), network, spare};
      const Pairs<T> value_pairs{rows, columns, D, y, their_yT};
      Score::template scores<by_key>(block, pairs, P);
      if constexpr (of_scores) DotScore::scores<by_key>(block, value_pairs, dS);
      block.rows(rows, [&](const auto& team, int i) {
        T* const p = &P[i * columns];
        [[maybe_unused]] T* const ds = of_scores ? &dS[i * columns] : nullptr;
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
          if constexpr (of_scores) ds[j] = below ? T(0) : weight * (ds[j] - delta[query]) * Weight::log_slope(score);
        });
        if (!by_key && present) team.each(end, [&](int64_t j) { p[j] = present[j0 + j] ? p[j] : T(hidden); });
        team.each(begin, [&](int64_t j) { p[j] = T(hidden); });
        team.each(columns - end, [&](int64_t j) { p[end + j] = T(hidden); });
        if constexpr (of_scores) team.each(columns, [&](int64_t j) { ds[j] = p[j] <= T(0) ? T(0) : ds[j]; });
      });
      if constexpr (of_scores) Score::template pull<by_key>(block, pairs, their_x, dS, dx);
      if constexpr (by_key) mix(block, rows, columns, M, P, their_y, dy);
    }
    if constexpr (of_scores)
      for (int r = 0; r < R; ++r) {
        T* const to = &gradient[((head * R + r) * mine_all + i0) * F];
        block.each(rows * F, [&](int i) { to[i] = dx[r * rows * F + i]; });
      }
    if constexpr (by_key) {
      T* const values_to = &value_gradient[(head * keys + i0) * M];
      block.each(rows * M, [&](int i) { values_to[i] = dy[i]; });
    }
  }
};

}  // namespace tapir

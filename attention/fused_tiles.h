// The kernels of fused attention, one forward and one backward, for every form of score and of weight.
//
// Letters: a tile has rows of one side, "mine", and columns of the other, "theirs". F features of a score, D of a value.
#pragma once
#include <cmath>

#include "attention/response.h"
#include "tensor/blocks.h"
#include "tensor/mask.h"

namespace tapir {

// ---- scores: s = Σ_f add(…), the same from both sides; what a gradient ds adds to the gradient of my feature f

struct DotScore {   // s = q·k
  template <class T> HD static T add(T s, T mine, T theirs, T) { return std::fma(mine, theirs, s); }
  template <class T> HD static T pull(T sum, T ds, T, T theirs) { return std::fma(ds, theirs, sum); }
};

struct NetworkScore {   // s = Σ_k w_k ReLU(a_k + c_k);  pull leaves the factor w_k out
  template <class T> HD static T add(T s, T mine, T theirs, T w) {
    const T z = mine + theirs;
    return std::fma(w, z < T(0) ? T(0) : z, s);   // NaN stays
  }
  template <class T> HD static T pull(T sum, T ds, T mine, T theirs) { return mine + theirs > T(0) ? sum + ds : sum; }
};

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

// ---- what both kernels read

template <class T> struct AttentionTensors {
  const T *query, *key, *value;   // (B,H,T,F), (B,H,S,F), (B,H,S,D)
  const T* weight;                // (weight_heads,F), of NetworkScore
  const T* slopes;                // (H); null: 0
  int64_t weight_heads;
  MaskView mask;
  int features, width, tile;      // F, D, rows of a tile

  HD const T* weight_of(int64_t head) const {
    return weight ? weight + head % mask.heads % weight_heads * features : nullptr;
  }
  HD T slope_of(int64_t head) const { return slopes ? slopes[head % mask.heads] : T(0); }
  HD const uint8_t* present_in(int64_t head) const {
    return mask.present ? mask.present + head / mask.heads * mask.keys : nullptr;
  }
};

HD inline int64_t clamped(int64_t n, int64_t most) { return n < 0 ? 0 : n < most ? n : most; }   // to 0 … most

// Copies (rows,columns) into the block's memory, or its transpose.
template <class B, class T> HD void load(const B& block, const T* from, int rows, int columns, T* to) {
  block.each(rows * columns, [&](int i) { to[i] = from[i]; });
}
template <class B, class T> HD void load_transposed(const B& block, const T* from, int rows, int columns, T* to) {
  block.rows(columns, [&](const auto& team, int j) {
    team.each(rows, [&](int64_t i) { to[j * rows + i] = from[i * columns + j]; });
  });
}
// x_ij *= factor_i
template <class B, class T> HD void scale_rows(const B& block, int rows, int columns, const T* factor, T* x) {
  block.rows(rows, [&](const auto& team, int i) {
    const T by = factor[i];
    team.each(columns, [&](int64_t j) { x[i * columns + j] *= by; });
  });
}
template <class B, class T> HD void fill(const B& block, int n, T value, T* to) {
  block.each(n, [&](int i) { to[i] = value; });
}

// S_ij = Σ_f add(mine_if, theirs_fj)
template <class Score, class B, class T>
HD void scores(const B& block, int rows, int columns, int features, const T* mine, const T* theirs, const T* w, T* S) {
  fill(block, rows * columns, T(0), S);
  block.accumulate(rows, columns, features, S, [&](T s, int i, int f, int j) {
    return Score::add(s, mine[i * features + f], theirs[f * columns + j], w ? w[f] : T(1));
  });
}

// O_id += Σ_j P_ij v_jd; where P is 0 the value does not matter, NaN included
template <class B, class T> HD void mix(const B& block, int rows, int columns, int width, const T* P, const T* v, T* O) {
  block.accumulate(rows, width, columns, O, [&](T sum, int i, int j, int d) {
    const T p = P[i * columns + j], more = std::fma(p, v[j * width + d], sum);
    return p == T(0) ? sum : more;
  });
}

// O = Σ_s w_s v_s / Σ_s w_s for a tile of queries. Tiles of keys come one after the other; when a larger score comes, what was
// summed up so far shrinks. shift and factor = 1/Σ w of each query are kept for backward.
template <class T, class Score, class Weight> struct AttentionTile {
  AttentionTensors<T> in;
  T *out, *shifts, *factors;   // (B,H,T,D), (B,H,T), (B,H,T)

  static int64_t memory(int tile, int features, int width) {   // elements
    return int64_t{tile} * (2 * features + 2 * width + tile + 3);
  }

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int tile = in.tile, F = in.features, D = in.width;
    const int64_t tiles = (in.mask.queries + tile - 1) / tile, head = index / tiles, t0 = index % tiles * tile;
    const int rows = static_cast<int>(in.mask.queries - t0 < tile ? in.mask.queries - t0 : tile);
    T* const q = static_cast<T*>(block.memory);
    T *const k = q + tile * F, *const v = k + tile * F, *const O = v + tile * D, *const S = O + tile * D;
    T *const shift = S + tile * tile, *const total = shift + tile, *const shrink = total + tile;
    const T *const w = in.weight_of(head), none = -T(HUGE_VALF), slope = in.slope_of(head);
    const uint8_t* const present = in.present_in(head);

    load(block, in.query + (head * in.mask.queries + t0) * F, rows, F, q);
    fill(block, rows * D, T(0), O);
    fill(block, rows, Weight::shifts ? none : T(0), shift);
    fill(block, rows, T(0), total);
    const int64_t seen = in.mask.limit(t0 + rows - 1);
    for (int64_t s0 = 0; s0 < seen; s0 += tile) {
      const int columns = static_cast<int>(seen - s0 < tile ? seen - s0 : tile);
      load_transposed(block, in.key + (head * in.mask.keys + s0) * F, columns, F, k);
      load(block, in.value + (head * in.mask.keys + s0) * D, columns, D, v);
      scores<Score>(block, rows, columns, F, q, k, w, S);
      block.rows(rows, [&](const auto& team, int i) {
        T* const s = S + i * columns;
        const int64_t allowed = clamped(in.mask.limit(t0 + i) - s0, columns);
        const T place = static_cast<T>(t0 + i + in.mask.offset - s0), before = shift[i];
        T largest = before;
        if constexpr (Weight::shifts) {
          if (slope != T(0)) team.each(allowed, [&](int64_t j) { s[j] -= slope * math::abs(place - static_cast<T>(j)); });
          const T here = present ? team.max(allowed, [&](int64_t j) { return present[s0 + j] ? s[j] : none; })
                                 : team.max(allowed, [&](int64_t j) { return s[j]; });
          largest = before < here ? here : before;
        }
        const T base = largest == none ? T(0) : largest;
        team.each(allowed, [&](int64_t j) { s[j] = Weight::of(s[j], base); });
        if constexpr (!Weight::shifts)
          if (slope != T(0)) team.each(allowed, [&](int64_t j) { s[j] *= math::exp(-slope * math::abs(place - static_cast<T>(j))); });
        if (present) team.each(allowed, [&](int64_t j) { s[j] = present[s0 + j] ? s[j] : T(0); });
        team.each(columns - allowed, [&](int64_t j) { s[allowed + j] = T(0); });
        const T sum = team.sum(allowed, [&](int64_t j) { return s[j]; });
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
  T *gradient, *value_gradient;             // (B,H,T,F); by_key: (B,H,S,F) and (B,H,S,D)

  static int64_t memory(int tile, int features, int width) {   // elements
    return int64_t{tile} * (4 * features + (by_key ? 4 : 2) * width + 2 * tile + 3);
  }

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int tile = in.tile, F = in.features, D = in.width;
    const int64_t queries = in.mask.queries, keys = in.mask.keys, offset = in.mask.offset;
    const int64_t mine_all = by_key ? keys : queries, theirs_all = by_key ? queries : keys;
    const int64_t tiles = (mine_all + tile - 1) / tile, head = index / tiles, i0 = index % tiles * tile;
    const int rows = static_cast<int>(mine_all - i0 < tile ? mine_all - i0 : tile);
    const T *const features = by_key ? in.key : in.query, *const their_features = by_key ? in.query : in.key;
    const T *const values = by_key ? in.value : g, *const their_values = by_key ? g : in.value;

    T* const x = static_cast<T*>(block.memory);          // my features, and what follows of them
    T *const dx = x + tile * F, *const y = dx + tile * F;
    T *const their_x = y + tile * D, *const their_xT = their_x + tile * F, *const their_yT = their_xT + tile * F;
    T *const P = their_yT + tile * D, *const dS = P + tile * tile;
    T *const shift = dS + tile * tile, *const factor = shift + tile, *const delta = factor + tile;
    T *const dy = delta + tile, *const their_y = dy + tile * D;   // by_key alone
    const T *const w = in.weight_of(head), slope = in.slope_of(head);
    const uint8_t* const present = in.present_in(head);
    const auto load_statistics = [&](int64_t t0, int count) {
      block.each(count, [&](int i) {
        shift[i] = shifts[head * queries + t0 + i];
        factor[i] = factors[head * queries + t0 + i];
        delta[i] = deltas[head * queries + t0 + i];
      });
    };

    load(block, features + (head * mine_all + i0) * F, rows, F, x);
    load(block, values + (head * mine_all + i0) * D, rows, D, y);
    fill(block, rows * F, T(0), dx);
    if constexpr (by_key) fill(block, rows * D, T(0), dy);
    else load_statistics(i0, rows);
    // Causal: a key is seen from query s − offset on, a query sees keys up to its limit.
    const int64_t first = by_key && in.mask.causal && i0 > offset ? (i0 - offset) / tile * tile : 0;
    const int64_t end = by_key ? queries : in.mask.limit(i0 + rows - 1);
    for (int64_t j0 = first; j0 < end; j0 += tile) {
      const int columns = static_cast<int>(end - j0 < tile ? end - j0 : tile);
      load(block, their_features + (head * theirs_all + j0) * F, columns, F, their_x);
      load_transposed(block, their_features + (head * theirs_all + j0) * F, columns, F, their_xT);
      load_transposed(block, their_values + (head * theirs_all + j0) * D, columns, D, their_yT);
      if constexpr (by_key) {
        load(block, their_values + (head * theirs_all + j0) * D, columns, D, their_y);
        load_statistics(j0, columns);
      }
      scores<Score>(block, rows, columns, F, x, their_xT, w, P);
      scores<DotScore>(block, rows, columns, D, y, their_yT, static_cast<const T*>(nullptr), dS);
      block.rows(rows, [&](const auto& team, int i) {
        T *const p = P + i * columns, *const ds = dS + i * columns;
        const int64_t begin = by_key && in.mask.causal ? clamped(i0 + i - offset - j0, columns) : 0;
        const int64_t end = by_key ? (present && !present[i0 + i] ? begin : columns) : clamped(in.mask.limit(i0 + i) - j0, columns);
        const T place = static_cast<T>(by_key ? i0 + i - offset - j0 : i0 + i + offset - j0);
        team.each(end - begin, [&](int64_t n) {
          const int64_t j = begin + n, query = by_key ? j : i;
          const T score = p[j], fall = slope * math::abs(place - static_cast<T>(j));
          T weight = Weight::of(Weight::shifts ? score - fall : score, shift[query]) * factor[query];
          if constexpr (!Weight::shifts) weight *= math::exp(-fall);
          p[j] = weight;
          ds[j] = weight * (ds[j] - delta[query]) * Weight::log_slope(score);
        });
        if (!by_key && present) team.each(end, [&](int64_t j) { p[j] = present[j0 + j] ? p[j] : T(0); });
        team.each(begin, [&](int64_t j) { p[j] = T(0); });
        team.each(columns - end, [&](int64_t j) { p[end + j] = T(0); });
        team.each(columns, [&](int64_t j) { ds[j] = p[j] == T(0) ? T(0) : ds[j]; });
      });
      block.accumulate(rows, F, columns, dx, [&](T sum, int i, int j, int f) {
        const T ds = dS[i * columns + j], more = Score::pull(sum, ds, x[i * F + f], their_x[j * F + f]);
        return ds == T(0) ? sum : more;
      });
      if constexpr (by_key) mix(block, rows, columns, D, P, their_y, dy);
    }
    T* const to = gradient + (head * mine_all + i0) * F;
    block.each(rows * F, [&](int i) { to[i] = dx[i]; });
    if constexpr (by_key) {
      T* const values_to = value_gradient + (head * keys + i0) * D;
      block.each(rows * D, [&](int i) { values_to[i] = dy[i]; });
    }
  }
};

}  // namespace tapir

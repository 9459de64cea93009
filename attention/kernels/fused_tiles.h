// What the kernels of fused attention (fused_attention.cc) are made of.
//
// Letters: B batch, H heads, T queries, S keys, F features of a query and of a key, R units of a second layer (1 where there
// is none), D width of a value, M of the part that gets a gradient.
#pragma once
#include <cmath>

#include "tensor/blocks.h"
#include "tensor/mask.h"

namespace tapir {

// The network of a head.
template <class T> struct NetworkView {
  const T *hidden, *out;   // (R,F), (R); out is null where there is one layer
  int units;               // R
};

// What every kernel reads.
template <class T> struct AttentionTensors {
  const T *query, *key, *value;   // (B,H,T,F), (B,H,S,F), (B,H,S,D); of a network the key is −c
  const T *hidden, *out;          // (N,R,F), (N,R), of a score that is a network: N = 1 for all heads, or H
  const T* key_terms;             // (B,H,S), of NetworkScore: what the scores of a key begin with
  const T* slopes;                // (H); null: 0
  int64_t networks;               // N
  MaskView mask;
  bool own;                       // false: the score of a pair at one place is below_all_scores
  int features, units, width, tile;   // F, R, D, rows of a tile
  int mixed;                      // M, the channels of a value that get a gradient: the last ones

  HD NetworkView<T> network_of(int64_t head) const {
    const int64_t which = head % mask.heads % networks;
    return {hidden ? &hidden[which * units * features] : nullptr, out ? &out[which * units] : nullptr, units};
  }
  HD const T* key_terms_from(int64_t head, int64_t key) const {
    return key_terms ? &key_terms[head * mask.keys + key] : nullptr;
  }
  HD T slope_of(int64_t head) const { return slopes ? slopes[head % mask.heads] : T(0); }
  HD const uint8_t* present_in(int64_t head) const {
    return mask.present ? &mask.present[head / mask.heads * mask.keys] : nullptr;
  }
};

// What a kernel keeps in a block's memory, and three numbers for each row.
struct TileCounts {
  int of_features, of_gradients;   // (tile,F), (R,tile,F)
  int of_values, of_mixed;         // (tile,D), (tile,M)
  int of_pairs;                    // (tile,tile)

  constexpr int64_t elements(int64_t tile, int64_t F, int64_t R, int64_t D, int64_t M) const {
    return tile * ((of_features + of_gradients * R) * F + of_values * D + of_mixed * M + of_pairs * tile + 3);
  }
};

// The memory, as it is handed out.
template <class T> struct Carved {
  T* rest;
  HD T* take(int elements) {
    T* const part = rest;
    rest += elements;
    return part;
  }
};

// Copies (rows,columns) into the block's memory, its last columns alone, or its transpose.
template <class B, class T> HD void load(const B& block, const T* from, int rows, int columns, T* to) {
  block.each(rows * columns, [&](int i) { to[i] = from[i]; });
}
template <class B, class T> HD void load_last(const B& block, const T* from, int rows, int columns, int last, T* to) {
  block.rows(rows, [&](const auto& team, int i) {
    team.each(last, [&](int64_t j) { to[i * last + j] = from[(i + 1) * columns - last + j]; });
  });
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

// In place of the weight of a pair that the mask hides: no weight is negative.
constexpr int hidden = -1;

// O_id += Σ_j P_ij v_jd over the pairs that are not hidden: of the others the value does not matter, NaN included
template <class B, class T> HD void mix(const B& block, int rows, int columns, int width, const T* P, const T* v, T* O) {
  block.accumulate(rows, width, columns, O, [&](T sum, int i, int j, int d) {
    const T p = P[i * columns + j], more = std::fma(p, v[j * width + d], sum);
    return p < T(0) ? sum : more;
  });
}

}  // namespace tapir

// The scores of fused attention (fused_attention.cc) in a tile of pairs, and what gradients ds of them add to those of features.
// Queries have the rows and keys the columns, or the other way round; a score has the same bits from both sides.
//
// Letters: F features of a query and of a key, R units of a second layer.
#pragma once
#include "attention/kernels/fused_tiles.h"
#include "tensor/scalar_math.h"

namespace tapir {

// A tile of pairs, in a block's memory.
template <class T> struct Pairs {
  int rows, columns, features;
  const T *of_rows, *of_columns;   // features (rows,F) and (F,columns)
  const T* key_terms = nullptr;    // of NetworkScore: what the scores of each key begin with
  NetworkView<T> network{};
  T* spare = nullptr;              // (tile,tile), where the score needs it
};

template <class T> HD_INLINE T relu_of(T z) { return z < T(0) ? T(0) : z; }   // NaN stays

struct DotScore {   // s = q·k
  static constexpr bool needs_spare = false;

  template <bool, class B, class T> HD static void scores(const B& block, Pairs<T> p, T* S) {
    fill(block, p.rows * p.columns, T(0), S);
    block.accumulate(p.rows, p.columns, p.features, S, [&](T s, int i, int f, int j) {
      return std::fma(p.of_rows[i * p.features + f], p.of_columns[f * p.columns + j], s);
    });
  }

  // d_if += Σ_j ds_ij x_jf
  template <bool, class B, class T>
  HD static void pull(const B& block, Pairs<T> p, const T* by_column, const T* dS, T* d) {
    block.accumulate(p.rows, p.features, p.columns, d, [&](T sum, int i, int j, int f) {
      const T ds = dS[i * p.columns + j];
      const T more = std::fma(ds, by_column[j * p.features + f], sum);
      return ds == T(0) ? sum : more;
    });
  }
};

// s = Σ_k w_k ReLU(a_k + c_k) = Σ_k w_k max(a_k, n_k) − Σ_k w_k n_k, where n = −c are the features of keys: two operations a
// unit, and the key's term once. A unit is on where a > n.
struct NetworkScore {
  static constexpr bool needs_spare = false;

  template <bool rows_are_keys, class B, class T> HD static void scores(const B& block, Pairs<T> p, T* S) {
    block.rows(p.rows, [&](const auto& team, int i) {
      team.each(p.columns, [&](int64_t j) { S[i * p.columns + j] = p.key_terms[rows_are_keys ? i : j]; });
    });
    block.accumulate(p.rows, p.columns, p.features, S, [&](T s, int i, int f, int j) {
      const T of_row = p.of_rows[i * p.features + f], of_column = p.of_columns[f * p.columns + j];
      const T a = rows_are_keys ? of_column : of_row, n = rows_are_keys ? of_row : of_column;
      return std::fma(p.network.hidden[f], a < n ? n : a, s);   // NaN of n comes with the key's term
    });
  }

  // d_if += Σ_j ds_ij where the unit is on; the factor w_f is left out
  template <bool rows_are_keys, class B, class T>
  HD static void pull(const B& block, Pairs<T> p, const T* by_column, const T* dS, T* d) {
    block.accumulate(p.rows, p.features, p.columns, d, [&](T sum, int i, int j, int f) {
      const T of_row = p.of_rows[i * p.features + f], of_column = by_column[j * p.features + f];
      const T more = sum + dS[i * p.columns + j];
      return (rows_are_keys ? of_column > of_row : of_row > of_column) ? more : sum;
    });
  }
};

// s = Σ_r w_r ReLU(y_r),  y_r = Σ_k W_rk ReLU(a_k − n_k), one y after the other
struct DeepNetworkScore {
  static constexpr bool needs_spare = true;   // of y

  template <bool rows_are_keys, class B, class T> HD static void scores(const B& block, Pairs<T> p, T* S) {
    fill(block, p.rows * p.columns, T(0), S);
    for (int r = 0; r < p.network.units; ++r) {
      second_layer<rows_are_keys>(block, p, r);
      const T w = p.network.out[r];
      block.each(p.rows * p.columns, [&](int n) { S[n] = std::fma(w, relu_of(p.spare[n]), S[n]); });
    }
  }

  // d_rif += Σ_j ds_ij where the units r and f are on; the factors w_r and W_rf are left out
  template <bool rows_are_keys, class B, class T>
  HD static void pull(const B& block, Pairs<T> p, const T* by_column, const T* dS, T* d) {
    for (int r = 0; r < p.network.units; ++r) {
      second_layer<rows_are_keys>(block, p, r);
      block.each(p.rows * p.columns, [&](int n) { p.spare[n] = p.spare[n] > T(0) ? dS[n] : T(0); });
      NetworkScore::pull<rows_are_keys>(block, p, by_column, static_cast<const T*>(p.spare), &d[r * p.rows * p.features]);
    }
  }

 private:
  // Plain sums: where all units are off y is 0 to the bit, which a term that cancels would not leave it.
  template <bool rows_are_keys, class B, class T> HD static void second_layer(const B& block, Pairs<T> p, int r) {
    const T* const W = p.network.hidden + r * p.features;
    fill(block, p.rows * p.columns, T(0), p.spare);
    block.accumulate(p.rows, p.columns, p.features, p.spare, [&](T y, int i, int f, int j) {
      const T difference = p.of_rows[i * p.features + f] - p.of_columns[f * p.columns + j];
      return std::fma(W[f], relu_of(rows_are_keys ? -difference : difference), y);
    });
  }
};

}  // namespace tapir

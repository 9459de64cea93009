// Weights that are inner products of features, in scalar loops over pairs, with gradients by hand.
#pragma once
#include "tests/mechanisms/reference_attention.h"

namespace tapir::reference {

//   w_ts = f_t·f'_s,  a_ts = w_ts/(Σ_s′ w_ts′ + n_t ε),  o_t = Σ_s a_ts v_s,  n_t keys that query t sees; zeros where all is 0
//   da_ts = ⟨g_t, v_s⟩,  dw_ts = (da_ts − Σ_s′ a_ts′ da_ts′)/(Σ_s′ w_ts′ + n_t ε)
//   df_t = Σ_s dw_ts f'_s,  df'_s = Σ_t dw_ts f_t
// Gradients "q" and "k" are those of the features f (B,H,T,D) and f' (B,H,S,D).
inline Attention attend_features(const Sizes& n, const Values& f, const Values& f_of_keys, const Values& v, const Values& g,
                                 double epsilon) {
  Values a(n.B * n.H * n.T * n.S, 0.0), total(n.B * n.H * n.T, 0.0), mean(total.size(), 0.0), da(a.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    for (int64_t d = 0; d < n.D; ++d) a[i] += f[n.query(b, h, t) + d] * f_of_keys[n.key(b, h, s) + d];
    total[i / n.S] += a[i] + epsilon;
  });
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    if (total[i / n.S] != 0) a[i] /= total[i / n.S];
    for (int64_t d = 0; d < n.D; ++d) da[i] += g[n.query(b, h, t) + d] * v[n.key(b, h, s) + d];
    mean[i / n.S] += a[i] * da[i];
  });
  Values df(f.size(), 0.0), df_of_keys(f_of_keys.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    if (total[i / n.S] == 0) return;
    const double dw = (da[i] - mean[i / n.S]) / total[i / n.S];
    for (int64_t d = 0; d < n.D; ++d) {
      df[n.query(b, h, t) + d] += dw * f_of_keys[n.key(b, h, s) + d];
      df_of_keys[n.key(b, h, s) + d] += dw * f[n.query(b, h, t) + d];
    }
  });
  return {mix(n, a, v), {{"q", df}, {"k", df_of_keys}, {"v", value_gradient(n, a, g)}}};
}

}  // namespace tapir::reference

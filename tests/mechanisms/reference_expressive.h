// Expressive Attention in scalar loops on doubles, from Gros 2024:
//
//   z_ts = β ⟨q_t, k_s⟩,  g_ts = d_ts z²/(1 + z²),  S_t = Σ_allowed g_ts,  a_ts = g_ts / S_t,  o_t = Σ_s a_ts v_s
//   d_ts = 1, or exp(−2^(−8h/H) |t + offset − s|) for head h = 1 … H;  a row with S_t = 0 is 0
//
// Gradients of ⟨o, g⟩, G the upstream gradient: D_t = ⟨G_t, o_t⟩,  dg_ts = (⟨G_t, v_s⟩ − D_t)/S_t,
//   dz_ts = dg_ts d_ts 2z/(1 + z²)²,  dq_t = β Σ_s dz_ts k_s,  dk_s = β Σ_t dz_ts q_t,  dv_s = Σ_t a_ts G_t
#pragma once
#include "tests/mechanisms/reference_attention.h"

namespace tapir::reference {

struct Expressive {
  double beta;
  bool alibi;

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& G) const {
    Values z(n.B * n.H * n.T * n.S, 0.0), a(z.size(), 0.0), S(n.B * n.H * n.T, 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) z[i] += beta * q[n.query(b, h, t) + d] * k[n.key(b, h, s) + d];
      a[i] = decay(n, h, t, s) * z[i] * z[i] / (1 + z[i] * z[i]);
      S[i / n.S] += a[i];
    });
    for (size_t i = 0; i < a.size(); ++i)
      if (S[i / n.S] > 0) a[i] /= S[i / n.S];

    const Values o = mix(n, a, v);
    Values dq(q.size(), 0.0), dk(k.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s), row = n.query(b, h, t), key = n.key(b, h, s);
      if (S[i / n.S] == 0) return;
      double dg = 0;
      for (int64_t d = 0; d < n.D; ++d) dg += G[row + d] * (v[key + d] - o[row + d]) / S[i / n.S];
      const double dz = dg * decay(n, h, t, s) * 2 * z[i] / std::pow(1 + z[i] * z[i], 2);
      for (int64_t d = 0; d < n.D; ++d) {
        dq[row + d] += beta * dz * k[key + d];
        dk[key + d] += beta * dz * q[row + d];
      }
    });
    return {o, {{"q", dq}, {"k", dk}, {"v", value_gradient(n, a, G)}}};
  }

 private:
  double decay(const Sizes& n, int64_t h, int64_t t, int64_t s) const {
    if (!alibi) return 1;
    const double slope = std::pow(2.0, -8.0 * static_cast<double>(h + 1) / static_cast<double>(n.H));
    return std::exp(-slope * std::fabs(static_cast<double>(t + n.offset - s)));
  }
};

}  // namespace tapir::reference

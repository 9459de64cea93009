// Linear attention in scalar loops over pairs on doubles, φ(x) = elu(x) + 1, and its gradients by hand:
//
//   w_ts = φ(q_t)·φ(k_s),  a_ts = w_ts/(Σ_s′ w_ts′ + ε),  o_t = Σ_s a_ts v_s
//   da_ts = ⟨g_t, v_s⟩,  dw_ts = (da_ts − Σ_s′ a_ts′ da_ts′)/(Σ_s′ w_ts′ + ε),  dφ(q_t) = Σ_s dw_ts φ(k_s),  dφ(k_s) = Σ_t
//   dw_ts φ(q_t)
#pragma once
#include "tests/mechanisms/reference_attention.h"

namespace tapir::reference {

struct Linear {
  double epsilon = 0;

  static double feature(double x) { return x > 0 ? x + 1 : std::exp(x); }
  static double slope(double x) { return x > 0 ? 1 : std::exp(x); }

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    Values a(n.B * n.H * n.T * n.S, 0.0), total(n.B * n.H * n.T, epsilon), mean(total.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) a[i] += feature(q[n.query(b, h, t) + d]) * feature(k[n.key(b, h, s) + d]);
      total[i / n.S] += a[i];
    });
    n.each_pair([&](auto b, auto h, auto t, auto s) { a[n.pair(b, h, t, s)] /= total[n.pair(b, h, t, s) / n.S]; });
    Attention result{mix(n, a, v), {{"v", value_gradient(n, a, g)}}};

    Values da(a.size(), 0.0), dq(q.size(), 0.0), dk(k.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) da[i] += g[n.query(b, h, t) + d] * v[n.key(b, h, s) + d];
      mean[i / n.S] += a[i] * da[i];
    });
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      const double dw = (da[i] - mean[i / n.S]) / total[i / n.S];
      for (int64_t d = 0; d < n.D; ++d) {
        const int64_t at_q = n.query(b, h, t) + d, at_k = n.key(b, h, s) + d;
        dq[at_q] += dw * feature(k[at_k]) * slope(q[at_q]);
        dk[at_k] += dw * feature(q[at_q]) * slope(k[at_k]);
      }
    });
    result.gradients["q"] = dq;
    result.gradients["k"] = dk;
    return result;
  }
};

}  // namespace tapir::reference

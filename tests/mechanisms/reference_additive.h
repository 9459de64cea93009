// Additive attention in scalar loops on doubles, from Bahdanau et al. 2015, appendix A.1.2, one network for each head:
//
//   e_ts = Σ_m v_m h_m,  h_m = tanh(Σ_d W_md q_td + Σ_d U_md k_sd + b_m)
//   dv_m = Σ de h_m,  dx_m = de v_m (1 − h_m²);  db = Σ dx,  dW = Σ dx qᵀ,  dU = Σ dx kᵀ,  dq = Σ Wᵀdx,  dk = Σ Uᵀdx
#pragma once
#include "tests/mechanisms/reference_attention.h"

namespace tapir::reference {

struct Additive {
  int64_t M;
  Values W, U;   // (H,M,D)
  Values b, v;   // (H,M); b empty: no bias

  Values hidden(const Sizes& n, const Values& q, const Values& k, int64_t b_, int64_t h, int64_t t, int64_t s) const {
    Values unit(M);
    for (int64_t m = 0; m < M; ++m) {
      double x = b.empty() ? 0 : b[h * M + m];
      for (int64_t d = 0; d < n.D; ++d)
        x += W[(h * M + m) * n.D + d] * q[n.query(b_, h, t) + d] + U[(h * M + m) * n.D + d] * k[n.key(b_, h, s) + d];
      unit[m] = std::tanh(x);
    }
    return unit;
  }

  Values scores(const Sizes& n, const Values& q, const Values& k) const {
    Values e(n.B * n.H * n.T * n.S, 0.0);
    n.each_pair([&](auto b_, auto h, auto t, auto s) {
      const Values unit = hidden(n, q, k, b_, h, t, s);
      for (int64_t m = 0; m < M; ++m) e[n.pair(b_, h, t, s)] += v[h * M + m] * unit[m];
    });
    return e;
  }

  Gradients gradients(const Sizes& n, const Values& q, const Values& k, const Values& de) const {
    Values dq(q.size(), 0.0), dk(k.size(), 0.0), dW(W.size(), 0.0), dU(U.size(), 0.0), db(b.size(), 0.0), dv(v.size(), 0.0);
    n.each_pair([&](auto b_, auto h, auto t, auto s) {
      const Values unit = hidden(n, q, k, b_, h, t, s);
      const double slope = de[n.pair(b_, h, t, s)];
      for (int64_t m = 0; m < M; ++m) {
        const double dx = slope * v[h * M + m] * (1 - unit[m] * unit[m]);
        dv[h * M + m] += slope * unit[m];
        if (!b.empty()) db[h * M + m] += dx;
        for (int64_t d = 0; d < n.D; ++d) {
          const int64_t w = (h * M + m) * n.D + d, i = n.query(b_, h, t) + d, j = n.key(b_, h, s) + d;
          dW[w] += dx * q[i];
          dU[w] += dx * k[j];
          dq[i] += dx * W[w];
          dk[j] += dx * U[w];
        }
      }
    });
    Gradients all{{"q", dq}, {"k", dk}, {"query", dW}, {"key", dU}, {"vector", dv}};
    if (!b.empty()) all["bias"] = db;
    return all;
  }
};

}  // namespace tapir::reference

// Attention in scalar loops on doubles, from the formulas of the papers alone: the oracle of the fast implementations. It
// shares no code with them: every pair is concatenated, and the gradients are derived by hand along this naive route.
//
// Letters: B batch, H heads, T queries, S keys, D head width. All arrays are row-major.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tapir::reference {

using Values = std::vector<double>;

struct Sizes {
  int64_t B, H, T, S, D;
  bool causal = false;
  int64_t offset = 0;                  // query t sees keys s ≤ t + offset
  std::vector<uint8_t> present = {};   // (B,S); empty: all
  int64_t width = 0;                   // C of whole mixers; 0: H·D
  int64_t window = 0;                  // query t sees keys s with |t + offset − s| ≤ window; 0: at any distance

  int64_t C() const { return width ? width : H * D; }

  bool allowed(int64_t b, int64_t t, int64_t s) const {
    const bool near = window == 0 || std::abs(t + offset - s) <= window;
    return near && (!causal || s <= t + offset) && (present.empty() || present[b * S + s] != 0);
  }
  int64_t query(int64_t b, int64_t h, int64_t t) const { return ((b * H + h) * T + t) * D; }   // first of q (B,H,T,D)
  int64_t key(int64_t b, int64_t h, int64_t s) const { return ((b * H + h) * S + s) * D; }     // of k, v (B,H,S,D)
  int64_t pair(int64_t b, int64_t h, int64_t t, int64_t s) const { return ((b * H + h) * T + t) * S + s; }

  template <class Body>
  void each_pair(const Body& body) const {   // body(b, h, t, s) where the mask allows it
    for (int64_t b = 0; b < B; ++b)
      for (int64_t h = 0; h < H; ++h)
        for (int64_t t = 0; t < T; ++t)
          for (int64_t s = 0; s < S; ++s)
            if (allowed(b, t, s)) body(b, h, t, s);
  }
};

// Of self-attention: x (B,H,T,D), but 0 at tokens that are not there.
inline Values without_hidden_queries(const Sizes& n, Values x) {
  for (int64_t b = 0; b < n.B && !n.present.empty(); ++b)
    for (int64_t h = 0; h < n.H; ++h)
      for (int64_t t = 0; t < n.T; ++t)
        if (n.present[b * n.S + t] == 0) std::fill_n(x.begin() + n.query(b, h, t), n.D, 0.0);
  return x;
}

// p_ts = exp e_ts / Σ_allowed exp e_ts′, 0 elsewhere
inline Values softmax(const Sizes& n, const Values& e) {
  Values p(e.size(), 0.0), top(e.size() / std::max<int64_t>(1, n.S), -INFINITY), total(top.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    top[i / n.S] = std::max(top[i / n.S], e[i]);
  });
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    total[i / n.S] += p[i] = std::exp(e[i] - top[i / n.S]);
  });
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    p[i] /= total[i / n.S];
  });
  return p;
}

// o_t = Σ_s p_ts v_s
inline Values mix(const Sizes& n, const Values& p, const Values& v) {
  Values o(n.B * n.H * n.T * n.D, 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    for (int64_t d = 0; d < n.D; ++d) o[n.query(b, h, t) + d] += p[n.pair(b, h, t, s)] * v[n.key(b, h, s) + d];
  });
  return o;
}

// dv_s = Σ_t p_ts g_t
inline Values value_gradient(const Sizes& n, const Values& p, const Values& g) {
  Values dv(n.B * n.H * n.S * n.D, 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    for (int64_t d = 0; d < n.D; ++d) dv[n.key(b, h, s) + d] += p[n.pair(b, h, t, s)] * g[n.query(b, h, t) + d];
  });
  return dv;
}

// de_ts = p_ts (⟨g_t, v_s⟩ − Σ_s′ p_ts′ ⟨g_t, v_s′⟩)
inline Values score_gradient(const Sizes& n, const Values& p, const Values& v, const Values& g) {
  Values dp(p.size(), 0.0), mean(p.size() / std::max<int64_t>(1, n.S), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    for (int64_t d = 0; d < n.D; ++d) dp[i] += g[n.query(b, h, t) + d] * v[n.key(b, h, s) + d];
    mean[i / n.S] += p[i] * dp[i];
  });
  Values de(p.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    const int64_t i = n.pair(b, h, t, s);
    de[i] = p[i] * (dp[i] - mean[i / n.S]);
  });
  return de;
}

// A linear layer, with one weight for all heads or one for each: weight (O,I) or (H,O,I), bias (O) or (H,O).
struct Layer {
  std::string name;
  int64_t out, in;
  bool per_head;
  Values weight, bias;

  int64_t w(int64_t h, int64_t o, int64_t i) const { return ((per_head ? h : 0) * out + o) * in + i; }
  int64_t b(int64_t h, int64_t o) const { return (per_head ? h : 0) * out + o; }

  Values apply(int64_t h, const double* x) const {   // y_o = Σ_i W_oi x_i + b_o
    Values y(out);
    for (int64_t o = 0; o < out; ++o) {
      y[o] = bias[b(h, o)];
      for (int64_t i = 0; i < in; ++i) y[o] += weight[w(h, o, i)] * x[i];
    }
    return y;
  }

  // dW_oi += dy_o x_i, db_o += dy_o; returns dx_i = Σ_o W_oi dy_o.
  Values pull_back(int64_t h, const double* x, const Values& dy, Layer& gradient) const {
    Values dx(in, 0.0);
    for (int64_t o = 0; o < out; ++o) {
      gradient.bias[b(h, o)] += dy[o];
      for (int64_t i = 0; i < in; ++i) {
        gradient.weight[w(h, o, i)] += dy[o] * x[i];
        dx[i] += weight[w(h, o, i)] * dy[o];
      }
    }
    return dx;
  }

  Layer zeros() const { return {name, out, in, per_head, Values(weight.size(), 0.0), Values(bias.size(), 0.0)}; }
};

// Gradients by name: "q", "k", "v" and "<layer>.weight", "<layer>.bias".
using Gradients = std::map<std::string, Values>;

// e_ts = ⟨q_t, k_s⟩ / √D
struct DotProduct {
  Values scores(const Sizes& n, const Values& q, const Values& k) const {
    Values e(n.B * n.H * n.T * n.S, 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      double product = 0;
      for (int64_t d = 0; d < n.D; ++d) product += q[n.query(b, h, t) + d] * k[n.key(b, h, s) + d];
      e[n.pair(b, h, t, s)] = product / std::sqrt(static_cast<double>(n.D));
    });
    return e;
  }

  Gradients gradients(const Sizes& n, const Values& q, const Values& k, const Values& de) const {
    Values dq(q.size(), 0.0), dk(k.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const double slope = de[n.pair(b, h, t, s)] / std::sqrt(static_cast<double>(n.D));
      for (int64_t d = 0; d < n.D; ++d) {
        dq[n.query(b, h, t) + d] += slope * k[n.key(b, h, s) + d];
        dk[n.key(b, h, s) + d] += slope * q[n.query(b, h, t) + d];
      }
    });
    return {{"q", dq}, {"k", dk}};
  }
};

struct Attention {
  Values output;   // (B,H,T,D)
  Gradients gradients;
};

// Attention with the scores of `mechanism`, and the gradients of ⟨output, g⟩.
template <class Mechanism>
Attention attend(const Mechanism& mechanism, const Sizes& n, const Values& q, const Values& k, const Values& v,
                 const Values& g) {
  const Values p = softmax(n, mechanism.scores(n, q, k));
  Attention result{mix(n, p, v), mechanism.gradients(n, q, k, score_gradient(n, p, v, g))};
  result.gradients["v"] = value_gradient(n, p, g);
  return result;
}

}  // namespace tapir::reference

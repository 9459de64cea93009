// What the Associative Transformer has behind the feed-forward network, in scalar loops: the layer, with gradients by hand, and the
// write of a batch.
#pragma once
#include "attention/mechanisms/associative.h"
#include "tests/mechanisms/oracle.h"

namespace tapir::reference {

inline Values value_of(const Parameters& parameters, const std::string& name) { return parameters.at(name)->value.values<double>(); }

// A row of n numbers, y = w (x − μ)/√(σ² + ε) + b, and back: with c = (x − μ)/σ, dx = (w dy − mean(w dy) − c mean(w dy c))/σ.
struct RowNorm {
  Values w, b;
  double epsilon;

  Values centred(const double* x, double& deviation) const {
    const auto n = static_cast<double>(w.size());
    double mean = 0, variance = 0;
    for (size_t i = 0; i < w.size(); ++i) mean += x[i] / n;
    for (size_t i = 0; i < w.size(); ++i) variance += (x[i] - mean) * (x[i] - mean) / n;
    deviation = std::sqrt(variance + epsilon);
    Values c;
    for (size_t i = 0; i < w.size(); ++i) c.push_back((x[i] - mean) / deviation);
    return c;
  }

  Values apply(const double* x) const {
    double deviation = 0;
    Values y = centred(x, deviation);
    for (size_t i = 0; i < w.size(); ++i) y[i] = w[i] * y[i] + b[i];
    return y;
  }

  Values pull_back(const double* x, const Values& dy, Values& dw, Values& db) const {
    double deviation = 0, mean = 0, along = 0;
    const Values c = centred(x, deviation);
    for (size_t i = 0; i < w.size(); ++i) {
      mean += w[i] * dy[i] / static_cast<double>(w.size());
      along += w[i] * dy[i] * c[i] / static_cast<double>(w.size());
      dw[i] += dy[i] * c[i];
      db[i] += dy[i];
    }
    Values dx;
    for (size_t i = 0; i < w.size(); ++i) dx.push_back((w[i] * dy[i] - mean - c[i] * along) / deviation);
    return dx;
  }
};

// P_j = W_3 γ_j + b_3 (M,C)
inline Values patterns_of(const Parameters& parameters, const Values& memory, int64_t m, int64_t C) {
  const Values W = value_of(parameters, "workspace.patterns.weight"), b = value_of(parameters, "workspace.patterns.bias");
  Values P;
  for (size_t row = 0; row < memory.size(); row += m)
    for (int64_t c = 0; c < C; ++c) {
      double p = b[c];
      for (int64_t i = 0; i < m; ++i) p += W[c * m + i] * memory[row + i];
      P.push_back(p);
    }
  return P;
}

// a_j = exp(β P_j·ξ) / Σ_j exp(β P_j·ξ)
inline Values shares(const Values& P, const Values& xi, double beta) {
  Values a;
  double top = -INFINITY, total = 0;
  for (size_t row = 0; row < P.size(); row += xi.size()) {
    double s = 0;
    for (size_t c = 0; c < xi.size(); ++c) s += beta * P[row + c] * xi[c];
    a.push_back(s);
    top = std::max(top, s);
  }
  for (double& s : a) total += s = std::exp(s - top);
  for (double& s : a) s /= total;
  return a;
}

// ξ after 0 … T steps: ξ ← Σ_j a_j P_j
inline std::vector<Values> retrieved(const Values& P, const Values& token, double beta, int64_t steps) {
  std::vector<Values> all{token};
  for (int64_t t = 0; t < steps; ++t) {
    const Values a = shares(P, all.back(), beta);
    Values next(token.size(), 0.0);
    for (size_t i = 0; i < P.size(); ++i) next[i % token.size()] += a[i / token.size()] * P[i];
    all.push_back(next);
  }
  return all;
}

// With d the gradient of Σ_j a_j P_j:  ds_j = a_j (P_j·d − Σ_j' a_j' P_j'·d),  dξ = β Σ_j ds_j P_j,  dP_j += a_j d + β ds_j ξ
inline Values pull_back(const Values& P, const Values& xi, double beta, const Values& d, Values& dP) {
  const size_t C = xi.size();
  const Values a = shares(P, xi, beta);
  Values along(a.size(), 0.0), dxi(C, 0.0);
  double mean = 0;
  for (size_t i = 0; i < P.size(); ++i) along[i / C] += P[i] * d[i % C];
  for (size_t j = 0; j < a.size(); ++j) mean += a[j] * along[j];
  for (size_t i = 0; i < P.size(); ++i) {
    const double ds = a[i / C] * (along[i / C] - mean);
    dxi[i % C] += beta * ds * P[i];
    dP[i] += a[i / C] * d[i % C] + beta * ds * xi[i % C];
  }
  return dxi;
}

// What evaluation makes of z, and the gradients of ⟨output, g⟩: y = LN z, then y + retrieved(y), or, of the control,
// y + W_2 GELU(W_1 y + b_1) + b_2; a token that is not there stays as it is.
inline Attention layer_of_associative(const nn::Options& any, const Parameters& parameters, const Buffers& buffers, const Sizes& n,
                                      const Values& z, const Values& g) {
  const auto& o = dynamic_cast<const AssociativeOptions&>(any);
  const int64_t C = n.C(), m = o.slot_width;
  Attention result;
  for (const auto& [name, parameter] : parameters)
    if (name.starts_with("workspace.") || name.starts_with("dense.") || name.starts_with("feed_forward_norm."))
      result.gradients[name] = Values(parameter->shape.elements(), 0.0);
  const RowNorm norm{value_of(parameters, "feed_forward_norm.weight"), value_of(parameters, "feed_forward_norm.bias"), 1e-5};
  Values &dw = result.gradients["feed_forward_norm.weight"], &db = result.gradients["feed_forward_norm.bias"];
  Values& dz = result.gradients["z"];

  const bool dense = o.layer == "dense";
  reference::Layer up{}, down{}, d_up{}, d_down{};
  Values P, dP;
  if (dense) {
    const int64_t h = parameters.at("dense.up.weight")->shape[0];
    up = {"", h, C, false, value_of(parameters, "dense.up.weight"), value_of(parameters, "dense.up.bias")};
    down = {"", C, h, false, value_of(parameters, "dense.down.weight"), value_of(parameters, "dense.down.bias")};
    d_up = up.zeros();
    d_down = down.zeros();
  } else {
    P = patterns_of(parameters, buffers.at("workspace.memory"), m, C);
    dP.assign(P.size(), 0.0);
  }
  for (int64_t token = 0; token < n.B * n.T; ++token) {
    const int64_t at = token * C;
    const Values own(z.begin() + at, z.begin() + at + C), d(g.begin() + at, g.begin() + at + C);
    Values out = own, dx = d;
    if (n.present.empty() || n.present[token] != 0) {
      const Values y = norm.apply(own.data());
      Values more, dy = d;
      if (dense) {
        const Values t = up.apply(0, y.data());
        Values f, slope;
        for (const double x : t) {
          const double phi = (1 + std::erf(x / std::sqrt(2.0))) / 2;
          f.push_back(x * phi);
          slope.push_back(phi + x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0)));
        }
        more = down.apply(0, f.data());
        Values df = down.pull_back(0, f.data(), d, d_down);
        for (size_t i = 0; i < df.size(); ++i) df[i] *= slope[i];
        const Values back = up.pull_back(0, y.data(), df, d_up);
        for (int64_t c = 0; c < C; ++c) dy[c] += back[c];
      } else {
        const std::vector<Values> path = retrieved(P, y, o.beta, o.retrieval_steps);
        more = path.back();
        Values back = d;
        for (int64_t t = o.retrieval_steps - 1; t >= 0; --t) back = pull_back(P, path[t], o.beta, back, dP);
        for (int64_t c = 0; c < C; ++c) dy[c] += back[c];
      }
      for (int64_t c = 0; c < C; ++c) out[c] = y[c] + more[c];
      dx = norm.pull_back(own.data(), dy, dw, db);
    }
    result.output.insert(result.output.end(), out.begin(), out.end());
    dz.insert(dz.end(), dx.begin(), dx.end());
  }
  if (dense) {
    result.gradients["dense.up.weight"] = d_up.weight;
    result.gradients["dense.up.bias"] = d_up.bias;
    result.gradients["dense.down.weight"] = d_down.weight;
    result.gradients["dense.down.bias"] = d_down.bias;
  } else {
    const Values memory = buffers.at("workspace.memory");
    for (size_t i = 0; i < P.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / C, c = static_cast<int64_t>(i) % C;
      result.gradients["workspace.patterns.bias"][c] += dP[i];
      Values& dW = result.gradients["workspace.patterns.weight"];
      for (int64_t k = 0; k < m; ++k) dW[c * m + k] += dP[i] * memory[row * m + k];
    }
  }
  return result;
}

// What training writes, of tokens ξ = LN z (N,C) that are all there, without dropout.
struct WorkspaceWrite {
  Values G;        // (S,M,N)
  Values memory;   // γ' (M,m)
  double loss = 0;
};

inline double squared_variation_of(const Values& v) {
  const auto n = static_cast<double>(v.size());
  double mean = 0, variance = 0;
  for (const double x : v) mean += x / n;
  for (const double x : v) variance += (x - mean) * (x - mean) / (n - 1);
  return variance / (mean * mean + 1e-10);
}

inline WorkspaceWrite write_of(const AssociativeOptions& o, const Parameters& parameters, const Values& gamma, const Values& tokens,
                               int64_t C) {
  const int64_t m = o.slot_width, S = o.memory_heads, M = o.slots, N = static_cast<int64_t>(tokens.size()) / C;
  const Values Wq = value_of(parameters, "workspace.query.weight"), Wk = value_of(parameters, "workspace.key.weight"),
               Wv = value_of(parameters, "workspace.value.weight"), Wo = value_of(parameters, "workspace.out.weight");
  const auto project = [](const Values& W, int64_t row, const double* x, int64_t in) {
    double y = 0;
    for (int64_t i = 0; i < in; ++i) y += W[row * in + i] * x[i];
    return y;
  };
  WorkspaceWrite write{Values(S * M * N, 0.0), {}, 0};
  Values h(M * S * m, 0.0);
  for (int64_t s = 0; s < S; ++s) {
    Values importance(N, 0.0), load(N, 0.0);
    for (int64_t j = 0; j < M; ++j) {
      Values a(N, 0.0);
      for (int64_t i = 0; i < N; ++i)
        for (int64_t d = 0; d < m; ++d)
          a[i] += project(Wq, s * m + d, &gamma[j * m], m) * project(Wk, s * m + d, &tokens[i * C], C) / std::sqrt(1.0 * m);
      std::vector<bool> taken(N, false);
      double total = 0, top = 0;
      for (int64_t k = 0; k < std::min(o.selected, N); ++k) {   // the first of the largest that are left
        int64_t best = -1;
        for (int64_t i = 0; i < N; ++i)
          if (!taken[i] && (best < 0 || a[i] > a[best])) best = i;
        taken[best] = true;
        if (k == 0) top = a[best];
        total += std::exp(a[best] - top);
      }
      for (int64_t i = 0; i < N; ++i) {
        if (!taken[i]) continue;
        const double share = std::exp(a[i] - top) / total;
        write.G[(s * M + j) * N + i] = share;
        importance[i] += share;
        load[i] += 1;
        for (int64_t d = 0; d < m; ++d) h[j * S * m + s * m + d] += share * project(Wv, s * m + d, &tokens[i * C], C);
      }
    }
    write.loss += squared_variation_of(importance) + squared_variation_of(load);
  }
  const RowNorm norm{value_of(parameters, "workspace.norm.weight"), value_of(parameters, "workspace.norm.bias"), 1e-6};
  for (int64_t j = 0; j < M; ++j) {
    Values change;
    for (int64_t d = 0; d < m; ++d)
      change.push_back(project(Wo, d, &h[j * S * m], S * m) + (o.residual ? gamma[j * m + d] : 0));
    const Values r = norm.apply(change.data());
    double length = 0;
    Values row;
    for (int64_t d = 0; d < m; ++d) row.push_back((1 - o.memory_rate) * gamma[j * m + d] + o.memory_rate * r[d]);
    for (const double x : row) length += x * x;
    for (const double x : row) write.memory.push_back(x / std::sqrt(length));
  }
  return write;
}

}  // namespace tapir::reference

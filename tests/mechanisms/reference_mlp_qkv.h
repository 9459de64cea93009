// A whole mixer of MLP-QKV in scalar loops on doubles, from the formulas of Zhang 2023 and of the versions in use:
//
//   q, k, v = the network or the matrix of each token; head h holds channels h·D … h·D + D − 1; attention; then o
//   network: t = W₁ x + b₁,  r = f(N t) | N f(t) | f(t),  y = W₂ r + b₂
//   N(t)_i = γ_i n_i + β_i,  n = (t − μ)/σ,  σ² = mean (t − μ)² + ε
//   dn = γ ⊙ dN,  dt = (dn − mean dn − n mean(dn ⊙ n))/σ,  dγ = Σ dN ⊙ n,  dβ = Σ dN
#pragma once
#include "tests/mechanisms/reference_attention.h"

namespace tapir::reference {

struct Norm {
  Values gain, bias;
  double epsilon = 1e-5;

  Values normalised(const Values& t, double& sigma) const {
    const double size = static_cast<double>(t.size());
    double mean = 0, variance = 0;
    for (const double value : t) mean += value / size;
    for (const double value : t) variance += (value - mean) * (value - mean) / size;
    sigma = std::sqrt(variance + epsilon);
    Values n;
    for (const double value : t) n.push_back((value - mean) / sigma);
    return n;
  }

  Values apply(const Values& t) const {
    double sigma = 0;
    Values y = normalised(t, sigma);
    for (size_t i = 0; i < y.size(); ++i) y[i] = gain[i] * y[i] + bias[i];
    return y;
  }

  Values pull_back(const Values& t, const Values& dy, Norm& gradient) const {
    double sigma = 0, mean = 0, mean_n = 0;
    const Values n = normalised(t, sigma);
    const double size = static_cast<double>(t.size());
    for (size_t i = 0; i < t.size(); ++i) {
      gradient.gain[i] += dy[i] * n[i];
      gradient.bias[i] += dy[i];
      mean += gain[i] * dy[i] / size;
      mean_n += gain[i] * dy[i] * n[i] / size;
    }
    Values dt;
    for (size_t i = 0; i < t.size(); ++i) dt.push_back((gain[i] * dy[i] - mean - n[i] * mean_n) / sigma);
    return dt;
  }
};

enum class NormPlace { none, before, after };

// y = W x where `second` is empty.
struct TokenMap {
  Layer first;
  std::vector<Layer> second;   // none or one
  NormPlace place = NormPlace::none;
  bool mish = false;

  double f(double x) const { return mish ? x * std::tanh(std::log1p(std::exp(x))) : std::max(x, 0.0); }
  double slope(double x) const {
    if (!mish) return x > 0;
    const double y = std::tanh(std::log1p(std::exp(x)));
    return y + x * (1 - y * y) / (1 + std::exp(-x));
  }

  Values apply(const double* x, const Norm& norm) const {
    Values t = first.apply(0, x);
    if (second.empty()) return t;
    if (place == NormPlace::before) t = norm.apply(t);
    for (double& value : t) value = f(value);
    if (place == NormPlace::after) t = norm.apply(t);
    return second[0].apply(0, t.data());
  }

  Values pull_back(const double* x, const Values& dy, const Norm& norm, TokenMap& gradient, Norm& norm_gradient) const {
    if (second.empty()) return first.pull_back(0, x, dy, gradient.first);
    const Values t = first.apply(0, x), z = place == NormPlace::before ? norm.apply(t) : t;
    Values r = z;
    for (double& value : r) value = f(value);
    const Values last = place == NormPlace::after ? norm.apply(r) : r;
    Values d = second[0].pull_back(0, last.data(), dy, gradient.second[0]);
    if (place == NormPlace::after) d = norm.pull_back(r, d, norm_gradient);
    for (size_t i = 0; i < d.size(); ++i) d[i] *= slope(z[i]);
    if (place == NormPlace::before) d = norm.pull_back(t, d, norm_gradient);
    return first.pull_back(0, x, d, gradient.first);
  }
};

struct MlpQkv {
  TokenMap maps[4];   // query, key, value, out
  Norm norms[4];
  bool norm_shared = false;

  // Output (B,T,C), and the gradients of ⟨output, g⟩: "x", "context" and those added to `gradient`.
  Attention mix_tokens(const Sizes& n, const Values& x, const Values& context, const Values& g, MlpQkv& gradient) const {
    const Values q = heads(n, n.T, x, 0), k = heads(n, n.S, context, 1), v = heads(n, n.S, context, 2);
    const Values merged = exchange(n, n.T, attend(DotProduct{}, n, q, k, v, Values(q.size(), 0.0)).output, false);
    const int64_t C = n.H * n.D;
    Values y, d_merged;
    for (int64_t row = 0; row < n.B * n.T; ++row) {
      const Values out = maps[3].apply(merged.data() + row * C, norm(3));
      const Values d = pull_back(3, merged.data() + row * C, {g.begin() + row * C, g.begin() + (row + 1) * C}, gradient);
      y.insert(y.end(), out.begin(), out.end());
      d_merged.insert(d_merged.end(), d.begin(), d.end());
    }
    const Gradients inner = attend(DotProduct{}, n, q, k, v, exchange(n, n.T, d_merged, true)).gradients;
    const Values dx = tokens_gradient(n, n.T, x, inner.at("q"), 0, gradient);
    Values d_context = tokens_gradient(n, n.S, context, inner.at("k"), 1, gradient);
    const Values from_values = tokens_gradient(n, n.S, context, inner.at("v"), 2, gradient);
    for (size_t i = 0; i < d_context.size(); ++i) d_context[i] += from_values[i];
    return {y, {{"x", dx}, {"context", d_context}}};
  }

 private:
  const Norm& norm(int which) const { return norms[norm_shared ? 0 : which]; }

  Values pull_back(int which, const double* x, const Values& dy, MlpQkv& gradient) const {
    return maps[which].pull_back(x, dy, norm(which), gradient.maps[which], gradient.norms[norm_shared ? 0 : which]);
  }

  // (B,L,C) to (B,H,L,D), or back.
  static Values exchange(const Sizes& n, int64_t length, const Values& from, bool to_heads) {
    Values to(from.size());
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t t = 0; t < length; ++t)
        for (int64_t c = 0; c < n.H * n.D; ++c) {
          const int64_t token = (b * length + t) * n.H * n.D + c;
          const int64_t head = ((b * n.H + c / n.D) * length + t) * n.D + c % n.D;
          to[to_heads ? head : token] = from[to_heads ? token : head];
        }
    return to;
  }

  Values heads(const Sizes& n, int64_t length, const Values& tokens, int which) const {
    Values all;
    for (int64_t row = 0; row < n.B * length; ++row) {
      const Values y = maps[which].apply(tokens.data() + row * n.H * n.D, norm(which));
      all.insert(all.end(), y.begin(), y.end());
    }
    return exchange(n, length, all, true);
  }

  Values tokens_gradient(const Sizes& n, int64_t length, const Values& tokens, const Values& d_heads, int which,
                         MlpQkv& gradient) const {
    const Values d = exchange(n, length, d_heads, false);
    const int64_t C = n.H * n.D;
    Values all;
    for (int64_t row = 0; row < n.B * length; ++row) {
      const Values dx =
          pull_back(which, tokens.data() + row * C, {d.begin() + row * C, d.begin() + (row + 1) * C}, gradient);
      all.insert(all.end(), dx.begin(), dx.end());
    }
    return all;
  }
};

}  // namespace tapir::reference

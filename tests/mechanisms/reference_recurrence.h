// Attention by recurrence in scalar loops, key after key, with gradients by hand back through all states. It shares no code
// with what it judges, which knows chunks and no single state.
//
// Letters as in reference_attention.h; L tokens, W channels of a head, F features, E width of values.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/mechanisms/oracle.h"

namespace tapir::reference {

// A linear layer from tokens (B,L,C) to heads (B,H,L,W), or back from heads to tokens, by its parameters.
class HeadMap {
 public:
  HeadMap(const Parameters& parameters, const std::string& name, int64_t heads) : heads_(heads), name_(name) {
    const Tensor& weight = parameters.at(name + ".weight")->value;
    const auto bias = parameters.find(name + ".bias");
    biased_ = bias != parameters.end();
    layer_ = {name, weight.size(0), weight.size(1), false, weight.values<double>(),
              biased_ ? bias->second->value.values<double>() : Values(weight.size(0), 0.0)};
    gradient_ = layer_.zeros();
  }

  Values to_heads(const Values& tokens) const {   // W = out/H
    const int64_t rows = static_cast<int64_t>(tokens.size()) / layer_.in;
    Values y;
    for (int64_t row = 0; row < rows; ++row) {
      const Values one = layer_.apply(0, &tokens[row * layer_.in]);
      y.insert(y.end(), one.begin(), one.end());
    }
    return y;   // (B,L,H·W): channel h·W + i of a token is i of head h
  }

  // dy of to_heads(tokens): adds to the gradients of tokens and of the layer.
  void pull_back(const Values& tokens, const Values& dy, Values& d_tokens) {
    for (int64_t row = 0; row * layer_.in < static_cast<int64_t>(tokens.size()); ++row) {
      const Values own(dy.begin() + row * layer_.out, dy.begin() + (row + 1) * layer_.out);
      const Values d = layer_.pull_back(0, &tokens[row * layer_.in], own, gradient_);
      for (int64_t i = 0; i < layer_.in; ++i) d_tokens[row * layer_.in + i] += d[i];
    }
  }

  void add_gradients(Gradients& all) const {
    all[name_ + ".weight"] = gradient_.weight;
    if (biased_) all[name_ + ".bias"] = gradient_.bias;
  }

  int64_t width() const { return layer_.out / heads_; }

 private:
  int64_t heads_;
  std::string name_;
  Layer layer_, gradient_;
  bool biased_ = false;
};

// y = w x/√(mean x² + ε), rows of D; w is the same for all.
//   with n = x/ρ, ρ = √(mean x² + ε), dn = w dy:  dx = (dn − n mean(dn n))/ρ,  dw = Σ dy n
struct RmsNorm {
  Values w;
  double epsilon = 1e-5;
  Values dw = Values(w.size(), 0.0);

  double size(const double* x) const {
    double squares = 0;
    for (size_t i = 0; i < w.size(); ++i) squares += x[i] * x[i] / static_cast<double>(w.size());
    return std::sqrt(squares + epsilon);
  }
  Values apply(const Values& x) const {
    Values y(x.size());
    for (size_t at = 0; at < x.size(); at += w.size())
      for (size_t i = 0; i < w.size(); ++i) y[at + i] = w[i] * x[at + i] / size(&x[at]);
    return y;
  }
  Values pull_back(const Values& x, const Values& dy) {
    Values dx(x.size());
    for (size_t at = 0; at < x.size(); at += w.size()) {
      const double rho = size(&x[at]);
      double along = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        along += w[i] * dy[at + i] * x[at + i] / rho / static_cast<double>(w.size());
        dw[i] += dy[at + i] * x[at + i] / rho;
      }
      for (size_t i = 0; i < w.size(); ++i) dx[at + i] = (w[i] * dy[at + i] - x[at + i] / rho * along) / rho;
    }
    return dx;
  }
};

// What a key does to the state (F,E) of its head. `at`: the key's number among (B,S,H).
struct Change {
  std::function<Values(const Values& S, int64_t at)> after;
  // Of dS, the gradient of the state after the key, adds to the gradients of what the key has, and returns that of S.
  std::function<Values(const Values& S, const Values& dS, int64_t at)> pull_back;
};

// o_t = q_t S of the state S behind the last key that query t may see: q (B,T,H,F) → (B,T,H,E). With g, the gradient of o, it
// adds to dq and to what the change adds to.
inline Values read_states(const Sizes& n, int64_t F, int64_t E, const Change& change, const Values& q,
                          const Values* g = nullptr, Values* dq = nullptr) {
  Values o(n.B * n.T * n.H * E, 0.0);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.H; ++h) {
      const auto there = [&](int64_t s) { return n.present.empty() || n.present[b * n.S + s] != 0; };
      std::vector<Values> states{Values(F * E, 0.0)}, gradients(n.S + 1, Values(F * E, 0.0));
      for (int64_t s = 0; s < n.S; ++s)
        states.push_back(there(s) ? change.after(states[s], (b * n.S + s) * n.H + h) : states[s]);
      for (int64_t t = 0; t < n.T; ++t) {
        const int64_t seen = n.causal ? std::clamp<int64_t>(t + n.offset + 1, 0, n.S) : n.S, at = (b * n.T + t) * n.H + h;
        for (int64_t f = 0; f < F; ++f)
          for (int64_t e = 0; e < E; ++e) {
            o[at * E + e] += q[at * F + f] * states[seen][f * E + e];
            if (!g) continue;
            (*dq)[at * F + f] += states[seen][f * E + e] * (*g)[at * E + e];
            gradients[seen][f * E + e] += q[at * F + f] * (*g)[at * E + e];
          }
      }
      for (int64_t s = n.S - 1; g && s >= 0; --s) {
        const Values before =
            there(s) ? change.pull_back(states[s], gradients[s + 1], (b * n.S + s) * n.H + h) : gradients[s + 1];
        for (int64_t i = 0; i < F * E; ++i) gradients[s][i] += before[i];
      }
    }
  return o;
}

inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }
inline double silu(double x) { return x * logistic(x); }
inline double silu_slope(double x) { return logistic(x) * (1 + x * (1 - logistic(x))); }

// Tokens that the mask hides are zeros, and have no gradient.
inline Values visible_tokens(const Sizes& n, Values context) {
  for (int64_t row = 0; row < n.B * n.S && !n.present.empty(); ++row)
    if (n.present[row] == 0) std::fill_n(context.begin() + row * n.C(), n.C(), 0.0);
  return context;
}

}  // namespace tapir::reference

// A decoder language model in scalar loops on doubles, from the papers' formulas: token and position vectors, blocks with
// layer norm before (Xiong et al. 2020) or after (Vaswani et al. 2017) each sub-layer, dot-product attention, a final norm
// and a head. It shares no code with nn/.
#pragma once
#include <cmath>
#include <cstdint>
#include <map>
#include <string>

#include "tests/reference_attention.h"

namespace tapir::reference {

// Letters: T tokens of one sequence, C width, H heads, V vocabulary. Rows (T,C) are row-major.
struct LanguageModel {
  std::map<std::string, Values> parameters;
  int64_t C, H, layers;
  bool pre_norm, learned_positions, relu;   // else: after the sum, sinusoidal, exact GELU

  // y_o = Σ_i W_oi x_i + b_o for each row; no bias where there is none
  Values linear(const Values& x, int64_t in, const std::string& name) const {
    const Values& W = parameters.at(name + ".weight");
    const int64_t rows = static_cast<int64_t>(x.size()) / in, out = static_cast<int64_t>(W.size()) / in;
    Values y(rows * out, 0.0);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < out; ++o) {
        if (parameters.contains(name + ".bias")) y[r * out + o] = parameters.at(name + ".bias")[o];
        for (int64_t i = 0; i < in; ++i) y[r * out + o] += W[o * in + i] * x[r * in + i];
      }
    return y;
  }

  // w (x − mean) / √(variance + 10⁻⁵) + b for each row
  Values layer_norm(const Values& x, const std::string& name) const {
    const Values &w = parameters.at(name + ".weight"), &b = parameters.at(name + ".bias");
    Values y(x.size());
    for (size_t r = 0; r < x.size(); r += C) {
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < C; ++c) mean += x[r + c] / static_cast<double>(C);
      for (int64_t c = 0; c < C; ++c) variance += (x[r + c] - mean) * (x[r + c] - mean) / static_cast<double>(C);
      for (int64_t c = 0; c < C; ++c) y[r + c] = w[c] * (x[r + c] - mean) / std::sqrt(variance + 1e-5) + b[c];
    }
    return y;
  }

  Values attention(const Values& x, const std::string& name) const {   // causal
    const int64_t T = static_cast<int64_t>(x.size()) / C, D = C / H;
    const Sizes n{.B = 1, .H = H, .T = T, .S = T, .D = D, .causal = true};
    const auto heads = [&](const std::string& layer) {   // (T,C) → (H,T,D)
      const Values y = linear(x, C, name + "." + layer);
      Values split(y.size());
      for (int64_t t = 0; t < T; ++t)
        for (int64_t c = 0; c < C; ++c) split[(c / D * T + t) * D + c % D] = y[t * C + c];
      return split;
    };
    const Values o = mix(n, softmax(n, DotProduct{}.scores(n, heads("query"), heads("key"))), heads("value"));
    Values merged(o.size());
    for (int64_t t = 0; t < T; ++t)
      for (int64_t c = 0; c < C; ++c) merged[t * C + c] = o[(c / D * T + t) * D + c % D];
    return linear(merged, C, name + ".out");
  }

  Values feed_forward(const Values& x, const std::string& name) const {
    Values h = linear(x, C, name + ".up");
    for (double& z : h) z = relu ? std::max(0.0, z) : z * 0.5 * (1 + std::erf(z / std::sqrt(2.0)));
    return linear(h, static_cast<int64_t>(h.size()) / (static_cast<int64_t>(x.size()) / C), name + ".down");
  }

  static Values sum(Values a, const Values& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }

  Values logits(const std::vector<int32_t>& tokens) const {   // (T,V)
    Values x(tokens.size() * C);
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t t = static_cast<int64_t>(i) / C, c = static_cast<int64_t>(i) % C;
      const int64_t pair = c / 2;
      const double rate = std::pow(10000.0, -2.0 * static_cast<double>(pair) / static_cast<double>(C));
      const double angle = static_cast<double>(t) * rate;
      x[i] = parameters.at("tokens.weight")[tokens[t] * C + c];
      x[i] += learned_positions ? parameters.at("positions.weight")[i] : c % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
    for (int64_t layer = 0; layer < layers; ++layer) {
      const std::string block = "blocks." + std::to_string(layer);
      if (pre_norm) {
        x = sum(x, attention(layer_norm(x, block + ".norm1"), block + ".attention"));
        x = sum(x, feed_forward(layer_norm(x, block + ".norm2"), block + ".mlp"));
      } else {
        x = layer_norm(sum(x, attention(x, block + ".attention")), block + ".norm1");
        x = layer_norm(sum(x, feed_forward(x, block + ".mlp")), block + ".norm2");
      }
    }
    return linear(layer_norm(x, "norm"), C, "head");
  }
};

}  // namespace tapir::reference

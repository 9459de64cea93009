// Transformers in scalar loops on doubles, from the papers' formulas: token and position vectors, blocks with a norm before
// (Xiong et al. 2020) or after (Vaswani et al. 2017) each sub-layer, dot-product attention, a final norm and a head; a
// decoder alone, or an encoder with a decoder that reads it. It shares no code with nn/ or attention/.
#pragma once
#include <cmath>
#include <cstdint>
#include <map>
#include <string>

#include "tests/mechanisms/reference_attention.h"
#include "tests/mechanisms/reference_biases.h"

namespace tapir::reference {

// Letters: T tokens of one sequence, S tokens that attention reads, C width, H heads, V vocabulary. (T,C) is row-major.
struct Transformer {
  std::map<std::string, Values> parameters;
  int64_t C, H, layers;
  bool pre_norm;
  std::string positions;   // learned, sinusoidal, rotary, none, or a bias of reference_biases.h
  bool relu;               // else: exact GELU
  bool rms = false;        // else: layer norm
  int64_t key_heads = 0;   // 0: H
  int64_t head_width = 0;  // 0: C/H

  bool is_bias() const {
    return positions == "alibi" || positions == "kerple_log" || positions == "fire" || positions == "t5";
  }

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

  // w (x − mean) / √(variance + 10⁻⁵) + b, or w x / √(mean x² + 10⁻⁶), for each row
  Values norm(const Values& x, const std::string& name) const {
    const Values& w = parameters.at(name + ".weight");
    Values y(x.size());
    for (size_t r = 0; r < x.size(); r += C) {
      double mean = 0, variance = 0;
      if (!rms)
        for (int64_t c = 0; c < C; ++c) mean += x[r + c] / static_cast<double>(C);
      for (int64_t c = 0; c < C; ++c) variance += (x[r + c] - mean) * (x[r + c] - mean) / static_cast<double>(C);
      for (int64_t c = 0; c < C; ++c)
        y[r + c] = w[c] * (x[r + c] - mean) / std::sqrt(variance + (rms ? 1e-6 : 1e-5)) +
                   (parameters.contains(name + ".bias") ? parameters.at(name + ".bias")[c] : 0);
    }
    return y;
  }

  // (…) of one head turned: channels 2i, 2i + 1 of token t by t / 10000^(2i/D)
  static void turn(double* x, int64_t t, int64_t D) {
    for (int64_t i = 0; i < D; i += 2) {
      const double angle = static_cast<double>(t) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(D));
      const double a = x[i], b = x[i + 1];
      x[i] = a * std::cos(angle) - b * std::sin(angle);
      x[i + 1] = a * std::sin(angle) + b * std::cos(angle);
    }
  }

  // Queries of x (T,C), keys and values of z (S,C) where they are present. `placed`: one sequence, so places matter.
  Values attention(const Values& x, const Values& z, const std::string& name, bool causal, bool placed,
                   const std::vector<uint8_t>& present) const {
    const int64_t T = static_cast<int64_t>(x.size()) / C, S = static_cast<int64_t>(z.size()) / C;
    const int64_t D = head_width ? head_width : C / H;
    const int64_t G = key_heads ? key_heads : H;
    const Sizes n{.B = 1, .H = H, .T = T, .S = S, .D = D, .causal = causal, .present = present};
    const auto heads = [&](const Values& tokens, const std::string& layer, int64_t count) {   // → (H,T,D)
      const Values y = linear(tokens, C, name + "." + layer);
      const int64_t length = static_cast<int64_t>(tokens.size()) / C;
      Values split(H * length * D);
      for (int64_t h = 0; h < H; ++h)
        for (int64_t t = 0; t < length; ++t) {
          double* row = split.data() + (h * length + t) * D;
          for (int64_t d = 0; d < D; ++d) row[d] = y[t * count * D + h * count / H * D + d];
          if (placed && positions == "rotary" && layer != "value") turn(row, t, D);
        }
      return split;
    };
    Values e = DotProduct{}.scores(n, heads(x, "query", H), heads(z, "key", G));
    if (placed && is_bias()) {
      const PlaceBias bias{positions, parameters, name + ".positions.", H, causal};
      n.each_pair([&](auto b, auto h, auto t, auto s) { e[n.pair(b, h, t, s)] += bias(h, t, s); });
    }
    const Values o = mix(n, softmax(n, e), heads(z, "value", G));
    Values merged(o.size());
    for (int64_t t = 0; t < T; ++t)
      for (int64_t c = 0; c < H * D; ++c) merged[t * H * D + c] = o[(c / D * T + t) * D + c % D];
    return linear(merged, H * D, name + ".out");
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

  // Tokens through all blocks and the final norm, (T,C). `memory` empty: no cross-attention. `present`: of what is read by
  // self-attention, or of the memory where there is one.
  Values stack(const std::vector<int32_t>& tokens, const std::string& prefix, bool causal, const Values& memory,
               const std::vector<uint8_t>& present) const {
    Values x(tokens.size() * C);
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t t = static_cast<int64_t>(i) / C, c = static_cast<int64_t>(i) % C;
      const double rate = std::pow(10000.0, -2.0 * static_cast<double>(c / 2) / static_cast<double>(C));
      const double angle = static_cast<double>(t) * rate;
      x[i] = parameters.at(prefix + "tokens.weight")[tokens[t] * C + c];
      if (positions == "learned") x[i] += parameters.at(prefix + "positions.weight")[i];
      if (positions == "sinusoidal") x[i] += c % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
    const auto residual = [&](const std::string& name, const auto& f) {
      x = pre_norm ? sum(x, f(norm(x, name))) : norm(sum(x, f(x)), name);
    };
    for (int64_t layer = 0; layer < layers; ++layer) {
      const std::string block = prefix + "blocks." + std::to_string(layer);
      residual(block + ".norm1", [&](const Values& a) {
        return attention(a, a, block + ".attention", causal, true, memory.empty() ? present : std::vector<uint8_t>{});
      });
      if (!memory.empty()) residual(block + ".cross_norm", [&](const Values& a) {
        return attention(a, memory, block + ".cross_attention", false, false, present);
      });
      residual(block + ".norm2", [&](const Values& a) { return feed_forward(a, block + ".mlp"); });
    }
    return norm(x, prefix + "norm");
  }

  // Logits (T,V) of x (T,C); where there is no matrix of the head it is that of the token vectors.
  Values head(const Values& x, const std::string& prefix) const {
    Transformer whole = *this;
    whole.parameters.try_emplace("head.weight", parameters.at(prefix + "tokens.weight"));
    return whole.linear(x, C, "head");
  }

  Values logits(const std::vector<int32_t>& tokens) const {   // (T,V), of a decoder alone
    return head(stack(tokens, "", true, {}, {}), "");
  }

  // (T,V) of the target, from a source whose tokens are `present`
  Values logits(const std::vector<int32_t>& source, const std::vector<uint8_t>& present,
                const std::vector<int32_t>& target) const {
    const Values memory = stack(source, "encoder.", false, {}, present);
    return head(stack(target, "decoder.", true, memory, present), "decoder.");
  }
};

}  // namespace tapir::reference

// Focused linear attention in scalar loops, with gradients by hand: features, and the convolution of values, of a sequence and a grid.
#pragma once
#include "attention/mechanisms/flatten.h"
#include "tests/mechanisms/oracle.h"
#include "tests/mechanisms/reference_features.h"

namespace tapir::reference {

// φ: u = (relu(x) + ε)/σ, σ = softplus(θ) of the channel or 1, y = ‖u‖ uᵖ/‖uᵖ‖ over the channels of a head or of all.
//   du = u/‖u‖ (dy·w)/‖w‖ + ‖u‖/‖w‖ p uᵖ⁻¹ (dy − w (w·dy)/‖w‖²),  w = uᵖ;  dx = du/σ where x > 0,  dθ = −Σ du u/σ sigmoid(θ)
struct Features {
  const FlattenOptions& options;
  const Sizes& n;
  int64_t length;
  Values theta;   // (H,D); empty: σ = 1

  double sigma(int64_t c) const { return theta.empty() ? 1 : std::log1p(std::exp(theta[c])); }

  // Of each group of channels: where they are in (B,H,length,D), and c = h·D + d of each.
  template <class Body> void each_group(const Body& body) const {
    const int64_t joined = options.norm == "all" ? n.H : 1;
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t h = 0; h < n.H; h += joined)
        for (int64_t t = 0; t < length; ++t) {
          std::vector<int64_t> at, channel;
          for (int64_t k = h; k < h + joined; ++k)
            for (int64_t d = 0; d < n.D; ++d) {
              at.push_back(((b * n.H + k) * length + t) * n.D + d);
              channel.push_back(k * n.D + d);
            }
          body(at, channel);
        }
  }

  struct Group {
    Values u, w;
    double length = 0, norm = 0;   // ‖u‖, ‖w‖
  };
  Group group(const Values& x, const std::vector<int64_t>& at, const std::vector<int64_t>& channel) const {
    Group all;
    for (size_t i = 0; i < at.size(); ++i) {
      all.u.push_back((std::max(x[at[i]], 0.0) + options.epsilon) / sigma(channel[i]));
      all.w.push_back(std::pow(all.u[i], options.power));
      all.length += all.u[i] * all.u[i];
      all.norm += all.w[i] * all.w[i];
    }
    all.length = std::sqrt(all.length);
    all.norm = std::sqrt(all.norm);
    return all;
  }

  Values apply(const Values& x) const {
    Values y(x.size(), 0.0);
    each_group([&](const auto& at, const auto& channel) {
      const Group all = group(x, at, channel);
      for (size_t i = 0; i < at.size() && all.norm > 0; ++i) y[at[i]] = all.length * all.w[i] / all.norm;
    });
    return y;
  }

  Values pull_back(const Values& x, const Values& dy, Gradients& gradients) const {
    Values dx(x.size(), 0.0), dtheta(theta.size(), 0.0);
    each_group([&](const auto& at, const auto& channel) {
      const Group all = group(x, at, channel);
      if (all.norm == 0) return;
      double along = 0;
      for (size_t i = 0; i < at.size(); ++i) along += dy[at[i]] * all.w[i];
      for (size_t i = 0; i < at.size(); ++i) {
        const double slope = static_cast<double>(options.power) * std::pow(all.u[i], options.power - 1);
        const double du = all.u[i] / all.length * along / all.norm +
                          all.length / all.norm * slope * (dy[at[i]] - all.w[i] * along / (all.norm * all.norm));
        if (x[at[i]] > 0) dx[at[i]] = du / sigma(channel[i]);
        if (!theta.empty()) dtheta[channel[i]] -= du * all.u[i] / sigma(channel[i]) / (1 + std::exp(-theta[channel[i]]));
      }
    });
    if (!theta.empty()) {
      Values& whole = gradients.try_emplace("scale", Values(theta.size(), 0.0)).first->second;
      for (size_t i = 0; i < theta.size(); ++i) whole[i] += dtheta[i];
    }
    return dx;
  }
};

// y_t = Σ_u w_u v_{t+u−r} + b, r values before the query: all of the window but one under a causal mask, else half of it; on a
// grid u are the k × k cells about that of t, and a class token gets nothing. Tokens that are not there are 0, and get 0.
// w (k,1,c) or (k,k,1,c), b (c), c channels of a head or of all.
inline void add_convolution(const FlattenOptions& options, const Parameters& parameters, const Sizes& n, const nn::Places& places,
                            const Values& v, const Values& g, Attention& result) {
  const bool grid = places.rows > 0;
  const std::string name = grid ? "depthwise.cells." : "depthwise.tokens.";
  const Values w = parameters.at(name + "weight")->value.values<double>(), b = parameters.at(name + "bias")->value.values<double>();
  const auto channels = static_cast<int64_t>(b.size()), taps = static_cast<int64_t>(w.size()) / channels, k = options.kernel;
  const int64_t before = n.causal ? k - 1 : k / 2, alone = places.class_tokens, W = places.columns;
  Values dw(w.size(), 0.0), db(b.size(), 0.0), &dv = result.gradients["v"];
  const auto there = [&](int64_t sample, int64_t s) { return n.present.empty() || n.present[sample * n.S + s] != 0; };
  const auto read = [&](int64_t t, int64_t u) -> int64_t {   // −1: outside
    if (!grid) return t + u - before < n.S ? std::max<int64_t>(t + u - before, -1) : -1;
    const int64_t row = (t - alone) / W + u / k - k / 2, column = (t - alone) % W + u % k - k / 2;
    return row < 0 || row >= places.rows || column < 0 || column >= W ? -1 : alone + row * W + column;
  };
  for (int64_t i = 0; i < n.B * n.H * n.T * n.D; ++i) {
    const int64_t d = i % n.D, t = i / n.D % n.T, h = i / (n.D * n.T) % n.H, sample = i / (n.D * n.T * n.H);
    if (!there(sample, t) || t < alone) continue;
    const int64_t c = channels == n.D ? d : h * n.D + d;
    result.output[i] += b[c];
    db[c] += g[i];
    for (int64_t u = 0; u < taps; ++u) {
      const int64_t s = read(t, u);
      if (s < 0 || !there(sample, s)) continue;
      result.output[i] += w[u * channels + c] * v[n.key(sample, h, s) + d];
      dw[u * channels + c] += g[i] * v[n.key(sample, h, s) + d];
      dv[n.key(sample, h, s) + d] += g[i] * w[u * channels + c];
    }
  }
  result.gradients[name + "weight"] = dw;
  result.gradients[name + "bias"] = db;
}

inline Attention attend_focused(const FlattenOptions& options, const Parameters& parameters, const Sizes& n, const nn::Places& places,
                                const Values& q, Values k, const Values& v, const Values& g) {
  const Values theta = options.channel_scale ? parameters.at("scale")->value.values<double>() : Values();
  const auto cell = [&](size_t i) {   // of a key's channel in the table of positions (S,H·D)
    const auto at = static_cast<int64_t>(i);
    return (at / n.D % n.S * n.H + at / (n.S * n.D) % n.H) * n.D + at % n.D;
  };
  if (options.key_positions) {
    const Values own = parameters.at("key_positions")->value.values<double>();
    for (size_t i = 0; i < k.size(); ++i) k[i] += own[cell(i)];
  }
  const Features of_q{options, n, n.T, theta}, of_k{options, n, n.S, theta};
  Attention result = attend_features(n, of_q.apply(q), of_k.apply(k), v, g, options.epsilon);
  result.gradients["q"] = of_q.pull_back(q, result.gradients["q"], result.gradients);
  result.gradients["k"] = of_k.pull_back(k, result.gradients["k"], result.gradients);
  if (options.key_positions) {
    Values& own = result.gradients["key_positions"] = Values(n.S * n.H * n.D, 0.0);
    for (size_t i = 0; i < k.size(); ++i) own[cell(i)] += result.gradients["k"][i];
  }
  if (options.kernel > 0) add_convolution(options, parameters, n, places, v, g, result);
  return result;
}

}  // namespace tapir::reference

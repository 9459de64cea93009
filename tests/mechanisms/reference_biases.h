// Biases of places in scalar loops on doubles, from the papers' formulas. It shares no code with attention/.
#pragma once
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace tapir::reference {

// alibi, kerple_log, fire or t5, with `parameters` of names that begin with `prefix`.
struct PlaceBias {
  std::string positions;
  const std::map<std::string, std::vector<double>>& parameters;
  std::string prefix;
  int64_t H;     // alibi: a power of two
  bool causal;   // t5: no bucket for what is ahead

  double operator()(int64_t h, int64_t t, int64_t s) const {
    const auto distance = std::fabs(static_cast<double>(t - s));
    if (positions == "alibi") return -std::pow(2.0, -8.0 * static_cast<double>(h + 1) / static_cast<double>(H)) * distance;
    if (positions == "kerple_log") return -std::fabs(at("r1")[h]) * std::log(1 + std::fabs(at("r2")[h]) * distance);
    if (positions == "t5") return at("table.weight")[bucket(t, s) * H + h];
    const double c = std::fabs(at("c")[0]), L = 512 * std::fabs(at("threshold")[0]);
    const double share = std::log(c * distance + 1) / (std::log(c * std::max(static_cast<double>(t), L) + 1) + 1e-6);
    double y = at("out.bias")[h];
    for (int64_t unit = 0; unit < 32; ++unit)
      y += at("out.weight")[h * 32 + unit] * std::max(0.0, at("hidden.weight")[unit] * share + at("hidden.bias")[unit]);
    return y;
  }

  // dy of (h,t,s): adds to the gradients of the parameters.
  //   kerple_log  dr₁ = −log(1 + r₂ |t − s|),  dr₂ = −r₁ |t − s|/(1 + r₂ |t − s|)
  //   fire        of y = f(N/M), N = log(c |t − s| + 1), M = log(c m + 1) + 10⁻⁶, m = max(t, L):  dN = f′/M, dM = −f′ N/M²
  void pull_back(int64_t h, int64_t t, int64_t s, double dy, std::map<std::string, std::vector<double>>& gradients) const {
    const auto d = [&](const char* name) -> std::vector<double>& {
      return gradients.try_emplace(prefix + name, at(name).size(), 0.0).first->second;
    };
    const auto distance = std::fabs(static_cast<double>(t - s));
    if (positions == "alibi") return;
    if (positions == "t5") {
      d("table.weight")[bucket(t, s) * H + h] += dy;
      return;
    }
    if (positions == "kerple_log") {
      const double r1 = at("r1")[h], r2 = at("r2")[h], within = 1 + std::fabs(r2) * distance;
      d("r1")[h] -= dy * std::copysign(std::log(within), r1);
      d("r2")[h] -= dy * std::fabs(r1) * std::copysign(distance / within, r2);
      return;
    }
    const double c = std::fabs(at("c")[0]), L = 512 * std::fabs(at("threshold")[0]), m = std::max(static_cast<double>(t), L);
    const double N = std::log(c * distance + 1), M = std::log(c * m + 1) + 1e-6;
    double slope = 0;   // f′
    d("out.bias")[h] += dy;
    for (int64_t unit = 0; unit < 32; ++unit) {
      const double z = at("hidden.weight")[unit] * N / M + at("hidden.bias")[unit];
      d("out.weight")[h * 32 + unit] += dy * std::max(0.0, z);
      const double dz = z > 0 ? dy * at("out.weight")[h * 32 + unit] : 0;
      d("hidden.weight")[unit] += dz * N / M;
      d("hidden.bias")[unit] += dz;
      slope += dz * at("hidden.weight")[unit];
    }
    const double dM = -slope * N / (M * M);
    d("c")[0] += std::copysign(1.0, at("c")[0]) * (slope / M * distance / (c * distance + 1) + dM * m / (c * m + 1));
    d("threshold")[0] += L > static_cast<double>(t) ? std::copysign(512.0, at("threshold")[0]) * dM * c / (c * m + 1) : 0;
  }

  // One for each distance below half of them, then one more at each step of a geometric sequence that ends at 128.
  int64_t bucket(int64_t t, int64_t s) const {
    const int64_t own = causal ? 32 : 16, half = own / 2;
    const int64_t distance = causal ? std::max<int64_t>(t - s, 0) : std::abs(t - s);
    int64_t n = std::min(distance, half);
    const auto first = static_cast<double>(half);
    for (int64_t k = 1; k < half; ++k)
      if (static_cast<double>(distance) >= first * std::pow(128 / first, static_cast<double>(k) / first)) ++n;
    return n + (!causal && s > t ? 16 : 0);
  }

 private:
  const std::vector<double>& at(const std::string& name) const { return parameters.at(prefix + name); }
};

}  // namespace tapir::reference

// Additive attention: every pair in scalar loops; no value is stored for each pair and unit.
#include <doctest/doctest.h>

#include "autograd/ops/sum.h"
#include "tensor/arena.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;

namespace {

using reference::Gradients;
using reference::Sizes;
using reference::Values;

// From Bahdanau et al. 2015, appendix A.1.2, one network for each head:
//
//   e_ts = Σ_m v_m h_m,  h_m = tanh(Σ_d W_md q_td + Σ_d U_md k_sd + b_m)
//   dv_m = Σ de h_m,  dx_m = de v_m (1 − h_m²);  db = Σ dx,  dW = Σ dx qᵀ,  dU = Σ dx kᵀ,  dq = Σ Wᵀdx,  dk = Σ Uᵀdx
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

const Registered registered(
    {.mechanism = "additive",
     .heads =
         [](const auto&, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
            const auto& g) {
           const auto values = [&](const std::string& name) {
             const auto found = parameters.find("score." + name);
             return found == parameters.end() ? Values() : found->second->value.template values<double>();
           };
           const int64_t units = parameters.at("score.vector")->shape[1];
           const Additive additive{units, values("query"), values("key"), values("bias"), values("vector")};
           return reference::attend(additive, sizes, q, k, v, g);
         },
     .rules = {{"hidden", {"0", "1", "3"}, {"4096"}, whole_number(0, 4096)}, truth("bias")},
     .variants = {"hidden = 0\nbias = false", "hidden = 0\nbias = true", "hidden = 3\nbias = false",
                  "hidden = 3\nbias = true"}});

}  // namespace

TEST_CASE("additive: stores no value for each pair and unit, forward and backward") {
  const Sizes sizes{.B = 1, .H = 2, .T = 128, .S = 128, .D = 8};
  constexpr int64_t units = 32;
  const Subject subject("additive", *options_of("additive", text("hidden = ", units, "\nbias = true")), sizes, 3);
  Arena& arena = Arena::of(default_device());
  const int64_t before = arena.statistics().in_use, pairs = sizes.H * sizes.T * sizes.S * 8;
  arena.reset_peak();
  backward(sum(subject.output()));
  CHECK(arena.statistics().peak - before < 8 * pairs);   // the plain form stores 32 of them at least
}

TEST_CASE("additive: keeps its claims with other options") {
  check_all_hold(prove(mechanism("additive"), *options_of("additive", "hidden = 3\nbias = true"), 2));
}

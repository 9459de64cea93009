// Expressive Attention: scalar loops, and the shape of its weights as functions of the scores.
#include <doctest/doctest.h>

#include "attention/kernels/expressive_weights.h"
#include "autograd/ops.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// From Gros 2024:
//
//   z_ts = β ⟨q_t, k_s⟩,  g_ts = d_ts z²/(1 + z²),  S_t = Σ_allowed g_ts,  a_ts = g_ts / S_t,  o_t = Σ_s a_ts v_s
//   d_ts = 1, or exp(−2^(−8h/H) |t + offset − s|) for head h = 1 … H;  a row with S_t = 0 is 0
//
// Gradients of ⟨o, g⟩, G the upstream gradient: D_t = ⟨G_t, o_t⟩,  dg_ts = (⟨G_t, v_s⟩ − D_t)/S_t,
//   dz_ts = dg_ts d_ts 2z/(1 + z²)²,  dq_t = β Σ_s dz_ts k_s,  dk_s = β Σ_t dz_ts q_t,  dv_s = Σ_t a_ts G_t
struct Expressive {
  double beta;
  bool alibi;

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& G) const {
    Values z(n.B * n.H * n.T * n.S, 0.0), a(z.size(), 0.0), S(n.B * n.H * n.T, 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) z[i] += beta * q[n.query(b, h, t) + d] * k[n.key(b, h, s) + d];
      a[i] = decay(n, h, t, s) * z[i] * z[i] / (1 + z[i] * z[i]);
      S[i / n.S] += a[i];
    });
    for (size_t i = 0; i < a.size(); ++i)
      if (S[i / n.S] > 0) a[i] /= S[i / n.S];

    const Values o = mix(n, a, v);
    Values dq(q.size(), 0.0), dk(k.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s), row = n.query(b, h, t), key = n.key(b, h, s);
      if (S[i / n.S] == 0) return;
      double dg = 0;
      for (int64_t d = 0; d < n.D; ++d) dg += G[row + d] * (v[key + d] - o[row + d]) / S[i / n.S];
      const double dz = dg * decay(n, h, t, s) * 2 * z[i] / std::pow(1 + z[i] * z[i], 2);
      for (int64_t d = 0; d < n.D; ++d) {
        dq[row + d] += beta * dz * k[key + d];
        dk[key + d] += beta * dz * q[row + d];
      }
    });
    return {o, {{"q", dq}, {"k", dk}, {"v", value_gradient(n, a, G)}}};
  }

 private:
  double decay(const Sizes& n, int64_t h, int64_t t, int64_t s) const {
    if (!alibi) return 1;
    const double slope = std::pow(2.0, -8.0 * static_cast<double>(h + 1) / static_cast<double>(n.H));
    return std::exp(-slope * std::fabs(static_cast<double>(t + n.offset - s)));
  }
};

const Registered registered({
    .mechanism = "expressive",
    .heads = [](const auto& any, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
      const auto& options = static_cast<const ExpressiveOptions&>(any);
      const double beta = options.beta > 0 ? options.beta : 1 / std::sqrt(static_cast<double>(sizes.D));
      return Expressive{beta, options.alibi}.attend(sizes, q, k, v, g);
    },
    .rules = {implementation_rule(),
              {"beta", {"0", "1", "0.3"}, {"1e-300", "1e6"},
               {{"-1e-9", "must be a number in 0 … 1000000, found -1e-09"},
                {"1000001", "must be a number in 0 … 1000000, found 1000001"},
                {"nan", "must be a number in 0 … 1000000, found nan"},
                {"inf", "must be a number in 0 … 1000000, found inf"},
                {"'1'", "must be a number in 0 … 1000000, found '1'"},
                {"true", "must be a number in 0 … 1000000, found true"}}},
              truth("alibi")},
    .variants = {"beta = 1", "beta = 1\nalibi = true", "beta = 0", "beta = 0\nalibi = true", "beta = 0.3",
                 "beta = 0.3\nalibi = true"}});

}  // namespace

TEST_CASE("expressive: weights are even in the score, free of scale where small, uniform where large") {
  const auto weights = [](const Values& z) {
    const int64_t keys = static_cast<int64_t>(z.size());
    return expressive_weights(Tensor::from(z, {1, 1, 1, keys}), {}, false).values<double>();
  };
  CHECK(weights({2, -2, 0, 0.5}) == weights({-2, 2, 0, -0.5}));
  CHECK(weights({2, -2, 0, 0.5})[0] == doctest::Approx(0.8 / 1.8).epsilon(1e-15));   // parallel
  CHECK(weights({2, -2, 0, 0.5})[1] == doctest::Approx(0.8 / 1.8).epsilon(1e-15));   // anti-parallel
  CHECK(weights({2, -2, 0, 0.5})[2] == 0);                                            // orthogonal
  CHECK(frobenius_error(weights({1e-5, -2e-5, 3e-5}), {1 / 14.0, 4 / 14.0, 9 / 14.0}) <= 1e-8);
  CHECK(frobenius_error(weights({1e-6, -2e-6, 3e-6}), weights({1e-5, -2e-5, 3e-5})) <= 1e-8);
  CHECK(weights({1e10, -1e12, 0, 1e200}) == Values{1 / 3.0, 1 / 3.0, 0, 1 / 3.0});
  CHECK(weights({-INFINITY, 1e-3, INFINITY})[2] == doctest::Approx(0.5).epsilon(1e-6));
  for (const double z : {1e-150, 3e-5, 0.7, 1e5, 1e300}) CHECK(weights({z}) == Values{1});   // a key alone has weight 1
}

TEST_CASE("expressive: the slope of a weight is 0 at an orthogonal key and decays with the third power (golden 1.2.3)") {
  const auto slope = [](double z) {   // ∂a_1/∂z_1 beside a key of g = ½
    const Tensor scores = requires_grad(Tensor::from(Values{z, 1}, {1, 1, 1, 2}));
    return grad({slice(expressive_weights(scores, {}, false), -1, 0, 1)}, {scores})[0].values<double>()[0];
  };
  CHECK(slope(0) == 0);
  CHECK(slope(0.5) == doctest::Approx(-slope(-0.5)));
  // a_1 = g/(g + ½), so ∂a_1 = ½ g′/(g + ½)²; at z = 1/√3: g = ¼, g′ = 2z/(1 + z²)²
  const double z = 1 / std::sqrt(3.0);
  CHECK(slope(z) == doctest::Approx(0.5 * (2 * z / std::pow(4 / 3.0, 2)) / std::pow(0.75, 2)).epsilon(1e-14));
  CHECK(slope(1e3) / slope(2e3) == doctest::Approx(8).epsilon(1e-5));
  CHECK(slope(1e300) == 0);
  const auto relative = [](double at) {   // ∂(a_1/a_2)/∂z_1 = g′/g_2
    const Tensor scores = requires_grad(Tensor::from(Values{at, 1}, {1, 1, 1, 2}));
    const Tensor a = expressive_weights(scores, {}, false);
    return grad({div(slice(a, -1, 0, 1), slice(a, -1, 1, 1))}, {scores})[0].values<double>()[0];
  };
  for (const double beside : {0.5, 0.57, 0.58, 0.65, 10.0}) CHECK(relative(beside) < relative(z));
}

TEST_CASE("expressive: a row whose scores are all 0 has weights 0 and gradient 0, first and second") {
  const Tensor scores = requires_grad(Tensor::from(Values{0, 0, 0, 1, 0, 2}, {1, 1, 2, 3}));
  const Tensor a = expressive_weights(scores, {}, false), u = random_normal({1, 1, 2, 3}, 1, "u");
  CHECK(frobenius_error(a.values<double>(), {0, 0, 0, 5 / 13.0, 0, 8 / 13.0}) <= 1e-15);
  const Tensor first = grad({a}, {scores}, {u}, {.create_graph = true})[0];
  const Tensor second = grad({first}, {scores}, {random_normal({1, 1, 2, 3}, 1, "w")})[0];
  for (const Tensor& g : {first, second})
    for (size_t i = 0; i < 6; ++i) {
      const double value = g.values<double>()[i];
      CHECK(std::isfinite(value));
      if (i < 3) CHECK(value == 0);
    }
  CHECK(first.values<double>()[3] != 0);
}

TEST_CASE("expressive: masked scores are not squared: -1e20 and NaN in forbidden places change nothing") {
  const Tensor scores = random_normal({1, 2, 4, 4}, 5, "scores", DType::f32);
  const Tensor u = random_normal({1, 2, 4, 4}, 5, "u", DType::f32);
  std::vector<uint8_t> seen;
  for (int64_t i = 0; i < 32; ++i) seen.push_back(i % 4 <= i / 4 % 4);
  const Mask causal{.causal = true, .offset = 0, .keys = {}};
  const auto both = [&](double forbidden) {
    const Tensor z = requires_grad(where(Tensor::from(seen, {1, 2, 4, 4}), scores, Tensor::full({}, forbidden)).detach());
    const Tensor a = expressive_weights(z, causal, true);
    return std::pair(a.values<float>(), grad({a}, {z}, {u})[0].values<float>());
  };
  const auto plain = both(0);
  for (const double forbidden : {-1e20, -HUGE_VAL, std::nan("")}) CHECK(both(forbidden) == plain);
}

TEST_CASE("expressive: keeps its claims with other options; ALiBi is a bias of position") {
  check_all_hold(prove(mechanism("expressive"), expressive_options(0, false), 2));
  Mechanism claiming = mechanism("expressive");
  CHECK(!claiming.claims(expressive_options(1, true)).equivariant);
  claiming.claims = always(claiming.claims(expressive_options(1, false)));
  for (const Proof& proof : prove(claiming, expressive_options(1, true), 2)) {
    CAPTURE(proof.claim);
    CAPTURE(proof.evidence);
    CHECK(proof.holds == (proof.claim != "equivariant"));
    if (!proof.holds) CHECK(contains_text(proof.evidence, "permuted tokens change the permuted outputs"));
  }
  const MixerShape grid{.width = 8, .heads = 2, .places = {.kind = nn::Places::Kind::grid, .rows = 2, .columns = 2}};
  CHECK(message_of([&] { nn::require_met("model", make_expressive(expressive_options(1, true), grid)->needs(), grid); }) ==
        "model: the attention of block 0 needs tokens in a sequence, they stand on a grid");
  CHECK(make_expressive(expressive_options(1, false), grid)->needs() == nn::Needs{});
}

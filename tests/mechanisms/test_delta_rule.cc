// DeltaNet: scalar loops of the whole mixer, key after key; a state that corrects what it has, and chunks of every size.
#include <doctest/doctest.h>

#include "attention/mechanisms/delta_rule.h"
#include "autograd/ops.h"
#include "tests/mechanisms/reference_recurrence.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::HeadMap;
using reference::Sizes;
using reference::Values;

// φ of the channels of a head, rows of D.
//   length  y = silu(x), φ = y/√(|y|² + ε):  dy = (dφ − φ (φ·dφ))/√(|y|² + ε)
//   sum     y = elu(x) + 1, φ = y/Σy:        dy = (dφ − φ·dφ)/Σy
struct Features {
  bool sum;
  int64_t D;

  double positive(double x) const { return sum ? (x > 0 ? x + 1 : std::exp(x)) : reference::silu(x); }
  double slope(double x) const { return sum ? (x > 0 ? 1 : std::exp(x)) : reference::silu_slope(x); }
  double size(const double* x) const {
    double total = sum ? 0 : 1e-6;
    for (int64_t d = 0; d < D; ++d) total += sum ? positive(x[d]) : positive(x[d]) * positive(x[d]);
    return sum ? total : std::sqrt(total);
  }

  Values apply(const Values& x) const {
    Values y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = positive(x[i]) / size(&x[i - i % D]);
    return y;
  }
  Values pull_back(const Values& x, const Values& df) const {
    const Values f = apply(x);
    Values dx(x.size());
    for (size_t at = 0; at < x.size(); at += D) {
      double along = 0;
      for (int64_t d = 0; d < D; ++d) along += f[at + d] * df[at + d];
      for (int64_t d = 0; d < D; ++d)
        dx[at + d] = slope(x[at + d]) * (df[at + d] - (sum ? 1 : f[at + d]) * along) / size(&x[at]);
    }
    return dx;
  }
};

//   u_s = v_s − k_s S⁻,  S_s = S⁻ + β_s k_sᵀ u_s,  β = σ(z)
//   dβ = Σ_fe k_f u_e dS_fe,  du_e = β Σ_f k_f dS_fe,  dv = du,  dk_f = Σ_e (β u_e dS_fe − S⁻_fe du_e)
//   dS⁻_fe = dS_fe − k_f du_e
Attention whole_mixer(const nn::Options& any, const Parameters& parameters, const Sizes& n, const Values& x,
                      const Values& context, const Values& g) {
  const bool of_sum = static_cast<const DeltaRuleOptions&>(any).keys == "sum";
  const int64_t D = n.D, H = n.H;
  const Features features{of_sum, D};
  const Values seen = visible_tokens(n, context);
  HeadMap query(parameters, "query", H), key(parameters, "key", H), value(parameters, "value", H), rate(parameters, "rate", H),
      out(parameters, "out", 1);
  const Values raw_q = query.to_heads(x), raw_k = key.to_heads(seen), raw_v = value.to_heads(seen), z = rate.to_heads(seen);
  const Values q = features.apply(raw_q), k = features.apply(raw_k);
  Values v = raw_v;
  if (!of_sum)
    for (double& one : v) one = reference::silu(one);
  Values dk(k.size(), 0.0), dv(v.size(), 0.0), dz(z.size(), 0.0), dq(q.size(), 0.0);
  const auto missing = [&](const Values& S, int64_t at, int64_t e) {
    double u = v[at * D + e];
    for (int64_t f = 0; f < D; ++f) u -= k[at * D + f] * S[f * D + e];
    return u;
  };
  const reference::Change change{
      .after =
          [&](const Values& S, int64_t at) {
            Values next = S;
            for (int64_t f = 0; f < D; ++f)
              for (int64_t e = 0; e < D; ++e) next[f * D + e] += reference::logistic(z[at]) * k[at * D + f] * missing(S, at, e);
            return next;
          },
      .pull_back =
          [&](const Values& S, const Values& dS, int64_t at) {
            const double beta = reference::logistic(z[at]);
            Values before = dS;
            for (int64_t e = 0; e < D; ++e) {
              const double u = missing(S, at, e);
              double along = 0;   // Σ_f k_f dS_fe
              for (int64_t f = 0; f < D; ++f) along += k[at * D + f] * dS[f * D + e];
              dz[at] += beta * (1 - beta) * u * along;
              dv[at * D + e] += beta * along;
              for (int64_t f = 0; f < D; ++f) {
                dk[at * D + f] += beta * (u * dS[f * D + e] - S[f * D + e] * along);
                before[f * D + e] -= beta * k[at * D + f] * along;
              }
            }
            return before;
          }};
  const Values o = read_states(n, D, D, change, q);
  std::vector<reference::RmsNorm> norm;   // one, or none
  if (!of_sum) norm.push_back({parameters.at("norm.weight")->value.values<double>()});
  const Values merged = of_sum ? o : norm[0].apply(o);
  Attention result{out.to_heads(merged), {}};

  Values d_merged(merged.size(), 0.0), dx(x.size(), 0.0), d_seen(context.size(), 0.0);
  out.pull_back(merged, g, d_merged);
  const Values d_o = of_sum ? d_merged : norm[0].pull_back(o, d_merged);
  read_states(n, D, D, change, q, &d_o, &dq);
  for (size_t i = 0; i < dv.size() && !of_sum; ++i) dv[i] *= reference::silu_slope(raw_v[i]);
  query.pull_back(x, features.pull_back(raw_q, dq), dx);
  key.pull_back(seen, features.pull_back(raw_k, dk), d_seen);
  value.pull_back(seen, dv, d_seen);
  rate.pull_back(seen, dz, d_seen);
  result.gradients = {{"x", dx}, {"context", visible_tokens(n, d_seen)}};
  if (!of_sum) result.gradients["norm.weight"] = norm[0].dw;
  for (const HeadMap& map : {query, key, value, rate, out}) map.add_gradients(result.gradients);
  return result;
}

const Registered registered({.mechanism = "delta_rule",
                             .mixer = whole_mixer,
                             .rules = {{"keys", {"'length'", "'sum'"}, {}, choice("sums", "length, sum", "sum")},
                                       chunk_rule()},
                             .variants = {"chunk = 1", "chunk = 2", "chunk = 64", "keys = 'sum'\nchunk = 2"}});

constexpr int64_t D = 4;

DeltaRuleOptions with(const std::string& keys, int64_t chunk = 64) {
  DeltaRuleOptions options;
  options.keys = keys;
  options.chunk = chunk;
  return options;
}

std::unique_ptr<RecurrentAttention> mixer_of(const DeltaRuleOptions& options, int64_t width = D, DType type = DType::f64) {
  auto mixer = make_delta_rule(options, {.width = width, .heads = 1});
  mixer->initialise(1, type);
  return mixer;
}

Mask causal_from(int64_t offset) { return {.causal = true, .offset = offset, .keys = {}}; }

// Keys with what their rates are made of, β = σ(logits).
Tensor rated(const Tensor& K, double logits) {
  return concat({K, Tensor::full(K.shape().with(3, 1), logits, K.dtype())}, -1);
}

// One-hot tokens whose features of length 1 are themselves but for 10⁻⁶: SiLU has 0 at 0.
Tensor one_hot(const std::vector<int64_t>& which) {
  std::vector<double> x(which.size() * D, 0.0);
  for (size_t t = 0; t < which.size(); ++t) x[t * D + which[t]] = 40;
  return Tensor::from(x, {1, 1, static_cast<int64_t>(which.size()), D});
}

double difference(const Tensor& a, const Tensor& b) { return frobenius_error(a.values<double>(), b.values<double>()); }

Tensor weights_of(RecurrentAttention& mixer, const Tensor& Q, const Tensor& K, const Mask& mask) {
  Tensor A;
  nn::Call call = call_with(mask);
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  mixer.attend(Q, K, Q, call);
  return A;
}

}  // namespace

TEST_CASE("delta_rule: chunks of every size and every offset are one function, which is that of the explicit matrix") {
  constexpr int64_t T = 7, H = 2;
  for (const char* keys : {"length", "sum"})
    for (const int64_t offset : {-8, -2, 0, 3, 9})
      for (const bool causal : {true, false}) {
        const std::vector<uint8_t> present{1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0};
        const Mask mask{.causal = causal, .offset = offset, .keys = Tensor::from(present, {2, T})};
        nn::Call recorded = call_with(mask);
        Tensor A;
        recorded.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
        const auto of = [&](int64_t chunk, const nn::Call& call) {
          const Tensor Q = requires_grad(random_normal({2, H, T, D}, 1, "Q")),
                       K = requires_grad(random_normal({2, H, T, D + 1}, 1, "K")),
                       V = requires_grad(random_normal({2, H, T, D}, 1, "V"));
          const auto mixer = make_delta_rule(with(keys, chunk), {.width = H * D, .heads = H});
          mixer->initialise(1, DType::f64);
          const Tensor y = mixer->attend(Q, K, V, call);
          std::vector<Tensor> all = grad({y}, {Q, K, V}, {random_normal(y.shape(), 1, "g")});
          all.push_back(y.detach());
          return all;
        };
        const std::vector<Tensor> expected = of(64, recorded);
        CHECK(A.shape() == Shape{2, H, T, T});
        for (const int64_t chunk : {1, 2, 3, 4, 5, 8, 64}) {
          CAPTURE(offset);
          CAPTURE(chunk);
          const std::vector<Tensor> found = of(chunk, call_with(mask));
          for (size_t i = 0; i < found.size(); ++i) CHECK(difference(found[i], expected[i]) <= 1e-12);
        }
      }
}

TEST_CASE("delta_rule: a key that is written again has its last value alone, where a sum has both (2102.11174, section 4.2)") {
  const auto mixer = mixer_of(with("length"));
  const Tensor tokens = one_hot({2, 0, 2, 1, 2});
  const Tensor A = weights_of(*mixer, tokens, rated(tokens, 40), causal_from(0));   // β = 1
  const std::vector<double> expected{1, 0, 0, 0, 0,   // 2
                                     0, 1, 0, 0, 0,   // 0
                                     0, 0, 1, 0, 0,   // 2 again: of the third token alone
                                     0, 0, 0, 1, 0,   // 1
                                     0, 0, 0, 0, 1};
  CHECK(frobenius_error(A.values<double>(), expected) <= 1e-5);
}

TEST_CASE("delta_rule: a rate of 0 writes nothing; one of 1/2 halves what is missing, each time") {
  const auto mixer = mixer_of(with("length"));
  const Tensor tokens = one_hot({1, 1, 1});
  CHECK(max(abs(weights_of(*mixer, tokens, rated(tokens, -1e3), causal_from(0)))).item() == 0);
  const std::vector<double> expected{0.5, 0, 0, 0.25, 0.5, 0, 0.125, 0.25, 0.5};
  CHECK(frobenius_error(weights_of(*mixer, tokens, rated(tokens, 0), causal_from(0)).values<double>(), expected) <= 1e-5);
}

TEST_CASE("delta_rule: as many pairs as channels are told apart after some rounds, though their keys are not orthogonal") {
  const Tensor K = add(random_normal({1, 1, D, D}, 1, "K"), affine(one_hot({0, 1, 2, 3}), 0.15, 0)),
               V = random_normal({1, 1, D, D}, 1, "V");
  const auto error_after = [&](int64_t rounds) {   // of the values that the keys find
    const std::vector<Tensor> keys(rounds, K), written(rounds, V);
    const auto mixer = mixer_of(with("sum"));
    const Tensor y = mixer->attend(K, rated(concat(keys, 2), 40), concat(written, 2), call_with({}));
    return difference(y, V);
  };
  CHECK(error_after(1) > 0.2);
  CHECK(error_after(300) < 1e-6);
}

TEST_CASE("delta_rule: tokens that are all alike lose no digits, in chunks of 64 and in f32") {
  constexpr int64_t T = 64;
  const Tensor one = random_normal({1, 1, 1, D}, 1, "one"), K = rated(copy(expand(one, {1, 1, T, D})), 3),
               V = random_normal({1, 1, T, D}, 1, "V"), Q = copy(expand(one, {1, 1, T, D}));
  const auto of = [&](int64_t chunk, DType type) {
    return mixer_of(with("length", chunk), D, type)
        ->attend(Q.to(type), K.to(type), V.to(type), call_with(causal_from(0)))
        .detach()
        .to(DType::f64);
  };
  CHECK(difference(of(64, DType::f64), of(1, DType::f64)) <= 1e-14);
  CHECK(difference(of(64, DType::f32), of(1, DType::f64)) <= 1e-5);
}

TEST_CASE("delta_rule: features that are all 0 in the type stay so, and have no gradient") {
  const Tensor Q = requires_grad(Tensor::full({1, 1, 2, D}, -1e3, DType::f64)),
               K = requires_grad(Tensor::full({1, 1, 2, D + 1}, -1e3, DType::f64)), V = random_normal({1, 1, 2, D}, 1, "V");
  const Tensor y = mixer_of(with("sum"))->attend(Q, K, V, call_with(causal_from(0)));
  const std::vector<Tensor> g = grad({y}, {Q, K}, {V});
  for (const Tensor& x : {y.detach(), g[0], g[1]})
    for (const double value : x.values<double>()) CHECK(value == 0);
}

TEST_CASE("delta_rule: NaN in a later token is in no earlier result, at every place of a chunk") {
  constexpr int64_t T = 6;
  const Tensor Q = random_normal({1, 1, T, D}, 1, "Q"), K = random_normal({1, 1, T, D + 1}, 1, "K"),
               V = random_normal({1, 1, T, D}, 1, "V");
  for (int64_t last = 1; last < T; ++last)
    for (const int64_t chunk : {2, 64}) {
      const auto hurt = [&](const Tensor& x) {
        return concat({slice(x, 2, 0, last), Tensor::full(x.shape().with(2, T - last), NAN, DType::f64)}, 2);
      };
      const auto of = [&](const Tensor& q, const Tensor& k, const Tensor& v) {
        return slice(mixer_of(with("length", chunk))->attend(q, k, v, call_with(causal_from(0))), 2, 0, last).values<double>();
      };
      CHECK(frobenius_error(of(hurt(Q), hurt(K), hurt(V)), of(Q, K, V)) <= 1e-14);
    }
}

// Gated linear attention: scalar loops of the whole mixer, key after key; its matrix of decayed products; rates of each kind.
#include <doctest/doctest.h>

#include "attention/mechanisms/gated_linear.h"
#include "autograd/ops.h"
#include "tests/mechanisms/reference_recurrence.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::HeadMap;
using reference::Sizes;
using reference::Values;

//   S_s = diag(α_s) S_{s−1} + k_sᵀ v_s,  y_t = RMSNorm(q_t S) silu(r_t),  α = σ(z)^(1/τ)
//   dα_f = Σ_e dS_fe S⁻_fe,  dk_f = Σ_e dS_fe v_e,  dv_e = Σ_f k_f dS_fe,  dS⁻_fe = α_f dS_fe,  dz = α (1 − σ(z))/τ dα
Attention whole_mixer(const nn::Options& any, const Parameters& parameters, const Sizes& n, const Values& x,
                      const Values& context, const Values& g) {
  const auto& options = static_cast<const GatedLinearOptions&>(any);
  const int64_t F = n.D / 2, E = n.D, H = n.H;
  const bool of_features = options.decay == "feature", fixed = options.decay == "fixed";
  const Values seen = visible_tokens(n, context);
  HeadMap query(parameters, "query", H), key(parameters, "key", H), value(parameters, "value", H), gate(parameters, "gate", H),
      out(parameters, "out", 1);
  std::vector<HeadMap> decay;   // none, one, or down and up
  if (of_features) decay = {{parameters, "decay.down", 1}, {parameters, "decay.up", H}};
  if (options.decay == "head") decay = {{parameters, "decay", H}};
  reference::RmsNorm norm{parameters.at("norm.weight")->value.values<double>()};

  const Values q = query.to_heads(x), r = gate.to_heads(x), k = key.to_heads(seen), v = value.to_heads(seen);
  const Values low = of_features ? decay[0].to_heads(seen) : seen;
  const Values z = fixed ? Values() : decay.back().to_heads(low);
  const auto at_z = [&](int64_t at, int64_t f) { return of_features ? at * F + f : at; };
  const auto alpha = [&](int64_t at, int64_t f) {
    if (fixed) return 1 - std::pow(2.0, -5.0 - static_cast<double>(at % H));
    return std::pow(reference::logistic(z[at_z(at, f)]), 1 / options.temperature);
  };
  Values dk(k.size(), 0.0), dv(v.size(), 0.0), dz(z.size(), 0.0), dq(q.size(), 0.0), dr(r.size(), 0.0);
  const reference::Change change{
      .after =
          [&](const Values& S, int64_t at) {
            Values next(S.size());
            for (int64_t f = 0; f < F; ++f)
              for (int64_t e = 0; e < E; ++e) next[f * E + e] = alpha(at, f) * S[f * E + e] + k[at * F + f] * v[at * E + e];
            return next;
          },
      .pull_back =
          [&](const Values& S, const Values& dS, int64_t at) {
            Values before(S.size());
            for (int64_t f = 0; f < F; ++f)
              for (int64_t e = 0; e < E; ++e) {
                const double d = dS[f * E + e];
                dk[at * F + f] += d * v[at * E + e];
                dv[at * E + e] += d * k[at * F + f];
                before[f * E + e] = alpha(at, f) * d;
                if (fixed) continue;
                const double slope = alpha(at, f) * (1 - reference::logistic(z[at_z(at, f)])) / options.temperature;
                dz[at_z(at, f)] += d * S[f * E + e] * slope;
              }
            return before;
          }};
  const Values o = read_states(n, F, E, change, q), normal = norm.apply(o);
  Values merged(o.size());
  for (size_t i = 0; i < o.size(); ++i) merged[i] = normal[i] * reference::silu(r[i]);
  Attention result{out.to_heads(merged), {}};

  Values d_merged(merged.size(), 0.0), dx(x.size(), 0.0), d_seen(context.size(), 0.0);
  out.pull_back(merged, g, d_merged);
  Values d_normal(o.size());
  for (size_t i = 0; i < o.size(); ++i) {
    d_normal[i] = d_merged[i] * reference::silu(r[i]);
    dr[i] = d_merged[i] * normal[i] * reference::silu_slope(r[i]);
  }
  const Values d_o = norm.pull_back(o, d_normal);
  read_states(n, F, E, change, q, &d_o, &dq);
  query.pull_back(x, dq, dx);
  gate.pull_back(x, dr, dx);
  key.pull_back(seen, dk, d_seen);
  value.pull_back(seen, dv, d_seen);
  if (!fixed) {
    Values d_low(low.size(), 0.0);
    decay.back().pull_back(low, dz, of_features ? d_low : d_seen);
    if (of_features) decay[0].pull_back(seen, d_low, d_seen);
  }
  result.gradients = {{"x", dx}, {"context", visible_tokens(n, d_seen)}, {"norm.weight", norm.dw}};
  for (const HeadMap& map : {query, key, value, gate, out}) map.add_gradients(result.gradients);
  for (const HeadMap& map : decay) map.add_gradients(result.gradients);
  return result;
}

const Registered registered({.mechanism = "gated_linear",
                             .mixer = whole_mixer,
                             .rules = {{"decay",
                                        {"'feature'", "'head'", "'fixed'"},
                                        {},
                                        choice("heads", "feature, head, fixed", "head")},
                                       {"temperature",
                                        {"1", "4", "16"},
                                        {"1e6"},
                                        {{"0.5", "must be a number in 1 … 1000000, found 0.5"},
                                         {"nan", "must be a number in 1 … 1000000, found nan"},
                                         {"'1'", "must be a number in 1 … 1000000, found '1'"}}},
                                       {"rank", {"1", "3", "16"}, {"65536"}, whole_number(1, 65536)},
                                       chunk_rule()},
                             .variants = {"chunk = 1\ntemperature = 1\nrank = 3", "chunk = 2\nrank = 2\ntemperature = 2",
                                          "decay = 'head'\nchunk = 2\ntemperature = 1", "decay = 'fixed'\nchunk = 2"},
                             .even = true});

constexpr int64_t H = 2, D = 4, F = D / 2;

GatedLinearOptions with(const std::string& decay, int64_t chunk = 64, double temperature = 1) {
  GatedLinearOptions options;
  options.decay = decay;
  options.chunk = chunk;
  options.temperature = temperature;
  return options;
}

// Heads: queries with their output gate, keys with what their rates are made of.
struct Heads {
  explicit Heads(int64_t T, int64_t rates = F, double logits = 0)
      : Q(random_normal({2, H, T, F + D}, 1, "Q")),
        K(concat({random_normal({2, H, T, F}, 1, "K"), affine(random_normal({2, H, T, rates}, 1, "z"), 1, logits)}, -1)),
        V(random_normal({2, H, T, D}, 1, "V")) {}

  Tensor q() const { return slice(Q, -1, 0, F); }
  Tensor k() const { return slice(K, -1, 0, F); }
  Tensor z() const { return slice(K, -1, F, K.size(-1) - F); }

  Tensor Q, K, V;
};

std::unique_ptr<RecurrentAttention> mixer_of(const GatedLinearOptions& options, DType type = DType::f64) {
  auto mixer = make_gated_linear(options, {.width = H * D, .heads = H});
  mixer->initialise(1, type);
  return mixer;
}

Mask causal_from(int64_t offset) { return {.causal = true, .offset = offset, .keys = {}}; }

Tensor weights_of(const GatedLinearOptions& options, const Heads& heads) {
  Tensor A;
  nn::Call call = call_with(causal_from(0));
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  mixer_of(options)->attend(heads.Q, heads.K, heads.V, call);
  return A;
}

double difference(const Tensor& a, const Tensor& b) { return frobenius_error(a.values<double>(), b.values<double>()); }

}  // namespace

TEST_CASE("gated_linear: the weight of a key is Σ_f q_f k_f times all rates after it, for τ = 1 and 4") {
  constexpr int64_t T = 6;
  for (const double temperature : {1.0, 4.0}) {
    const Heads heads(T);
    const Values q = heads.q().values<double>(), k = heads.k().values<double>(), z = heads.z().values<double>();
    Values expected(2 * H * T * T, 0.0);
    for (int64_t head = 0; head < 2 * H; ++head)
      for (int64_t t = 0; t < T; ++t)
        for (int64_t s = 0; s <= t; ++s)
          for (int64_t f = 0; f < F; ++f) {
            double product = q[(head * T + t) * F + f] * k[(head * T + s) * F + f];
            for (int64_t i = s + 1; i <= t; ++i)
              product *= std::pow(reference::logistic(z[(head * T + i) * F + f]), 1 / temperature);
            expected[(head * T + t) * T + s] += product;
          }
    CHECK(frobenius_error(weights_of(with("feature", 64, temperature), heads).values<double>(), expected) <= 1e-14);
  }
}

TEST_CASE("gated_linear: chunks of every size and every offset are one function, which is that of the explicit matrix") {
  constexpr int64_t T = 7;
  const Heads heads(T);
  for (const int64_t offset : {-8, -2, 0, 3, 9})
    for (const bool causal : {true, false}) {
      const std::vector<uint8_t> present{1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0};
      const Mask mask{.causal = causal, .offset = offset, .keys = Tensor::from(present, {2, T})};
      nn::Call recorded = call_with(mask);
      Tensor A;
      recorded.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
      const auto of = [&](int64_t chunk, const nn::Call& call) {
        const Tensor Q = requires_grad(heads.Q), K = requires_grad(heads.K), V = requires_grad(heads.V);
        const Tensor y = mixer_of(with("feature", chunk))->attend(Q, K, V, call);
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

TEST_CASE("gated_linear: rates whose product is below all numbers divide nothing; f32 is as good as its roundings") {
  constexpr int64_t T = 64;
  for (const double logits : {-1e4, -40.0, 0.0, 40.0}) {
    CAPTURE(logits);
    const Heads heads(T, F, logits);
    const auto of = [&](const Heads& own, int64_t chunk) {
      return mixer_of(with("feature", chunk), own.V.dtype())->attend(own.Q, own.K, own.V, call_with(causal_from(0))).detach();
    };
    const Tensor one_by_one = of(heads, 1), at_once = of(heads, 64);
    for (const double y : at_once.values<double>()) CHECK(std::isfinite(y));
    CHECK(difference(at_once, one_by_one) <= 1e-12);
    Heads narrow = heads;
    for (Tensor* x : {&narrow.Q, &narrow.K, &narrow.V}) *x = x->to(DType::f32);
    CHECK(difference(of(narrow, 64).to(DType::f64), one_by_one) <= 1e-5);
  }
}

TEST_CASE("gated_linear: a state that forgets all gives each token its own value; one that forgets nothing sums up all") {
  constexpr int64_t T = 5;
  const Heads forgetful(T, F, -1e5), lasting(T, F, 1e5);
  const Tensor all = tril(matmul(lasting.q(), transpose(lasting.k())));
  CHECK(difference(weights_of(with("feature"), lasting), all) <= 1e-14);
  CHECK(difference(weights_of(with("feature"), forgetful), triu(all)) <= 1e-14);
}

TEST_CASE("gated_linear: fixed rates are those of retention, γ^(t − s) q·k with γ = 1 − 2^(−5−h)") {
  constexpr int64_t T = 6;
  const Heads heads(T, 0);
  const Values A = weights_of(with("fixed"), heads).values<double>(),
               products = matmul(heads.q(), transpose(heads.k())).values<double>();
  for (int64_t i = 0; i < 2 * H * T * T; ++i) {
    const int64_t h = i / (T * T) % H, t = i / T % T, s = i % T;
    const double gamma = h == 0 ? 31.0 / 32 : 63.0 / 64;
    CHECK(std::abs(A[i] - (s <= t ? std::pow(gamma, t - s) * products[i] : 0)) <= 1e-14);
  }
}

TEST_CASE("gated_linear: a rate of a head is one of its features, all alike") {
  const Heads of_heads(6, 1);
  Heads of_features = of_heads;
  of_features.K = concat({of_heads.k(), of_heads.z(), of_heads.z()}, -1);
  CHECK(difference(weights_of(with("head"), of_heads), weights_of(with("feature"), of_features)) <= 1e-15);
}

TEST_CASE("gated_linear: without a causal mask all queries read the state behind the last key, and its order counts") {
  const Heads heads(5);
  const auto of = [&](const Heads& own, const Mask& mask) {
    return mixer_of(with("feature"))->attend(own.Q, own.K, own.V, call_with(mask));
  };
  CHECK(difference(slice(of(heads, {}), 2, 4, 1), slice(of(heads, causal_from(0)), 2, 4, 1)) <= 1e-14);
  Heads turned = heads;
  turned.K = flip(heads.K, 2);
  turned.V = flip(heads.V, 2);
  CHECK(difference(of(turned, {}), of(heads, {})) > 0.1);
}

TEST_CASE("gated_linear: NaN in a later token is in no earlier result, at every place of a chunk") {
  constexpr int64_t T = 6;
  for (int64_t last = 1; last < T; ++last) {
    Heads heads(T), hurt = heads;
    const auto with_nan = [&](const Tensor& x) {
      return concat({slice(x, 2, 0, last), Tensor::full(x.shape().with(2, T - last), NAN, DType::f64)}, 2);
    };
    for (Tensor* x : {&hurt.Q, &hurt.K, &hurt.V}) *x = with_nan(*x);
    for (const int64_t chunk : {2, 64}) {
      const auto of = [&](const Heads& own) {
        return slice(mixer_of(with("feature", chunk))->attend(own.Q, own.K, own.V, call_with(causal_from(0))), 2, 0, last)
            .values<double>();
      };
      CHECK(frobenius_error(of(hurt), of(heads)) <= 1e-14);
    }
  }
}

TEST_CASE("gated_linear: as many parameters as attention with an output gate; heads of an odd width are refused") {
  int64_t count = 0;
  const auto mixer = make_gated_linear({}, {.width = 64, .heads = 4});
  for (const auto& [name, parameter] : parameters_of(*mixer)) count += parameter->shape.elements();
  CHECK(count == 4 * 64 * 64 + 64 * 16 + 16 * 32 + 32 + 16);   // queries and keys of half the width, and the gate
  CHECK(message_of([] { make_gated_linear({}, {.width = 6, .heads = 2}); }) ==
        "gated_linear: heads have a width of 3, and queries and keys half of it; hint: choose an even head width");
}

TEST_CASE("gated_linear: projections begin with a deviation of 0.02, those of the rates too, and biases with 0") {
  for (const char* decay : {"feature", "head"}) {
    GatedLinearOptions options;
    options.decay = decay;
    const auto mixer = mixer_of(options);
    for (const auto& own : parameters_of(*mixer)) {
      const std::string& name = own.first;
      CAPTURE(name);
      if (name.ends_with("bias")) CHECK(begins_with(*mixer, name, nn::Init::constant(0)));
      else if (name != "norm.weight") CHECK(begins_with(*mixer, name, nn::Init::normal(0.02)));
    }
  }
}

TEST_CASE("gated_linear: the first token stands where nothing is turned, so rotary places leave its result as it is; odd halves refuse them") {
  const auto mixer_at = [](nn::Positions positions) {
    auto mixer = make_gated_linear({}, {.width = 8, .heads = 2, .positions = positions});
    mixer->initialise(1, DType::f64);
    spread_parameters(*mixer, 1);
    return mixer;
  };
  const Tensor x = random_normal({1, 1, 8}, 1, "x");
  CHECK(mixer_at(nn::Positions::rotary)->forward(x, x, {}).values<double>() ==
        mixer_at(nn::Positions::none)->forward(x, x, {}).values<double>());
  CHECK(mixer_at(nn::Positions::none)->accepts(nn::Positions::rotary));
  CHECK(!make_gated_linear({}, {.width = 12, .heads = 2})->accepts(nn::Positions::rotary));
}

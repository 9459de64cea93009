// Inter-token attention: scalar loops with each kind of temperature; nobody attends to itself unless alone.
#include <doctest/doctest.h>

#include <numeric>

#include "attention/mechanisms/dot_product.h"
#include "attention/mechanisms/inter_token.h"
#include "autograd/ops.h"
#include "tensor/in_place.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

Values values_of(const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? Values() : found->second->value.template values<double>();
}

// s_tj = c_t q_t·k_j with c = 1/τ of a head, in the network's case of a head and a query; a token does not see itself where it
// sees another one. Gradients by hand:  dc_t = Σ_j de_tj q_t·k_j,  dℓ = c dc,  dτ = −c² dc;  through the network:
//   τ = least + softplus(z), z = W₂ y + b₂, y = tanh(W₁ u + b₁), u = mean of the queries that are there, of a causal mask up to t
struct InterTokens {
  bool diagonal;
  const Parameters& parameters;

  Attention attend(const Sizes& n, const Values& all_q, const Values& k, const Values& v, const Values& g) const {
    const Values factor = values_of(parameters, "factor"), logarithm = values_of(parameters, "logarithm"),
                 W1 = values_of(parameters, "temperature.hidden.weight"), b1 = values_of(parameters, "temperature.hidden.bias"),
                 W2 = values_of(parameters, "temperature.weight"), b2 = values_of(parameters, "temperature.bias");
    const int64_t units = static_cast<int64_t>(b1.size()), C = n.H * n.D;
    const Values q = units > 0 ? without_hidden_queries(n, all_q) : all_q;
    const double root = std::sqrt(static_cast<double>(n.D));
    Values u(n.B * n.T * C, 0.0), y(n.B * n.T * units, 0.0), z(n.B * n.H * n.T, 0.0), c(z.size(), 1 / root), there(n.B * n.T, 0.0);
    const auto of = [&](int64_t b, int64_t h, int64_t t) { return (b * n.H + h) * n.T + t; };
    const auto counts = [&](int64_t b, int64_t t, int64_t s) {   // query s in the mean that is query t's
      return (n.present.empty() || n.present[b * n.S + s] != 0) && (!n.causal || s <= t);
    };
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t t = 0; t < n.T; ++t) {
        const int64_t bt = b * n.T + t;
        for (int64_t s = 0; s < n.T; ++s) there[bt] += counts(b, t, s);
        for (int64_t h = 0; h < n.H; ++h) {
          if (!factor.empty()) c[of(b, h, t)] = factor[h];
          if (!logarithm.empty()) c[of(b, h, t)] = std::exp(logarithm[h]);
          for (int64_t s = 0; s < n.T; ++s)
            for (int64_t d = 0; d < n.D && counts(b, t, s); ++d) u[bt * C + h * n.D + d] += q[n.query(b, h, s) + d] / there[bt];
        }
        for (int64_t m = 0; m < units; ++m) {
          for (int64_t i = 0; i < C; ++i) y[bt * units + m] += W1[m * C + i] * u[bt * C + i];
          y[bt * units + m] = std::tanh(y[bt * units + m] + b1[m]);
        }
        for (int64_t h = 0; h < n.H && units > 0; ++h) {
          double& own = z[of(b, h, t)];
          own = b2[h];
          for (int64_t m = 0; m < units; ++m) own += W2[h * units + m] * y[bt * units + m];
          c[of(b, h, t)] = 1 / (0.1 * root + std::log1p(std::exp(own)));
        }
      }

    Values e(n.B * n.H * n.T * n.S, 0.0), product(e.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t at = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) product[at] += q[n.query(b, h, t) + d] * k[n.key(b, h, s) + d];
      e[at] = c[of(b, h, t)] * product[at];
      int64_t others = 0;
      for (int64_t j = 0; j < n.S; ++j) others += j != t && n.allowed(b, t, j);
      if (!diagonal && s == t && others > 0) e[at] = -INFINITY;
    });
    const Values p = softmax(n, e), de = score_gradient(n, p, v, g);

    Values dq(q.size(), 0.0), dk(k.size(), 0.0), dc(c.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t at = n.pair(b, h, t, s);
      const double slope = c[of(b, h, t)] * de[at];
      dc[of(b, h, t)] += de[at] * product[at];
      for (int64_t d = 0; d < n.D; ++d) {
        dq[n.query(b, h, t) + d] += slope * k[n.key(b, h, s) + d];
        dk[n.key(b, h, s) + d] += slope * q[n.query(b, h, t) + d];
      }
    });
    Attention result{mix(n, p, v), {{"v", value_gradient(n, p, g)}}};
    Values of_heads(n.H, 0.0), dW1(W1.size(), 0.0), db1(b1.size(), 0.0), dW2(W2.size(), 0.0), db2(b2.size(), 0.0);
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t t = 0; t < n.T; ++t) {
        const int64_t bt = b * n.T + t;
        Values dy(units, 0.0);
        for (int64_t h = 0; h < n.H; ++h) {
          const int64_t at = of(b, h, t);
          of_heads[h] += (logarithm.empty() ? 1 : c[at]) * dc[at];
          if (units == 0) continue;
          const double dz = -c[at] * c[at] * dc[at] / (1 + std::exp(-z[at]));
          db2[h] += dz;
          for (int64_t m = 0; m < units; ++m) {
            dW2[h * units + m] += dz * y[bt * units + m];
            dy[m] += dz * W2[h * units + m];
          }
        }
        for (int64_t m = 0; m < units; ++m) {
          const double dx = dy[m] * (1 - y[bt * units + m] * y[bt * units + m]);
          db1[m] += dx;
          for (int64_t i = 0; i < C; ++i) {
            dW1[m * C + i] += dx * u[bt * C + i];
            for (int64_t s = 0; s < n.T; ++s)
              if (counts(b, t, s)) dq[n.query(b, i / n.D, s) + i % n.D] += dx * W1[m * C + i] / there[bt];
          }
        }
      }
    result.gradients["q"] = units > 0 ? without_hidden_queries(n, dq) : dq;
    result.gradients["k"] = dk;
    if (!factor.empty()) result.gradients["factor"] = of_heads;
    if (!logarithm.empty()) result.gradients["logarithm"] = of_heads;
    if (units > 0) {
      result.gradients["temperature.hidden.weight"] = dW1;
      result.gradients["temperature.hidden.bias"] = db1;
      result.gradients["temperature.weight"] = dW2;
      result.gradients["temperature.bias"] = db2;
    }
    return result;
  }
};

const Registered registered({.mechanism = "inter_token",
                             .heads =
                                 [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k,
                                    const auto& v, const auto& g) {
                                   const bool diagonal = static_cast<const InterTokenOptions&>(any).diagonal;
                                   return InterTokens{diagonal, parameters}.attend(sizes, q, k, v, g);
                                 },
                             .rules = {truth("diagonal"),
                                       {"temperature",
                                        {"'fixed'", "'factor'", "'logarithm'", "'network'"},
                                        {},
                                        choice("logarithms", "fixed, factor, logarithm, network", "logarithm")},
                                       implementation_rule()},
                             .variants = {"temperature = 'fixed'", "temperature = 'factor'", "temperature = 'logarithm'",
                                          "temperature = 'fixed'\ndiagonal = true", "temperature = 'network'",
                                          "temperature = 'logarithm'\nimplementation = 'fused'",
                                          "temperature = 'network'\nimplementation = 'fused'"}});

Tensor attended(const InterTokenOptions& options, const Tensor& Q, const Tensor& K, const Tensor& V, bool causal) {
  const auto mixer = make_inter_token(options, {.width = Q.size(1) * Q.size(3), .heads = Q.size(1)});
  mixer->initialise(1, DType::f64);
  return dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, K, V, call_with({.causal = causal, .offset = 0, .keys = {}}));
}

}  // namespace

TEST_CASE("inter_token: each temperature is √D at first, and with the diagonal kept that is the dot product (property 1)") {
  const Tensor Q = random_normal({2, 2, 5, 4}, 1, "Q"), K = random_normal({2, 2, 5, 4}, 1, "K"),
               V = random_normal({2, 2, 5, 4}, 1, "V");
  const auto dot_product = make_dot_product({.width = 8, .heads = 2});
  dot_product->initialise(1, DType::f64);
  const Tensor expected = dynamic_cast<const ProjectedAttention&>(*dot_product).attend(Q, K, V, {});
  for (const char* temperature : {"fixed", "factor", "logarithm", "network"}) {
    InterTokenOptions options;
    options.temperature = temperature;
    options.diagonal = true;
    CAPTURE(temperature);
    CHECK(frobenius_error(attended(options, Q, K, V, false).values<double>(), expected.values<double>()) < 1e-14);
  }
}

TEST_CASE("inter_token: a logarithm beyond ±6 is as one at the bound, and has no gradient there") {
  const Tensor Q = random_normal({1, 2, 5, 4}, 1, "Q"), K = random_normal({1, 2, 5, 4}, 1, "K"),
               V = random_normal({1, 2, 5, 4}, 1, "V");
  const auto mixer = make_inter_token({}, {.width = 8, .heads = 2});
  mixer->initialise(1, DType::f64);
  nn::Parameter& logarithm = mixer->parameter_at("logarithm");
  const auto attended_with = [&](double value, double scale) {
    logarithm.value = requires_grad(Tensor::full({2}, value, DType::f64));
    return dynamic_cast<const ProjectedAttention&>(*mixer).attend(affine(Q, scale, 0), K, V, {});
  };
  for (const double bound : {-6.0, 6.0}) {
    const Tensor expected = attended_with(0, std::exp(bound) * (bound > 0 ? 1e-3 : 1)),
                 beyond = attended_with(2 * bound, bound > 0 ? 1e-3 : 1);
    CHECK(frobenius_error(beyond.values<double>(), expected.values<double>()) < 1e-14);
    CHECK(grad({beyond}, {logarithm.value}, {V})[0].values<double>() == Values{0, 0});
    const Tensor within = attended_with(bound - std::copysign(0.5, bound), 1e-3);
    CHECK(max(abs(grad({within}, {logarithm.value}, {V})[0])).item() > 0);
  }
}

TEST_CASE("inter_token: two tokens exchange their values; the first of a causal sequence keeps its own (properties 5 and 6)") {
  const Tensor Q = random_normal({1, 1, 2, 4}, 1, "Q"), K = random_normal({1, 1, 2, 4}, 1, "K"),
               V = random_normal({1, 1, 2, 4}, 1, "V");
  CHECK(attended({}, Q, K, V, false).values<double>() == flip(V, 2).values<double>());
  CHECK(attended({}, Q, K, V, true).values<double>() == concat({slice(V, 2, 0, 1), slice(V, 2, 0, 1)}, 2).values<double>());
}

TEST_CASE("inter_token: a token's own value has no influence on its result, unless nobody else is there (property 4)") {
  const Tensor Q = random_normal({1, 1, 4, 4}, 1, "Q"), K = random_normal({1, 1, 4, 4}, 1, "K"),
               V = requires_grad(random_normal({1, 1, 4, 4}, 1, "V"));
  for (int64_t t = 0; t < 4; ++t) {
    const Tensor of_query = grad({sum(slice(attended({}, Q, K, V, true), 2, t, 1))}, {V})[0];
    const bool alone = t == 0;
    CHECK((max(abs(slice(of_query, 2, t, 1))).item() == 0) == !alone);
  }
}

TEST_CASE("inter_token: no token has a weight for itself where it sees another one, and rows sum to 1 (properties 2 and 3)") {
  const auto mixer = make_inter_token({}, {.width = 8, .heads = 2});
  mixer->initialise(1, DType::f64);
  const Tensor Q = random_normal({1, 2, 5, 4}, 1, "Q"), K = random_normal({1, 2, 5, 4}, 1, "K");
  for (const bool causal : {false, true}) {
    nn::Call call = call_with({.causal = causal, .offset = 0, .keys = {}});
    Tensor A;
    call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
    dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, K, K, call);
    const std::vector<double> weights = A.values<double>();   // (2,5,5)
    for (int64_t row = 0; row < 10; ++row) {
      const int64_t t = row % 5;
      CHECK((weights[row * 5 + t] == 0) == (!causal || t > 0));
      CHECK(std::accumulate(weights.begin() + row * 5, weights.begin() + row * 5 + 5, 0.0) == doctest::Approx(1).epsilon(1e-14));
    }
  }
}

TEST_CASE("inter_token: at a high temperature all others weigh alike; a query and its temperature may grow together (properties 8 and 9)") {
  const Tensor Q = random_normal({1, 1, 5, 4}, 1, "Q"), K = random_normal({1, 1, 5, 4}, 1, "K"),
               V = random_normal({1, 1, 5, 4}, 1, "V");
  const auto at = [&](double factor, const Tensor& queries) {   // of scores: 1/τ
    InterTokenOptions options;
    options.temperature = "factor";
    const auto mixer = make_inter_token(options, {.width = 4, .heads = 1});
    mixer->initialise(1, DType::f64);
    fill_(mixer->parameter_at("factor").value, factor);
    return dynamic_cast<const ProjectedAttention&>(*mixer).attend(queries, K, V, {}).values<double>();
  };
  const Tensor others = affine(sub(sum(V, 2, true), V), 0.25, 0);
  CHECK(frobenius_error(at(1e-16, Q), others.values<double>()) < 1e-14);
  CHECK(frobenius_error(at(0.5 / 3, affine(Q, 3, 0)), at(0.5, Q)) < 1e-14);
}

TEST_CASE("inter_token: permuted tokens permute outputs, and the temperature's gradient is that of differences (properties 7 and 10)") {
  for (const char* temperature : {"factor", "logarithm", "network"}) {
    CAPTURE(temperature);
    const auto options = options_of("inter_token", text("temperature = '", temperature, "'"));
    const std::vector<Proof> proofs = prove(mechanism("inter_token"), *options, 3);
    CHECK(proof_of(proofs, "equivariant").holds);
    CHECK(proof_of(proofs, "gradient").holds);
  }
}

TEST_CASE("inter_token: the network, which reads queries, takes no places that turn them; the other temperatures do") {
  for (const char* temperature : {"fixed", "factor", "logarithm", "network"}) {
    InterTokenOptions options;
    options.temperature = temperature;
    const auto mixer = make_inter_token(options, {.width = 8, .heads = 2});
    CHECK(mixer->accepts(nn::Positions::rotary) == (options.temperature != "network"));
    CHECK(mixer->accepts(nn::Positions::alibi));
  }
}

TEST_CASE("inter_token: a network of the mean query is one of the mean token, whose first map is W₁ W_q") {
  InterTokenOptions options;
  options.temperature = "network";
  const auto mixer = make_inter_token(options, {.width = 8, .heads = 2, .biases = true});
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  const Tensor x = random_normal({2, 5, 8}, 1, "x");
  const auto parameter = [&](const char* name) { return mixer->parameter_at(name).value.detach(); };
  // τ of u, the mean token: W₁ (W_q u + b_q) + b₁ = (W₁ W_q) u + (W₁ b_q + b₁)
  const Tensor W1 = parameter("temperature.hidden.weight"), map = matmul(W1, parameter("query.weight")),
               shift = add(linear(reshape(parameter("query.bias"), {1, 8}), W1), parameter("temperature.hidden.bias"));
  const Tensor inner = tanh(add(linear(mean(x, 1, true), map), shift));
  const Tensor tau = affine(softplus(add(linear(inner, parameter("temperature.weight")), parameter("temperature.bias"))), 1, 0.2);
  // The same weights from a factor of each head, 1/τ of the first sample.
  InterTokenOptions plain;
  plain.temperature = "factor";
  const auto other = make_inter_token(plain, {.width = 8, .heads = 2, .biases = true});
  other->initialise(1, DType::f64);
  for (const auto& [name, own] : parameters_of(*other))
    own->value = name == "factor" ? reciprocal(reshape(slice(tau, 0, 0, 1), {2})) : parameter(name.c_str());
  const auto first = [&](nn::TokenMixer& of) { return slice(of.forward(x, x, {}).detach(), 0, 0, 1).values<double>(); };
  CHECK(frobenius_error(first(*mixer), first(*other)) < 1e-13);
}

TEST_CASE("inter_token: under a causal mask the network reads the mean of the queries so far, token by token too") {
  const auto options = options_of("inter_token", "temperature = 'network'");
  check_all_hold(prove(mechanism("inter_token"), *options, 3));
  const Claims claims = mechanism("inter_token").claims(*options);
  CHECK(claims.causal);
  CHECK(claims.streaming);
  const auto mixer = mechanism("inter_token").make(*options, {.width = 8, .heads = 2});
  CHECK(mixer->needs() == nn::Needs{.self = true, .any_distance = true});
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  const Tensor Q = random_normal({1, 2, 5, 4}, 1, "Q"), K = random_normal({1, 2, 5, 4}, 1, "K"), V = random_normal({1, 2, 5, 4}, 1, "V");
  const auto of = [&](int64_t tokens, bool causal) {
    const auto own = [&](const Tensor& x) { return slice(x, 2, 0, tokens); };
    return slice(dynamic_cast<const ProjectedAttention&>(*mixer).attend(own(Q), own(K), own(V), call_with({.causal = causal})), 2,
                 tokens - 1, 1)
        .values<double>();
  };
  for (const int64_t tokens : {2, 5})   // the last query's mean is that of all
    CHECK(frobenius_error(of(tokens, true), of(tokens, false)) < 1e-14);
  const Tensor x = random_normal({1, 3, 8}, 1, "x"), keys = Tensor::from(std::vector<uint8_t>{0, 1, 1}, {1, 3});
  const auto last_two = [](const Tensor& y) { return slice(y.detach(), 1, 1, 2).values<double>(); };
  const auto state = mixer->state(1);   // it too leaves out what is hidden
  CHECK(frobenius_error(last_two(mixer->step(x, *state, {0}, call_with({.keys = keys}))),
                        last_two(mixer->forward(x, x, call_with({.causal = true, .keys = keys})))) < 1e-14);
}

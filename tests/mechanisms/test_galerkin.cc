// Galerkin- and Fourier-type attention: scalar loops over pairs, with norms and coordinates, and what makes them
// quadratures and projections.
#include <doctest/doctest.h>

#include <array>

#include "attention/mechanisms/galerkin.h"
#include "autograd/ops.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/reference_recurrence.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Gradients;
using reference::Sizes;
using reference::Values;

// A layer norm of each head with gains and biases (H,D), y = w (x − μ)/√(σ² + ε) + b; or none.
struct HeadNorms {
  HeadNorms(const Parameters& parameters, const char* of, double epsilon) : name(text(of, "_norm")), epsilon(epsilon) {
    if (!parameters.contains(name + ".weight")) return;
    w = parameters.at(name + ".weight")->value.values<double>();
    b = parameters.at(name + ".bias")->value.values<double>();
  }

  struct Row {
    double mean = 0, deviation = 0;
  };
  Row row(const Values& x, int64_t at, int64_t D) const {
    Row r;
    for (int64_t d = 0; d < D; ++d) r.mean += x[at + d] / static_cast<double>(D);
    for (int64_t d = 0; d < D; ++d) r.deviation += (x[at + d] - r.mean) * (x[at + d] - r.mean) / static_cast<double>(D);
    r.deviation = std::sqrt(r.deviation + epsilon);
    return r;
  }

  Values apply(const Sizes& n, const Values& x, int64_t length) const {   // (B,H,length,D)
    if (w.empty()) return x;
    Values y(x.size());
    for (int64_t at = 0; at < static_cast<int64_t>(x.size()); at += n.D) {
      const int64_t h = at / (length * n.D) % n.H;
      const Row r = row(x, at, n.D);
      for (int64_t d = 0; d < n.D; ++d) y[at + d] = w[h * n.D + d] * (x[at + d] - r.mean) / r.deviation + b[h * n.D + d];
    }
    return y;
  }

  // With c = (x − μ)/σ and dc = w dy: dx = (dc − mean dc − c mean(dc c))/σ, dw = Σ dy c, db = Σ dy
  Values pull_back(const Sizes& n, const Values& x, int64_t length, const Values& dy, Gradients& gradients) const {
    if (w.empty()) return dy;
    Values dx(x.size()), dw(w.size(), 0.0), db(b.size(), 0.0);
    for (int64_t at = 0; at < static_cast<int64_t>(x.size()); at += n.D) {
      const int64_t h = at / (length * n.D) % n.H;
      const Row r = row(x, at, n.D);
      const auto c = [&](int64_t d) { return (x[at + d] - r.mean) / r.deviation; };
      double mean = 0, along = 0;
      for (int64_t d = 0; d < n.D; ++d) {
        const double dc = w[h * n.D + d] * dy[at + d];
        mean += dc / static_cast<double>(n.D);
        along += dc * c(d) / static_cast<double>(n.D);
        dw[h * n.D + d] += dy[at + d] * c(d);
        db[h * n.D + d] += dy[at + d];
      }
      for (int64_t d = 0; d < n.D; ++d) dx[at + d] = (w[h * n.D + d] * dy[at + d] - mean - c(d) * along) / r.deviation;
    }
    gradients[name + ".weight"] = dw;
    gradients[name + ".bias"] = db;
    return dx;
  }

  std::string name;
  double epsilon;
  Values w, b;
};

// a_ts = scale q̂_t·k̂_s / n_t,  o_t = Σ_s a_ts v̂_s
// dq̂_t = Σ_s scale ⟨g_t, v̂_s⟩ k̂_s / n_t,  dk̂_s = Σ_t scale ⟨g_t, v̂_s⟩ q̂_t / n_t
Attention attend(const GalerkinOptions& options, const Parameters& parameters, double scale, const Sizes& n, const Values& q,
                 const Values& k, const Values& v, const Values& g) {
  const HeadNorms of_q(parameters, "query", options.epsilon), of_k(parameters, "key", options.epsilon),
      of_v(parameters, "value", options.epsilon);
  const Values Q = of_q.apply(n, q, n.T), K = of_k.apply(n, k, n.S), V = of_v.apply(n, v, n.S);
  const auto share = [&](int64_t b, int64_t t) {
    double seen = 0;
    for (int64_t s = 0; s < n.S; ++s) seen += n.allowed(b, t, s);
    return scale / seen;
  };
  Values a(n.B * n.H * n.T * n.S, 0.0), dQ(q.size(), 0.0), dK(k.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto s) {
    double product = 0, along = 0;
    for (int64_t d = 0; d < n.D; ++d) {
      product += Q[n.query(b, h, t) + d] * K[n.key(b, h, s) + d];
      along += g[n.query(b, h, t) + d] * V[n.key(b, h, s) + d];
    }
    a[n.pair(b, h, t, s)] = product * share(b, t);
    for (int64_t d = 0; d < n.D; ++d) {
      dQ[n.query(b, h, t) + d] += along * share(b, t) * K[n.key(b, h, s) + d];
      dK[n.key(b, h, s) + d] += along * share(b, t) * Q[n.query(b, h, t) + d];
    }
  });
  Attention result{mix(n, a, V), {}};
  result.gradients["q"] = of_q.pull_back(n, q, n.T, dQ, result.gradients);
  result.gradients["k"] = of_k.pull_back(n, k, n.S, dK, result.gradients);
  result.gradients["v"] = of_v.pull_back(n, v, n.S, value_gradient(n, a, g), result.gradients);
  return result;
}

double scale_of(const FourierOptions& options, int64_t width) {
  return options.scale ? 1 / std::sqrt(static_cast<double>(width)) : 1;
}

std::vector<Rule> common_rules() {
  const auto number = [](const std::string& low, const std::string& high, const std::string& beside) {
    return Refusals{{beside, text("must be a number in ", low, " … ", high, ", found ", beside)},
                    {"nan", text("must be a number in ", low, " … ", high, ", found nan")},
                    {"'1'", text("must be a number in ", low, " … ", high, ", found '1'")}};
  };
  return {truth("norm"),
          {"epsilon", {"1e-5", "1e-2", "1"}, {"1e-12"}, number("1e-12", "1", "1.5")},
          {"gain", {"0.01", "1"}, {"0", "10"}, number("0", "10", "-0.5"), "", 0, true, "initial weights, and a test has others"},
          {"diagonal", {"0.01", "1"}, {"0", "10"}, number("0", "10", "-0.5"), "", 0, true, "initial weights, and a test has others"},
          chunk_rule()};
}

std::vector<Rule> fourier_rules() {
  std::vector<Rule> rules = common_rules();
  rules.push_back(truth("scale"));
  return rules;
}

const Registered galerkin({.mechanism = "galerkin",
                           .heads =
                               [](const auto& options, const auto& parameters, const auto& sizes, const auto& q, const auto& k,
                                  const auto& v, const auto& g) {
                                 return attend(static_cast<const GalerkinOptions&>(options), parameters, 1, sizes, q, k, v, g);
                               },
                           .rules = common_rules(),
                           .variants = {"chunk = 3", "epsilon = 0.1", "norm = false\nchunk = 2"}});

const Registered fourier({.mechanism = "fourier",
                          .heads =
                              [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k,
                                 const auto& v, const auto& g) {
                                const auto& options = static_cast<const FourierOptions&>(any);
                                return attend(options, parameters, scale_of(options, sizes.D), sizes, q, k, v, g);
                              },
                          .rules = fourier_rules(),
                          .variants = {"chunk = 3", "epsilon = 0.1", "norm = false\nscale = false"}});

constexpr int64_t H = 2, D = 4, C = H * D;

// Both kinds, in f64, with parameters that tell apart. `d`: coordinates of a token.
struct Both {
  explicit Both(bool norm, int64_t d = 0) {
    GalerkinOptions options;
    FourierOptions with_scale;
    options.norm = with_scale.norm = norm;
    const MixerShape shape{.width = C, .heads = H, .biases = true,
                           .places = {.kind = d ? nn::Places::Kind::coordinates : nn::Places::Kind::sequence, .dimensions = d}};
    mixers = {make_galerkin(options, shape), make_fourier(with_scale, shape)};
    for (const auto& mixer : mixers) {
      mixer->initialise(1, DType::f64);
      spread_parameters(*mixer, 1);
    }
  }

  StateAttention& galerkin() const { return *mixers[0]; }
  StateAttention& fourier() const { return *mixers[1]; }

  std::array<std::unique_ptr<StateAttention>, 2> mixers;
};

// (B,L,H·W) → (B,H,L,W), and with L and H exchanged back.
Values heads_apart(const Values& x, int64_t L, int64_t heads, int64_t W) {
  Values y(x.size());
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    const int64_t w = i % W, h = i / W % heads, l = i / (W * heads) % L, b = i / (W * heads * L);
    y[((b * heads + h) * L + l) * W + w] = x[i];
  }
  return y;
}

// A whole mixer whose tokens have coordinates: heads of D channels and d coordinates, without norms of their own.
Attention at_coordinates(const Subject& subject, const GalerkinOptions& options) {
  const Sizes& n = subject.sizes;
  const int64_t d = subject.shape.places.dimensions, E = n.D + d;
  Attention result;
  struct Side {   // what queries, keys or values come from
    const char *tokens, *places;
    int64_t length;
    reference::HeadMap map;
    HeadNorms norms;
    Values x, plain, joined;
  };
  const auto value = [&](const char* name) { return subject.inputs.at(name).values<double>(); };
  const auto side = [&](const char* name, const char* tokens, const char* places, int64_t length) {
    Side own{tokens, places, length, {subject.parameters, name, n.H}, {subject.parameters, name, options.epsilon}, value(tokens), {}, {}};
    own.plain = heads_apart(own.map.to_heads(own.x), length, n.H, n.D);
    const Values normed = own.norms.apply(n, own.plain, length), p = value(places);
    for (int64_t row = 0; row < n.B * n.H * length; ++row) {
      const int64_t token = row / (n.H * length) * length + row % length;
      own.joined.insert(own.joined.end(), normed.begin() + row * n.D, normed.begin() + (row + 1) * n.D);
      own.joined.insert(own.joined.end(), p.begin() + token * d, p.begin() + (token + 1) * d);
    }
    for (const char* const input : {tokens, places}) result.gradients[input] = Values(value(input).size(), 0.0);
    return own;
  };
  std::map<std::string, Side> sides{{"q", side("query", "x", "places", n.T)}, {"k", side("key", "context", "context_places", n.S)},
                                    {"v", side("value", "context", "context_places", n.S)}};
  reference::HeadMap out(subject.parameters, "out", n.H);
  Sizes wide = n;
  wide.D = E;
  const auto* const fourier = dynamic_cast<const FourierOptions*>(&options);
  const auto attended = [&](const Values& g) {
    return attend(options, {}, fourier ? scale_of(*fourier, E) : 1, wide, sides.at("q").joined, sides.at("k").joined,
                  sides.at("v").joined, g);
  };
  const Values merged = heads_apart(attended(Values(n.B * n.H * n.T * E, 0.0)).output, n.H, n.T, E);
  result.output = out.to_heads(merged);
  Values d_merged(merged.size(), 0.0);
  out.pull_back(merged, subject.g.values<double>(), d_merged);
  const Attention heads = attended(heads_apart(d_merged, n.T, n.H, E));
  for (auto& [name, own] : sides) {
    Values d_normed;
    const Values& d_joined = heads.gradients.at(name);
    for (int64_t row = 0; row < n.B * n.H * own.length; ++row) {
      const int64_t token = row / (n.H * own.length) * own.length + row % own.length;
      d_normed.insert(d_normed.end(), d_joined.begin() + row * E, d_joined.begin() + row * E + n.D);
      for (int64_t i = 0; i < d; ++i) result.gradients[own.places][token * d + i] += d_joined[row * E + n.D + i];
    }
    const Values d_plain = own.norms.pull_back(n, own.plain, own.length, d_normed, result.gradients);
    own.map.pull_back(own.x, heads_apart(d_plain, n.H, own.length, n.D), result.gradients[own.tokens]);
    own.map.add_gradients(result.gradients);
  }
  out.add_gradients(result.gradients);
  return result;
}

nn::Call at(const Tensor& places) {
  nn::Call call;
  call.places = call.context_places = places;
  return call;
}

Tensor run(StateAttention& mixer, const Tensor& x, const Tensor& places) { return mixer.forward(x, x, at(places)); }

double difference(const Tensor& a, const Tensor& b) { return frobenius_error(a.values<double>(), b.values<double>()); }

Tensor times(const Tensor& x, double factor) { return affine(x, factor, 0); }

Tensor heads(int64_t length, const char* site) { return random_normal({2, H, length, D}, 1, site); }

}  // namespace

TEST_CASE("galerkin: without norms it is (Q Kᵀ) V / n, and Fourier's times √D the same (property 1)") {
  const Both both(false);
  const Tensor Q = heads(5, "Q"), K = heads(7, "K"), V = heads(7, "V");
  const Tensor expected = times(matmul(matmul(Q, transpose(K)), V), 1.0 / 7);
  CHECK(difference(both.galerkin().attend(Q, K, V, {}), expected) <= 1e-14);
  CHECK(difference(times(both.fourier().attend(Q, K, V, {}), 2), expected) <= 1e-14);   // √4
}

TEST_CASE("galerkin: every token twice gives the same outputs, as a quadrature on a finer grid would (property 2)") {
  const Both both(true, 2);
  const Tensor x = random_normal({2, 6, C}, 1, "x"), places = random_normal({2, 6, 2}, 1, "places");
  const auto twice = [](const Tensor& tokens) { return concat({tokens, tokens}, 1); };
  for (const auto& mixer : both.mixers)
    CHECK(difference(run(*mixer, twice(x), twice(places)), twice(run(*mixer, x, places))) <= 1e-14);
}

TEST_CASE("galerkin: permuted tokens permute outputs where coordinates go with them, and only there (property 3)") {
  const Both both(true, 2);
  const Tensor x = random_normal({2, 6, C}, 1, "x"), places = random_normal({2, 6, 2}, 1, "places");
  for (const auto& mixer : both.mixers) {
    const Tensor y = flip(run(*mixer, x, places), 1);
    CHECK(difference(run(*mixer, flip(x, 1), flip(places, 1)), y) <= 1e-13);
    CHECK(difference(run(*mixer, flip(x, 1), places), y) > 1e-2);
  }
}

TEST_CASE("galerkin: linear in Q, Fourier in V; what has a norm may be scaled, up to ε (property 4)") {
  const Both both(true);
  const Tensor Q = heads(5, "Q"), K = heads(7, "K"), V = heads(7, "V"), other_Q = heads(5, "Q'"), other_V = heads(7, "V'");
  const auto galerkin = [&](const Tensor& q, const Tensor& k, const Tensor& v) { return both.galerkin().attend(q, k, v, {}); };
  const auto fourier = [&](const Tensor& q, const Tensor& k, const Tensor& v) { return both.fourier().attend(q, k, v, {}); };
  CHECK(difference(galerkin(add(times(Q, 3), other_Q), K, V), add(times(galerkin(Q, K, V), 3), galerkin(other_Q, K, V))) <=
        1e-13);
  CHECK(difference(fourier(Q, K, add(times(V, 3), other_V)), add(times(fourier(Q, K, V), 3), fourier(Q, K, other_V))) <= 1e-13);
  CHECK(difference(galerkin(Q, times(K, 30), times(V, 20)), galerkin(Q, K, V)) <= 1e-3);
  CHECK(difference(fourier(times(Q, 30), times(K, 20), V), fourier(Q, K, V)) <= 1e-3);
  CHECK(difference(fourier(Q, K, times(V, 2)), fourier(Q, K, V)) > 0.5);
  CHECK(difference(galerkin(times(Q, 2), K, V), galerkin(Q, K, V)) > 0.5);
}

TEST_CASE("galerkin: without norms, Kᵀ V = n I gives Q, and Q = K orthonormal V projected onto its span (property 5)") {
  const Both both(false);
  constexpr int64_t n = 9;
  Tensor rows = Tensor::empty({2 * H, D, n}, DType::f64);   // orthonormal rows, so columns of the transpose times √n
  nn::Init::orthogonal(3).fill(rows, {.seed = 1, .step = 0, .site = 0});
  const Tensor basis = transpose(reshape(rows, {2, H, D, n})), Q = heads(n, "Q"), V = heads(n, "V");
  CHECK(difference(both.galerkin().attend(Q, basis, basis, {}), Q) <= 1e-14);

  const Tensor projection = both.galerkin().attend(basis, basis, V, {});
  const Tensor missing = matmul(transpose(basis), sub(V, projection));   // of the best approximation: orthogonal to the span
  CHECK(max(abs(missing)).item() <= 1e-13);
  CHECK(difference(both.galerkin().attend(basis, basis, projection, {}), projection) <= 1e-14);   // which is in the span
  CHECK(difference(projection, V) > 0.1);
}

TEST_CASE("galerkin: coordinates are joined to q, k and v of every head, behind their norms: scalar loops, with every gradient") {
  for (const char* const name : {"galerkin", "fourier"})
    for (const char* const keys : {"norm = true", "norm = false"})
      for (const Sizes& n : {Sizes{.B = 2, .H = H, .T = 3, .S = 4, .D = D, .present = {1, 1, 0, 1, 1, 1, 1, 1}},
                             Sizes{.B = 2, .H = H, .T = 4, .S = 4, .D = D, .causal = true}}) {
        const auto options = options_of(name, keys);
        const MixerShape shape{.biases = true, .places = {.kind = nn::Places::Kind::coordinates, .dimensions = 2}};
        const Subject subject(name, *options, n, 1, Reach::mixer, shape);
        const Distance distance = from_truth(subject, at_coordinates(subject, static_cast<const GalerkinOptions&>(*options)), name);
        INFO(distance.gradient.where, ": ", distance.gradient.error, ", output ", distance.forward.error);
        CHECK(distance.within_bounds());
      }
}

TEST_CASE("galerkin: with coordinates all claims hold, gradients too") {
  for (const char* name : {"galerkin", "fourier"})
    for (const int64_t d : {1, 2}) {
      CAPTURE(name);
      const Mechanism& row = mechanism(name);
      check_all_hold(prove(row, *row.options(), 1,
                           {.width = C, .heads = H, .biases = true,
                            .places = {.kind = nn::Places::Kind::coordinates, .dimensions = d}}));
    }
}

TEST_CASE("galerkin: coordinates of hidden keys are not read, NaN or not") {
  const Both both(true, 1);
  const Tensor x = random_normal({1, 4, C}, 1, "x");
  const auto with = [&](double last) {
    nn::Call call = at(Tensor::from(std::vector<double>{0, 0.25, 0.5, last}, {1, 4, 1}));
    call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 1, 0}, {1, 4});
    return call;
  };
  for (const auto& mixer : both.mixers) {
    const auto first = [&](double last) { return slice(mixer->forward(x, x, with(last)), 1, 0, 3).values<double>(); };
    CHECK(first(NAN) == first(0.75));
  }
}

TEST_CASE("galerkin: projections start as gain Xavier + diagonal I, biases at 0") {
  GalerkinOptions options;
  options.gain = 0.1;
  options.diagonal = 0.3;
  const auto mixer = make_galerkin(options, {.width = 64, .heads = 2, .key_heads = 1, .biases = true});
  mixer->initialise(1, DType::f64);
  for (const char* which : {"query", "key", "value"}) {
    const Tensor W = mixer->parameter_at(text(which, ".weight")).value;
    const int64_t rows = W.size(0);
    CHECK(rows == (text(which) == "query" ? 64 : 32));
    const Values values = W.values<double>();
    const double bound = 0.1 * std::sqrt(6.0 / static_cast<double>(64 + rows));
    double largest = 0;
    for (int64_t i = 0; i < rows * 64; ++i) largest = std::max(largest, std::abs(values[i] - (i / 64 == i % 64 ? 0.3 : 0)));
    CHECK(largest <= bound);
    CHECK(largest > 0.95 * bound);
    for (const double b : mixer->parameter_at(text(which, ".bias")).value.values<double>()) CHECK(b == 0);
  }
}

TEST_CASE("galerkin: refused are norms of one channel, and calls without the coordinates that the tokens have") {
  const MixerShape narrow{.width = 2, .heads = 2};
  CHECK(message_of([&] { make_galerkin({}, narrow); }) ==
        "attention: a head has one channel, and its layer norm would be 0; hint: or set norm = false");
  GalerkinOptions without;
  without.norm = false;
  CHECK(message_of([&] { make_galerkin(without, narrow); }) == "no error");
  const Both both(true, 2);
  const Tensor x = random_normal({1, 3, C}, 1, "x");
  for (const auto& [places, found] : {std::pair{Tensor(), "none"}, std::pair{random_normal({1, 3, 1}, 1, "p"), "[1,3,1]"}})
    CHECK(message_of([&, own = places] { run(both.galerkin(), x, own); }) ==
          text("attention: coordinates of tokens must be [1,3,2], got ", found,
               "; hint: the call brings those of queries, places, and of keys, context_places"));
}

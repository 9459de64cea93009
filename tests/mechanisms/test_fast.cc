// FAST: scalar loops over pairs with the polynomial itself, in twelve forms; the properties of its weights, and what a largest
// norm gives away under a causal mask.
#include <doctest/doctest.h>

#include "attention/mechanisms/fast.h"
#include "autograd/ops.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

const Words normalisations{"per_token", "standardised", "none", "max_norm", "centred_max_norm", "centred_sequence_max_norm"};

FastOptions form(int64_t order, const std::string& normalisation, int64_t chunk = 64) {
  FastOptions options;
  options.order = order;
  options.normalisation = normalisation;
  options.chunk = chunk;
  return options;
}

// q̂ of queries or keys x (B,H,L,D), and what the gradient of q̂ is for x. `c`: x less a mean, a projection, which is its own
// adjoint. Hidden tokens are 0 where others could feel them.
//   unit:     y = r c, r = (‖c‖²/n + 1e-5)^−½      dc = r (dy − y ⟨y, dy⟩/n), n = 1, or D where standardised
//   largest:  y = c / M, M = ‖c_m‖, m the largest   dc = dy / M,  dc_m −= Σ_n ⟨dy_n, y_n⟩ c_m / M²
struct Normalisation {
  const std::string& name;
  const Sizes& n;
  int64_t L;

  bool over_tokens() const { return name.ends_with("max_norm"); }
  bool unit() const { return name == "per_token" || name == "standardised"; }
  double share() const { return name == "standardised" ? static_cast<double>(n.D) : 1; }   // n
  int64_t at(int64_t b, int64_t h, int64_t t) const { return ((b * n.H + h) * L + t) * n.D; }
  bool there(int64_t b, int64_t t) const { return !over_tokens() || n.present.empty() || n.present[b * n.S + t] != 0; }
  double product(const Values& x, const Values& y, int64_t i) const {
    double sum = 0;
    for (int64_t d = 0; d < n.D; ++d) sum += x[i + d] * y[i + d];
    return sum;
  }

  template <class Body> void each_token(const Body& body) const {   // body(b, h, t), of those that are there
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t h = 0; h < n.H; ++h)
        for (int64_t t = 0; t < L; ++t)
          if (there(b, t)) body(b, h, t);
  }

  Values centred(const Values& x) const {
    Values c(x.size(), 0.0);
    each_token([&](auto b, auto h, auto t) {
      for (int64_t d = 0; d < n.D; ++d) {
        double mean = 0, count = 0;
        if (unit() || name == "centred_max_norm")
          for (int64_t e = 0; e < n.D; ++e) mean += x[at(b, h, t) + e], ++count;
        if (name == "centred_sequence_max_norm")
          for (int64_t s = 0; s < L; ++s)
            if (there(b, s)) mean += x[at(b, h, s) + d], ++count;
        c[at(b, h, t) + d] = x[at(b, h, t) + d] - (count > 0 ? mean / count : 0);
      }
    });
    return c;
  }

  int64_t largest(const Values& c, int64_t b, int64_t h) const {
    int64_t best = at(b, h, 0);
    for (int64_t t = 1; t < L; ++t)
      if (product(c, c, at(b, h, t)) > product(c, c, best)) best = at(b, h, t);
    return best;
  }

  double divisor(const Values& c, int64_t b, int64_t h, int64_t t) const {
    if (name == "none") return 1;
    if (unit()) return std::sqrt(product(c, c, at(b, h, t)) / share() + 1e-5);
    const int64_t m = largest(c, b, h);
    return product(c, c, m) > 0 ? std::sqrt(product(c, c, m)) : 1;   // a sequence of zeros stays one
  }

  Values of(const Values& x) const {
    Values y = centred(x);
    const Values c = y;
    each_token([&](auto b, auto h, auto t) {
      for (int64_t d = 0; d < n.D; ++d) y[at(b, h, t) + d] /= divisor(c, b, h, t);
    });
    return y;
  }

  Values gradient(const Values& x, const Values& dy) const {
    const Values c = centred(x), y = of(x);
    Values dc(x.size(), 0.0);
    each_token([&](auto b, auto h, auto t) {
      const int64_t i = at(b, h, t), m = largest(c, b, h);
      const double r = 1 / divisor(c, b, h, t), along = product(y, dy, i);
      for (int64_t d = 0; d < n.D; ++d) {
        dc[i + d] += r * dy[i + d];
        if (unit()) dc[i + d] -= r * y[i + d] * along / share();
        if (over_tokens()) dc[m + d] -= r * r * c[m + d] * along;
      }
    });
    return centred(dc);
  }
};

// Over pairs, f(s) = 1 + s + s²/2 or 1 + s of s = q̂·k̂/t, with gradients by hand:
//   da_ts = ⟨g_t, v_s⟩,  ds_ts = f′(s_ts) (da_ts − Σ a da)/Σ f,  dq̂_t = Σ_s ds_ts k̂_s/t,  dk̂_s = Σ_t ds_ts q̂_t/t
struct Polynomial {
  const FastOptions& options;

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    const Normalisation of_queries{options.normalisation, n, n.T}, of_keys{options.normalisation, n, n.S};
    const Values x = of_queries.of(q), y = of_keys.of(k);
    const double t_scale = options.normalisation == "none" ? 8 * std::sqrt(static_cast<double>(n.D)) : 1;
    const double quadratic = options.order == 2 ? 1 : 0;
    Values s(n.B * n.H * n.T * n.S, 0.0), a(s.size(), 0.0), total(n.B * n.H * n.T, 0.0), mean(total.size(), 0.0), da(s.size());
    n.each_pair([&](auto b, auto h, auto t, auto j) {
      const int64_t i = n.pair(b, h, t, j);
      for (int64_t d = 0; d < n.D; ++d) s[i] += x[n.query(b, h, t) + d] * y[n.key(b, h, j) + d] / t_scale;
      total[i / n.S] += a[i] = 1 + s[i] + quadratic * s[i] * s[i] / 2;
    });
    n.each_pair([&](auto b, auto h, auto t, auto j) {
      const int64_t i = n.pair(b, h, t, j);
      a[i] /= total[i / n.S];
      for (int64_t d = 0; d < n.D; ++d) da[i] += g[n.query(b, h, t) + d] * v[n.key(b, h, j) + d];
      mean[i / n.S] += a[i] * da[i];
    });
    Values dx(q.size(), 0.0), dy(k.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto j) {
      const int64_t i = n.pair(b, h, t, j);
      const double ds = (1 + quadratic * s[i]) * (da[i] - mean[i / n.S]) / total[i / n.S] / t_scale;
      for (int64_t d = 0; d < n.D; ++d) {
        dx[n.query(b, h, t) + d] += ds * y[n.key(b, h, j) + d];
        dy[n.key(b, h, j) + d] += ds * x[n.query(b, h, t) + d];
      }
    });
    return {mix(n, a, v),
            {{"q", of_queries.gradient(q, dx)}, {"k", of_keys.gradient(k, dy)}, {"v", value_gradient(n, a, g)}}};
  }
};

Words twelve_forms() {
  Words all;
  for (const char* order : {"1", "2"})
    for (const std::string& normalisation : normalisations)
      all.push_back(text("order = ", order, "\nnormalisation = '", normalisation, "'\nchunk = 3"));
  return all;
}

const Registered registered(
    {.mechanism = "fast",
     .heads = [](const auto& any, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v,
                 const auto& g) { return Polynomial{static_cast<const FastOptions&>(any)}.attend(sizes, q, k, v, g); },
     .rules = {{"order", {"1", "2"}, {}, whole_number(1, 2)},
               {"normalisation",
                {"'per_token'", "'standardised'", "'none'", "'max_norm'", "'centred_max_norm'", "'centred_sequence_max_norm'"},
                {},
                choice("maxnorm", "per_token, standardised, none, max_norm, centred_max_norm, centred_sequence_max_norm", "max_norm")},
               chunk_rule()},
     .variants = twelve_forms()});

struct Heads {
  explicit Heads(int64_t N, double scale = 1)
      : Q(affine(random_normal({2, 2, N, 4}, 1, "Q"), scale, 0)), K(random_normal({2, 2, N, 4}, 1, "K")),
        V(random_normal({2, 2, N, 4}, 1, "V")) {}

  Tensor Q, K, V;
};

std::unique_ptr<StateAttention> mixer_of(const FastOptions& options, nn::Positions positions = nn::Positions::none) {
  return make_fast(options, {.width = 8, .heads = 2, .positions = positions});
}

Tensor attended(const FastOptions& options, const Heads& heads, const Mask& mask = {}) {
  return mixer_of(options)->attend(heads.Q, heads.K, heads.V, call_with(mask));
}

bool over_tokens(const FastOptions& options) { return mixer_of(options)->needs().all_tokens; }

Mask causal_from(int64_t offset) { return {.causal = true, .offset = offset, .keys = {}}; }

Tensor weights_of(const FastOptions& options, const Heads& heads) {
  Tensor A;
  nn::Call call;
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  mixer_of(options)->attend(heads.Q, heads.K, heads.V, call);
  return A;
}

// f(S)/Σ f(S) V of order 2, no mask
Tensor by_polynomial(const Tensor& Q, const Tensor& K, const Tensor& V) {
  const Tensor S = matmul(Q, transpose(K)), f = affine(square(affine(S, 1, 1)), 0.5, 0.5);   // ((s + 1)² + 1)/2
  return matmul(div(f, sum(f, -1, true)), V);
}

template <class Judge> void each_form(const Judge& judge) {
  for (const int64_t order : {1, 2})
    for (const std::string& normalisation : normalisations) {
      CAPTURE(order);
      CAPTURE(normalisation);
      judge(form(order, normalisation));
    }
}

}  // namespace

TEST_CASE("fast: sums of features are the polynomial over all pairs, causal by chunks of every size (property 1)") {
  constexpr int64_t N = 7;
  const Heads heads(N);
  const Values q = heads.Q.values<double>(), k = heads.K.values<double>(), v = heads.V.values<double>();
  each_form([&](FastOptions options) {
    const auto error = [&](const Sizes& sizes, const Mask& mask) {
      return frobenius_error(attended(options, heads, mask).values<double>(),
                             Polynomial{options}.attend(sizes, q, k, v, Values(q.size(), 0.0)).output);
    };
    Sizes sizes{.B = 2, .H = 2, .T = N, .S = N, .D = 4};
    CHECK(error(sizes, {}) <= 1e-14);
    if (over_tokens(options)) return;
    sizes.causal = true;
    for (const int64_t offset : {-2, 0, 3})
      for (options.chunk = 1; options.chunk <= 8; ++options.chunk) {
        sizes.offset = offset;
        CAPTURE(offset);
        CAPTURE(options.chunk);
        CHECK(error(sizes, causal_from(offset)) <= 1e-13);
      }
  });
}

TEST_CASE("fast: rows sum to 1, weights of order 2 are positive, a constant value is kept (property 2)") {
  Heads heads(6, 40);   // without normalisation scores of order 1 are beyond −1
  heads.V = Tensor::full({2, 2, 6, 4}, 3, DType::f64);
  each_form([&](const FastOptions& options) {
    const Tensor A = weights_of(options, heads);
    for (const double row : sum(A, -1).values<double>()) CHECK(std::abs(row - 1) <= 1e-12);
    if (options.order == 2) {
      CHECK(min(A).item() > 0);
      CHECK((max(div(max(A, -1), min(A, -1))).item() <= 5) == options.bounded());   // f(1)/f(−1)
    }
    for (const Mask& mask : over_tokens(options) ? std::vector<Mask>{{}} : std::vector<Mask>{{}, causal_from(0)})
      for (const double y : attended(options, heads, mask).values<double>()) CHECK(std::abs(y - 3) <= 1e-11);
  });
}

TEST_CASE("fast: a query of zeros gets the mean of the values that it sees (property 3)") {
  Heads heads(5);
  heads.Q = Tensor::zeros({2, 2, 5, 4}, DType::f64);
  const Tensor present = Tensor::from(std::vector<uint8_t>{1, 0, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 5});
  const Tensor there = reshape(present.to(DType::f64), {2, 1, 5, 1});
  const Tensor means = div(cumsum(mul(heads.V, there), 2), cumsum(there, 2));
  const auto last = [](const Tensor& x) { return slice(x, 2, 4, 1); };
  each_form([&](const FastOptions& options) {
    const Tensor y = attended(options, heads, {.causal = !over_tokens(options), .offset = 0, .keys = present});
    if (over_tokens(options))
      CHECK(frobenius_error(last(y).values<double>(), last(means).values<double>()) <= 1e-14);
    else
      CHECK(frobenius_error(y.values<double>(), means.values<double>()) <= 1e-14);
  });
}

TEST_CASE("fast: small scores differ from softmax by their cube, of order 1 by their square (property 4)") {
  const Sizes sizes{.B = 2, .H = 2, .T = 6, .S = 6, .D = 4};
  for (const int64_t order : {1, 2}) {
    const auto difference = [&](double scale) {
      const Heads heads(6, scale);
      const Values v = heads.V.values<double>();
      Values scores = reference::DotProduct().scores(sizes, heads.Q.values<double>(), heads.K.values<double>());
      for (double& score : scores) score /= 8;   // t = 8 √D
      const Values expected = mix(sizes, reference::softmax(sizes, scores), v);
      return frobenius_error(attended(form(order, "none"), heads).values<double>(), expected);
    };
    for (const double scale : {0.4, 0.2, 0.1}) {
      const double slope = std::log2(difference(scale) / difference(scale / 2));
      CHECK(std::abs(slope - static_cast<double>(order + 1)) < 0.02);
    }
  }
}

TEST_CASE("fast: all claims of the twelve forms hold, derivatives against differences too (properties 5, 7 and 10)") {
  each_form([](const FastOptions& options) {
    const Claims claims = mechanism("fast").claims(options);
    const bool over_tokens = options.normalisation.find("max") != std::string::npos;
    const bool unbounded = options.normalisation == "none" || options.normalisation == "standardised";
    CHECK(claims.equivariant);
    CHECK(claims.padding_safe);
    CHECK(claims.linear);
    CHECK(claims.causal == !over_tokens);
    CHECK(claims.streaming == !over_tokens);
    CHECK(claims.distribution == (options.order == 2 || !unbounded));
    check_all_hold(prove(mechanism("fast"), options, 1));
  });
}

TEST_CASE("fast: a largest norm gives later tokens away, and is refused under a causal mask (property 6)") {
  const Heads heads(6);
  Heads other = heads;
  const auto with_another_last = [](const Tensor& x) {
    return concat({slice(x, 2, 0, 5), affine(slice(x, 2, 5, 1), 3, 1)}, 2);
  };
  other.Q = with_another_last(heads.Q);
  other.K = with_another_last(heads.K);
  each_form([&](const FastOptions& options) {
    const auto first_rows = [&](const Heads& of) {   // how the first five tokens share out among themselves
      const Tensor A = slice(slice(weights_of(options, of), 2, 0, 5), 3, 0, 5);
      return div(A, sum(A, 3, true)).values<double>();
    };
    const MixerShape causal{.width = 8, .heads = 2, .causal = true};
    const std::string message = message_of([&] { nn::require_met("model", mixer_of(options)->needs(), causal); });
    const bool over_tokens = options.normalisation.ends_with("max_norm");
    CHECK(mixer_of(options)->needs() == nn::Needs{.self = over_tokens, .all_tokens = over_tokens, .any_distance = true});
    if (!over_tokens) {
      const bool cancel = options.normalisation == "standardised" && options.order == 1;   // in a sum of weights of both signs
      CHECK(frobenius_error(first_rows(other), first_rows(heads)) < (cancel ? 1e-13 : 1e-14));   // rows had other sums
      CHECK(message == "no error");
    } else {
      CHECK(frobenius_error(first_rows(other), first_rows(heads)) > 1e-2);
      CHECK(message == "model: the attention of block 0 looks at all tokens, and cannot be causal");
    }
  });
}

TEST_CASE("fast: token by token from the sums, it is the parallel form, which is the polynomial's (property 7)") {
  const Tensor x = random_normal({2, 6, 8}, 1, "x");
  for (const int64_t order : {1, 2})
    for (const char* normalisation : {"per_token", "standardised", "none"})
      for (const nn::Positions positions : {nn::Positions::none, nn::Positions::rotary}) {
        const auto mixer = mixer_of(form(order, normalisation, 4), positions);
        mixer->initialise(1, DType::f64);
        spread_parameters(*mixer, 1);
        const auto state = mixer->state(2);
        std::vector<Tensor> steps;
        for (int64_t t = 0; t < 6; ++t)
          steps.push_back(mixer->step(slice(x, 1, t, 1), *state, {t, t}, call_with({})));
        CHECK(frobenius_error(concat(steps, 1).values<double>(),
                              mixer->forward(x, x, call_with(causal_from(0))).values<double>()) <= 1e-13);
      }
}

TEST_CASE("fast: under a largest norm the scale of all queries or of all keys changes nothing (property 8)") {
  const Heads heads(6);
  Heads scaled = heads;
  scaled.Q = affine(heads.Q, 3, 0);
  scaled.K = affine(heads.K, 0.1, 0);
  each_form([&](const FastOptions& options) {
    const double error = frobenius_error(attended(options, scaled).values<double>(), attended(options, heads).values<double>());
    if (options.over_tokens()) CHECK(error <= 1e-14);
    if (options.normalisation == "none") CHECK(error > 1e-3);
  });
}

TEST_CASE("fast: weights of order 1 are not negative where scores are bounded, and may be where not (property 9)") {
  Heads heads(6, 40);
  for (const std::string& normalisation : normalisations) {
    CAPTURE(normalisation);
    const double least = min(weights_of(form(1, normalisation), heads)).item();
    CHECK((least < 0) == !form(1, normalisation).bounded());
  }
  heads.Q = neg(heads.K);   // each opposite to its own key
  for (const DType type : {DType::f64, DType::f32}) {
    Heads opposite = heads;
    for (Tensor* const x : {&opposite.Q, &opposite.K, &opposite.V}) *x = x->to(type);
    CHECK(min(weights_of(form(1, "per_token"), opposite)).item() > 0);
  }
}

TEST_CASE("fast: standardised tokens have mean 0 and variance 1, and their scores are not divided") {
  const Heads heads(6);
  const auto standard = [](const Tensor& x) {
    const Tensor c = sub(x, mean(x, -1, true));
    return div(c, sqrt(affine(mean(square(c), -1, true), 1, 1e-5)));
  };
  CHECK(frobenius_error(attended(form(2, "standardised"), heads).values<double>(),
                        by_polynomial(standard(heads.Q), standard(heads.K), heads.V).values<double>()) < 1e-13);
}

TEST_CASE("fast: the gradient goes through the largest norm: along the scale of all tokens, which has no say, there is none") {
  const Heads heads(6);
  const Tensor Q = requires_grad(heads.Q.detach()), g = random_normal(heads.V.shape(), 1, "g");
  const auto along_scale = [&](const Tensor& y) {   // Σ q·dq of each sample and head
    return sum(sum(mul(grad({y}, {Q}, {g})[0], Q.detach()), -1), 2).values<double>();
  };
  const auto over_largest = [](const Tensor& x, const Tensor& norms) { return div(x, max(norms, 2, true)); };
  const Tensor K = over_largest(heads.K, norm(heads.K, 2, -1, true)),
               exact = mixer_of(form(2, "max_norm"))->attend(Q, heads.K, heads.V, {}),
               constant = by_polynomial(over_largest(Q, norm(Q.detach(), 2, -1, true)), K, heads.V);
  CHECK(frobenius_error(exact.values<double>(), constant.values<double>()) < 1e-14);
  for (const double slope : along_scale(exact)) CHECK(std::abs(slope) < 1e-14);
  for (const double slope : along_scale(constant)) CHECK(std::abs(slope) > 1e-3);   // as in the authors' CUDA kernels
}

TEST_CASE("fast: weights of both signs that cancel give zeros and no gradient, not NaN") {
  const auto first_channel = [](const std::vector<double>& values) {
    const auto N = static_cast<int64_t>(values.size());
    return requires_grad(pad(Tensor::from(values, {1, 1, N, 1}), 3, 0, 3));
  };
  const Tensor Q = first_channel({16}), K = first_channel({-3, 1}), V = first_channel({5, 7});   // s = −3 and 1, t = 16
  const auto mixer = make_fast(form(1, "none"), {.width = 4, .heads = 1});
  const Tensor y = mixer->attend(Q, K, V, {});
  for (const double value : y.values<double>()) CHECK(value == 0);
  for (const Tensor& g : grad({y}, {Q, K, V}, {Tensor::full({1, 1, 1, 4}, 1, DType::f64)}))
    for (const double value : g.values<double>()) CHECK(value == 0);
}

TEST_CASE("fast: tokens that are turned are those that were normalised, so rotary scores know the distance alone") {
  const auto mixer = mixer_of(form(2, "per_token"), nn::Positions::rotary);
  const auto alike = [](const char* site) { return copy(expand(random_normal({1, 1, 1, 4}, 1, site), {1, 2, 5, 4})); };
  Tensor A;   // every query is the same token, and so is every key
  nn::Call call = call_with({});
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  mixer->attend(alike("Q"), alike("K"), alike("V"), call);
  const Values a = slice(A, 1, 0, 1).values<double>();
  const auto ratio = [&](int64_t t, int64_t s) { return a[5 * t + s] / a[5 * t + t]; };
  for (int64_t t = 1; t < 4; ++t) {
    CHECK(std::abs(ratio(t, t + 1) - ratio(0, 1)) <= 1e-13);
    CHECK(std::abs(ratio(t + 1, t) - ratio(1, 0)) <= 1e-13);
  }
  CHECK(std::abs(ratio(0, 1) - 1) > 1e-3);
}

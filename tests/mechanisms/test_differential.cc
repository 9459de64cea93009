// Differential attention: scalar loops through both maps, λ and the norm; what cancels; parameters and places as those of the
// dot product.
#include <doctest/doctest.h>

#include "attention/mechanisms/differential.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "tensor/in_place.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// a = p¹ − λ p², pᵐ = softmax(qᵐ·kᵐ/√(D/2)),  z = a v,  o_d = c w_d z_d r, r = 1/√(Σ z²/D + 10⁻⁵), c = 1 − λ₀
//   by hand:  u_d = c w_d g_d,  dw_d = Σ c g_d z_d r,  dz_d = r u_d − r³ z_d Σ u z / D,
//   dp¹_ts = ⟨dz_t, v_s⟩, dp² = −λ dp¹,  dλ = −Σ p² dp¹,  dλ_q1 = dλ exp(λ_q1·λ_k1) λ_k1, and with the other sign of the second
struct Difference {
  double initial;   // λ₀
  const Parameters& parameters;

  Values value(const std::string& name) const { return parameters.at(name)->value.values<double>(); }

  static double exponential(const Values& q, const Values& k) {
    double product = 0;
    for (size_t i = 0; i < q.size(); ++i) product += q[i] * k[i];
    return std::exp(product);
  }

  static Values half(const Values& x, int64_t D, int64_t which) {
    Values own;
    for (size_t i = 0; i < x.size(); ++i)
      if (static_cast<int64_t>(i) % D / (D / 2) == which) own.push_back(x[i]);
    return own;
  }

  static Values joined(const Values& first, const Values& second, int64_t half) {
    Values all;
    for (size_t i = 0; i < first.size(); i += half)
      for (const Values* one : {&first, &second}) all.insert(all.end(), one->begin() + i, one->begin() + i + half);
    return all;
  }

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    const Values q1 = value("lambda_q1"), k1 = value("lambda_k1"), q2 = value("lambda_q2"), k2 = value("lambda_k2"),
                 w = value("norm.weight");
    const double e1 = exponential(q1, k1), e2 = exponential(q2, k2), lambda = e1 - e2 + initial;
    const reference::DotProduct product;
    Sizes halves = n;
    halves.D = n.D / 2;
    Values p[2], a(n.B * n.H * n.T * n.S);
    for (int64_t m = 0; m < 2; ++m) p[m] = softmax(n, product.scores(halves, half(q, n.D, m), half(k, n.D, m)));
    for (size_t i = 0; i < a.size(); ++i) a[i] = p[0][i] - lambda * p[1][i];

    const Values z = mix(n, a, v);
    Values o(z.size()), dz(z.size()), dw(w.size(), 0.0);
    for (size_t row = 0; row < z.size(); row += n.D) {
      double squares = 0, along = 0;
      for (int64_t d = 0; d < n.D; ++d) squares += z[row + d] * z[row + d];
      const double r = 1 / std::sqrt(squares / static_cast<double>(n.D) + 1e-5), c = 1 - initial;
      for (int64_t d = 0; d < n.D; ++d) {
        o[row + d] = c * w[d] * z[row + d] * r;
        dw[d] += c * g[row + d] * z[row + d] * r;
        along += c * w[d] * g[row + d] * z[row + d];
      }
      for (int64_t d = 0; d < n.D; ++d)
        dz[row + d] = r * c * w[d] * g[row + d] - r * r * r * z[row + d] * along / static_cast<double>(n.D);
    }

    double dlambda = 0;
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      for (int64_t d = 0; d < n.D; ++d) dlambda -= p[1][n.pair(b, h, t, s)] * dz[n.query(b, h, t) + d] * v[n.key(b, h, s) + d];
    });
    reference::Gradients maps[2];
    for (int64_t m = 0; m < 2; ++m) {
      Values de = score_gradient(n, p[m], v, dz);
      for (double& one : de) one *= m == 0 ? 1 : -lambda;
      maps[m] = product.gradients(halves, half(q, n.D, m), half(k, n.D, m), de);
    }
    Attention result{o, {{"v", value_gradient(n, a, dz)}, {"norm.weight", dw}}};
    for (const char* which : {"q", "k"}) result.gradients[which] = joined(maps[0].at(which), maps[1].at(which), n.D / 2);
    const auto times = [](double factor, Values x) {
      for (double& one : x) one *= factor;
      return x;
    };
    result.gradients["lambda_q1"] = times(dlambda * e1, k1);
    result.gradients["lambda_k1"] = times(dlambda * e1, q1);
    result.gradients["lambda_q2"] = times(-dlambda * e2, k2);
    result.gradients["lambda_k2"] = times(-dlambda * e2, q2);
    return result;
  }
};

const Registered registered(
    {.mechanism = "differential",
     .heads =
         [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
            const auto& g) {
           const double initial = static_cast<const DifferentialOptions&>(any).initial;
           return Difference{initial > 0 ? initial : 0.2, parameters}.attend(sizes, q, k, v, g);   // of block 0
         },
     .rules = {{"initial", {"0", "0.5", "0.8"}, {"0.99"},
                {{"-0.1", "must be a number in 0 … 0.99, found -0.1"},
                 {"1", "must be a number in 0 … 0.99, found 1"},
                 {"'1'", "must be a number in 0 … 0.99, found '1'"}}}},
     .variants = {"initial = 0", "initial = 0.8"},
     .even = true});

std::unique_ptr<nn::TokenMixer> mixer_of(int64_t layer = 0, double initial = 0,
                                         nn::Positions positions = nn::Positions::none) {
  DifferentialOptions options;
  options.initial = initial;
  auto mixer = make_differential(options, {.width = 8, .heads = 2, .layer = layer, .positions = positions});
  mixer->initialise(1, DType::f64);
  return mixer;
}

void set_lambda(nn::TokenMixer& mixer, double product) {   // exp(λ_q1·λ_k1) = exp(product), exp(λ_q2·λ_k2) = 1
  const Parameters parameters = parameters_of(mixer);
  for (const char* name : {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"}) fill_(parameters.at(name)->value, 0);
  fill_(parameters.at("lambda_q1")->value, product / 2);   // of two elements
  fill_(parameters.at("lambda_k1")->value, 1);
}

struct Attended {
  Tensor y, weights;
};

Attended attended(const nn::TokenMixer& mixer, const Tensor& Q, const Tensor& K, const Tensor& V, nn::Call call = {}) {
  Tensor weights;
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { weights = value; };
  const Tensor y = dynamic_cast<const ProjectedAttention&>(mixer).attend(Q, K, V, call);
  return {y, weights};
}

struct Drawn {
  Tensor Q = random_normal({2, 2, 5, 4}, 1, "Q"), K = random_normal({2, 2, 5, 4}, 1, "K"),
         V = random_normal({2, 2, 5, 4}, 1, "V");
};

}  // namespace

TEST_CASE("differential: λ₀ grows with depth, 0.2, 0.3555, … 0.8; rows sum to 1 − λ") {
  const Drawn x;
  const std::vector<std::pair<int64_t, double>> blocks{{0, 0.2}, {1, 0.8 - 0.6 * 0.7408182206817179}, {11, 0.7778701000}};
  for (const auto& block : blocks) {
    const auto mixer = mixer_of(block.first);
    set_lambda(*mixer, 0);
    for (const double row : sum(attended(*mixer, x.Q, x.K, x.V).weights, -1).values<double>())
      CHECK(row == doctest::Approx(1 - block.second).epsilon(1e-9));
  }
}

TEST_CASE("differential: it is no distribution, and does not say so; prove rejects the claim") {
  Mechanism claiming = mechanism("differential");
  CHECK(!claiming.claims(DifferentialOptions()).distribution);
  claiming.claims = always(Claims{.distribution = true});
  CHECK(!prove(claiming, DifferentialOptions(), 1).front().holds);
}

TEST_CASE("differential: what both maps see alike cancels at λ = 1, whatever the values; the gradient is a number") {
  const Drawn x;
  const auto mixer = mixer_of();
  set_lambda(*mixer, std::log(1.8));   // λ = 1.8 − 1 + 0.2
  const auto twice = [](const Tensor& all) { return concat({slice(all, -1, 0, 2), slice(all, -1, 0, 2)}, -1); };
  const Tensor Q = requires_grad(twice(x.Q).detach());
  const Attended same = attended(*mixer, Q, twice(x.K), x.V);
  CHECK(max(abs(same.weights)).item() < 1e-15);
  CHECK(max(abs(same.y)).item() < 1e-12);
  for (const double g : grad({same.y}, {Q}, {random_normal({2, 2, 5, 4}, 1, "g")})[0].values<double>()) CHECK(std::isfinite(g));
}

TEST_CASE("differential: the weights are those of two dot products of half the width, with rotary places too") {
  const Drawn x;
  const nn::Call call = call_with({.causal = true, .offset = 0, .keys = {}});
  for (const nn::Positions positions : {nn::Positions::none, nn::Positions::rotary, nn::Positions::alibi}) {
    const auto mixer = mixer_of(0, 0.5, positions);
    set_lambda(*mixer, 0);
    const auto plain = make_dot_product({.width = 4, .heads = 2, .positions = positions});
    const auto map = [&](int64_t begin) {
      const auto half = [&](const Tensor& all) { return slice(all, -1, begin, 2); };
      return attended(*plain, half(x.Q), half(x.K), half(x.V), call).weights;
    };
    CHECK(frobenius_error(attended(*mixer, x.Q, x.K, x.V, call).weights.values<double>(),
                          sub(map(0), affine(map(2), 0.5, 0)).values<double>()) < 1e-14);
  }
}

TEST_CASE("differential: the result of each head has length (1 − λ₀) √D at first, whatever the values' scale") {
  const Drawn x;
  const auto mixer = mixer_of(0, 0.5);
  for (const double scale : {1.0, 100.0}) {
    const Tensor y = attended(*mixer, x.Q, x.K, affine(x.V, scale * 100, 0)).y;
    for (const double squares : sum(square(y), -1).values<double>()) CHECK(squares == doctest::Approx(0.25 * 4).epsilon(1e-3));
  }
}

TEST_CASE("differential: beside those of the dot product there are 3 D parameters a layer") {
  const auto count = [](nn::TokenMixer& mixer) {
    int64_t all = 0;
    for (const auto& one : parameters_of(mixer)) all += one.second->shape.elements();
    return all;
  };
  CHECK(count(*mixer_of()) == count(*make_dot_product({.width = 8, .heads = 2})) + 3 * 4);
}

TEST_CASE("differential: heads of an odd width are refused, and rotary places where halves are odd") {
  CHECK(message_of([] { make_differential({}, {.width = 6, .heads = 2}); }) ==
        "differential: heads have a width of 3, which has no halves for two maps; hint: choose an even head width");
  CHECK(!make_differential({}, {.width = 12, .heads = 2})->accepts(nn::Positions::rotary));
  CHECK(mixer_of()->accepts(nn::Positions::rotary));
}

TEST_CASE("differential: λ begins with vectors of deviation 0.1") {
  const auto mixer = mixer_of();
  for (const char* name : {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"})
    CHECK(begins_with(*mixer, name, nn::Init::normal(0.1)));
}

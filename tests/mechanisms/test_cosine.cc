// Cosine attention: scalar loops through the lengths, what lengths and the bound of γ do, and where it is the dot product.
#include <doctest/doctest.h>

#include "attention/mechanisms/cosine.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// s_ts = γ_h û_t·k̂_s,  û = q/√(|q|² + 10⁻¹²), k̂ alike. By hand:  dγ_h = Σ ds û·k̂,  dû_t = Σ_s γ ds k̂_s,  and for each
// vector  dq = (dû − û (û·dû))/√(|q|² + 10⁻¹²);  dℓ = γ dγ below the bound, 0 above
struct Cosines {
  const Parameters& parameters;

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    const bool bounded = parameters.contains("logarithm");
    const Values learnt = parameters.at(bounded ? "logarithm" : "factor")->value.values<double>();
    const auto gamma = [&](int64_t h) { return bounded ? std::min(100.0, std::exp(learnt[h])) : learnt[0]; };
    const Values u = units(n, q), w = units(n, k);
    Values e(n.B * n.H * n.T * n.S, 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      for (int64_t d = 0; d < n.D; ++d) e[n.pair(b, h, t, s)] += gamma(h) * u[n.query(b, h, t) + d] * w[n.key(b, h, s) + d];
    });
    const Values p = softmax(n, e), de = score_gradient(n, p, v, g);
    Values du(q.size(), 0.0), dw(k.size(), 0.0), dlearnt(learnt.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const double slope = de[n.pair(b, h, t, s)];
      for (int64_t d = 0; d < n.D; ++d) {
        const int64_t i = n.query(b, h, t) + d, j = n.key(b, h, s) + d;
        du[i] += gamma(h) * slope * w[j];
        dw[j] += gamma(h) * slope * u[i];
        if (!bounded) dlearnt[0] += slope * u[i] * w[j];
        else if (learnt[h] < std::log(100.0)) dlearnt[h] += gamma(h) * slope * u[i] * w[j];
      }
    });
    Attention result{mix(n, p, v),
                     {{"q", through(n, q, u, du)}, {"k", through(n, k, w, dw)}, {"v", value_gradient(n, p, g)}}};
    result.gradients[bounded ? "logarithm" : "factor"] = dlearnt;
    return result;
  }

 private:
  static double length(const Values& x, size_t begin, int64_t D) {
    double squares = 1e-12;
    for (int64_t d = 0; d < D; ++d) squares += x[begin + d] * x[begin + d];
    return std::sqrt(squares);
  }

  static Values units(const Sizes& n, const Values& x) {
    Values u(x.size());
    for (size_t i = 0; i < x.size(); ++i) u[i] = x[i] / length(x, i - i % n.D, n.D);
    return u;
  }

  static Values through(const Sizes& n, const Values& x, const Values& u, const Values& du) {
    Values dx(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t begin = i - i % n.D;
      double along = 0;
      for (int64_t d = 0; d < n.D; ++d) along += u[begin + d] * du[begin + d];
      dx[i] = (du[i] - u[i] * along) / length(x, begin, n.D);
    }
    return dx;
  }
};

const Registered registered(
    {.mechanism = "cosine",
     .heads = [](const auto&, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
                 const auto& g) { return Cosines{parameters}.attend(sizes, q, k, v, g); },
     .rules = {{"temperature", {"'logarithm'", "'factor'"}, {}, choice("logarithms", "logarithm, factor", "logarithm")},
               // what γ is at first a case below asks
               {"initial", {"1", "10"}, {"0.01", "100"},
                {{"0", "must be a number in 0.01 … 100, found 0"},
                 {"101", "must be a number in 0.01 … 100, found 101"},
                 {"'1'", "must be a number in 0.01 … 100, found '1'"}}, "", 0, true, "the first value of γ, and a test draws another"},
               implementation_rule()},
     .variants = {"temperature = 'logarithm'", "temperature = 'factor'",
                  "temperature = 'factor'\nimplementation = 'fused'"}});

struct Drawn {
  Tensor Q = random_normal({2, 2, 5, 4}, 1, "Q"), K = random_normal({2, 2, 5, 4}, 1, "K"),
         V = random_normal({2, 2, 5, 4}, 1, "V");
};

std::unique_ptr<nn::TokenMixer> mixer_of(double initial, const std::string& temperature = "logarithm") {
  CosineOptions options;
  options.initial = initial;
  options.temperature = temperature;
  auto mixer = make_cosine(options, {.width = 8, .heads = 2});
  mixer->initialise(1, DType::f64);
  return mixer;
}

Tensor attended(const nn::TokenMixer& mixer, const Tensor& Q, const Tensor& K, const Tensor& V) {
  return dynamic_cast<const ProjectedAttention&>(mixer).attend(Q, K, V, {});
}

}  // namespace

TEST_CASE("cosine: γ starts where it is told, of each head or of the layer") {
  CHECK(frobenius_error(parameters_of(*mixer_of(10)).at("logarithm")->value.values<double>(), Values(2, std::log(10.0))) <
        1e-15);
  CHECK(parameters_of(*mixer_of(12.5, "factor")).at("factor")->value.values<double>() == Values{12.5});
}

TEST_CASE("cosine: the lengths of queries and keys have no say") {
  const Drawn x;
  const auto mixer = mixer_of(10);
  const Tensor lengths = exp(random_normal({2, 2, 5, 1}, 1, "lengths"));
  CHECK(frobenius_error(attended(*mixer, mul(x.Q, lengths), mul(x.K, flip(lengths, 2)), x.V).values<double>(),
                        attended(*mixer, x.Q, x.K, x.V).values<double>()) < 1e-10);
}

TEST_CASE("cosine: of queries and keys of length 1, γ = 1/√D is the dot product") {
  const Drawn x;
  const auto of_length_1 = [](const Tensor& y) { return div(y, sqrt(sum(square(y), -1, true))); };
  const auto plain = make_dot_product({.width = 8, .heads = 2});
  for (const char* temperature : {"logarithm", "factor"})
    CHECK(frobenius_error(attended(*mixer_of(0.5, temperature), of_length_1(x.Q), of_length_1(x.K), x.V).values<double>(),
                          attended(*plain, of_length_1(x.Q), of_length_1(x.K), x.V).values<double>()) < 1e-11);
}

TEST_CASE("cosine: γ stays at 100 above log 100, where it learns no more") {
  const Drawn x;
  const auto mixer = mixer_of(100);
  nn::Parameter& logarithm = *parameters_of(*mixer).at("logarithm");
  const Tensor expected = attended(*mixer, x.Q, x.K, x.V);
  logarithm.value = requires_grad(Tensor::from(Values{std::log(100.0) + 1, std::log(50.0)}, {2}));
  const Tensor y = attended(*mixer, x.Q, x.K, x.V);
  const Tensor g = grad({y}, {logarithm.value}, {random_normal(y.shape(), 1, "g")})[0];
  const auto first_head = [](const Tensor& all) { return slice(all, 1, 0, 1).values<double>(); };
  CHECK(frobenius_error(first_head(y), first_head(expected)) < 1e-13);
  CHECK(frobenius_error(y.values<double>(), expected.values<double>()) > 1e-3);   // the other head
  CHECK(g.values<double>()[0] == 0);
  CHECK(g.values<double>()[1] != 0);
}

TEST_CASE("cosine: a token of zeros looks at all alike, and its gradient is a number") {
  const Drawn x;
  const Tensor Q = requires_grad(Tensor::zeros({2, 2, 5, 4}, DType::f64));
  const Tensor y = attended(*mixer_of(10), Q, x.K, x.V);
  CHECK(frobenius_error(y.values<double>(), expand(mean(x.V, 2, true), {2, 2, 5, 4}).values<double>()) < 1e-14);
  for (const double g : grad({y}, {Q}, {random_normal(y.shape(), 1, "g")})[0].values<double>()) CHECK(std::isfinite(g));
}

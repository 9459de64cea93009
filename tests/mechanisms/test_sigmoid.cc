// Sigmoid attention: scalar loops; weights that do not compete; what n of the bias −log n may be.
#include <doctest/doctest.h>

#include "attention/mechanisms/sigmoid.h"
#include "autograd/ops.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// a_ts = 1/(1 + exp(−x_ts)), x_ts = q_t·k_s/√D − log n_t + β_h, n_t the keys that query t sees, or one number for all
//   by hand:  dx_ts = a_ts (1 − a_ts) ⟨g_t, v_s⟩,  dβ_h = Σ dx
struct Sigmoids {
  int64_t length;
  Values beta;   // of each head; empty: none

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    const reference::DotProduct product;
    const Values s = product.scores(n, q, k);
    Values a(s.size(), 0.0), dx(s.size(), 0.0), dbeta(beta.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto j) {
      const int64_t at = n.pair(b, h, t, j);
      int64_t seen = 0;
      for (int64_t other = 0; other < n.S; ++other) seen += n.allowed(b, t, other);
      const double keys = static_cast<double>(length > 0 ? length : seen);
      a[at] = 1 / (1 + keys * std::exp(-s[at] - (beta.empty() ? 0 : beta[h])));
      for (int64_t d = 0; d < n.D; ++d) dx[at] += a[at] * (1 - a[at]) * g[n.query(b, h, t) + d] * v[n.key(b, h, j) + d];
      if (!beta.empty()) dbeta[h] += dx[at];
    });
    Attention result{mix(n, a, v), product.gradients(n, q, k, dx)};
    result.gradients["v"] = value_gradient(n, a, g);
    if (!beta.empty()) result.gradients["beta"] = dbeta;
    return result;
  }
};

const Registered registered(
    {.mechanism = "sigmoid",
     .heads =
         [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
            const auto& g) {
           const auto found = parameters.find("beta");
           const Values beta = found == parameters.end() ? Values() : found->second->value.template values<double>();
           return Sigmoids{static_cast<const SigmoidOptions&>(any).length, beta}.attend(sizes, q, k, v, g);
         },
     .rules = {{"length", {"0", "16"}, {"1", "1073741824"}, whole_number(0, 1 << 30)}, truth("learned")},
     .variants = {"length = 0", "length = 16", "learned = true", "length = 3\nlearned = true"}});

// Of queries and keys that stand for their scores: q_t is row t of them, k_s is √S e_s.
Tensor weights_of(const SigmoidOptions& options, const std::vector<Values>& scores, const Mask& mask) {
  const auto n = static_cast<int64_t>(scores.size()), S = static_cast<int64_t>(scores[0].size());
  Values q, k(S * S, 0.0);
  for (const Values& row : scores) q.insert(q.end(), row.begin(), row.end());
  for (int64_t j = 0; j < S; ++j) k[j * S + j] = std::sqrt(static_cast<double>(S));
  const auto mixer = make_sigmoid(options, {.width = S, .heads = 1});
  mixer->initialise(1, DType::f64);
  nn::Call call = call_with(mask);
  Tensor A;
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  const Tensor K = Tensor::from(k, {1, 1, S, S});
  dynamic_cast<const ProjectedAttention&>(*mixer).attend(Tensor::from(q, {1, 1, n, S}), K, K, call);
  return A;
}

Values first_row(const Tensor& A) { return slice(A, 2, 0, 1).values<double>(); }

const Mask causal{.causal = true, .offset = 0, .keys = {}};

}  // namespace

TEST_CASE("sigmoid: where all scores are 0, a row of n keys has n weights of 1/(n + 1)") {
  const std::vector<Values> zeros(4, Values(4, 0.0));
  const Values expected{1 / 2., 0, 0, 0, 1 / 3., 1 / 3., 0, 0, 1 / 4., 1 / 4., 1 / 4., 0, 1 / 5., 1 / 5., 1 / 5., 1 / 5.};
  CHECK(frobenius_error(weights_of({}, zeros, causal).values<double>(), expected) < 1e-15);
  const Mask padded{.causal = false, .offset = 0, .keys = Tensor::from<uint8_t>({1, 0, 1, 0}, {1, 4})};
  CHECK(frobenius_error(first_row(weights_of({}, zeros, padded)), {1 / 3., 0, 1 / 3., 0}) < 1e-15);
  SigmoidOptions fixed;
  fixed.length = 9;
  for (const Mask& mask : {Mask{}, causal, padded}) CHECK(first_row(weights_of(fixed, zeros, mask))[0] == doctest::Approx(0.1));
}

TEST_CASE("sigmoid: keys do not compete: a score changes its own weight, and a row may have all of them near 1, or none") {
  const Values weak = first_row(weights_of({}, {{0.5, -1, 2}}, {})), strong = first_row(weights_of({}, {{0.5, -1, 9}}, {}));
  CHECK(weak[0] == strong[0]);
  CHECK(weak[1] == strong[1]);
  CHECK(weak[2] < strong[2]);
  for (const double a : first_row(weights_of({}, {{30, 30, 30}}, {}))) CHECK(a > 1 - 1e-9);
  for (const double a : first_row(weights_of({}, {{-30, -30, -30}}, {}))) CHECK(a < 1e-9);
}

TEST_CASE("sigmoid: rows are no distribution, and it does not say so; prove rejects the claim") {
  Mechanism claiming = mechanism("sigmoid");
  CHECK(!claiming.claims(SigmoidOptions()).distribution);
  claiming.claims = always(Claims{.distribution = true});
  CHECK(!prove(claiming, SigmoidOptions(), 1).front().holds);
}

TEST_CASE("sigmoid: with n the length of the sequence at hand, more tokens would change earlier rows; here they do not") {
  const Values row{0.5, -1, 2, 0.25, 1};
  const auto as_length = [&](double S) { return 1 / (1 + S * std::exp(-row[0])); };   // a_00 = σ(s − log S)
  CHECK(as_length(4) - as_length(5) > 1e-2);
  const std::vector<Values> five(5, row), four(4, Values(row.begin(), row.end() - 1));
  const double alone = first_row(weights_of({}, four, causal))[0];
  CHECK(first_row(weights_of({}, five, causal))[0] == doctest::Approx(alone).epsilon(1e-15));
}

TEST_CASE("sigmoid: with a length of 1 weights are σ of the scores, whatever the sequence") {
  SigmoidOptions alone;
  alone.length = 1;
  const Values scores{0.5, -1, 2};
  const Values found = first_row(weights_of(alone, {scores}, {}));
  for (size_t j = 0; j < scores.size(); ++j) CHECK(found[j] == doctest::Approx(1 / (1 + std::exp(-scores[j]))).epsilon(1e-14));
}

// Doubly normalised attention: scalar loops over columns and rows; the golden values, and what they prove: no key is explained
// away, and a whole column under a causal mask leaks.
#include <doctest/doctest.h>

#include "attention/mechanisms/dnas.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "tensor/in_place.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::DotProduct;
using reference::Sizes;
using reference::Values;

// From the formulas, with gradients by hand; queries of hidden tokens do not count in a column:
//
//   Z_tj = Σ_{i ≤ t or all} exp s_ij,  a_tj = (exp s_tj / Z_tj) / Σ_j' (exp s_tj' / Z_tj'),  w = u a + (1 − u) softmax(s)
//   dl = softmax's gradient to l_tj = s_tj − log Z_tj;  ds_tj = dl_tj,  ds_ij −= exp s_ij Σ_{t sees i} dl_tj / Z_tj
//   dθ = u (1 − u) Σ_tj (a_tj − softmax(s)_tj) ⟨g_t, v_j⟩
Attention attend_doubly(const Sizes& n, const Values& all_q, const Values& k, const Values& v, const Values& g, const Values& theta) {
  const DotProduct scores;
  const Values q = without_hidden_queries(n, all_q);
  const Values s = scores.scores(n, q, k);
  const auto counts = [&](int64_t b, int64_t i) { return n.present.empty() || n.present[b * n.S + i] != 0; };
  const auto column = [&](auto b, auto h, auto t, auto j, const auto& body) {
    for (int64_t i = 0; i < n.T; ++i)
      if (counts(b, i) && (!n.causal || (i <= t && i >= j))) body(n.pair(b, h, i, j));
  };
  Values l(s.size(), 0.0), Z(s.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto j) {
    const int64_t at = n.pair(b, h, t, j);
    column(b, h, t, j, [&](int64_t i) { Z[at] += std::exp(s[i]); });
    l[at] = Z[at] > 0 ? s[at] - std::log(Z[at]) : 0;
  });
  const Values a = softmax(n, l), p = softmax(n, s);
  Values w = a, share(n.H, 1.0);
  for (int64_t h = 0; h < n.H && !theta.empty(); ++h) share[h] = 1 / (1 + std::exp(-theta[h]));
  n.each_pair([&](auto b, auto h, auto t, auto j) {
    const int64_t at = n.pair(b, h, t, j);
    w[at] = share[h] * a[at] + (1 - share[h]) * p[at];
  });
  const Values dl = score_gradient(n, a, v, g), dp = score_gradient(n, p, v, g);
  Values ds(s.size(), 0.0), dtheta(theta.size(), 0.0);
  n.each_pair([&](auto b, auto h, auto t, auto j) {
    const int64_t at = n.pair(b, h, t, j);
    ds[at] += share[h] * dl[at] + (1 - share[h]) * dp[at];
    column(b, h, t, j, [&](int64_t i) { ds[i] -= share[h] * dl[at] * std::exp(s[i]) / Z[at]; });
    for (int64_t d = 0; d < n.D && !theta.empty(); ++d)
      dtheta[h] += share[h] * (1 - share[h]) * (a[at] - p[at]) * g[n.query(b, h, t) + d] * v[n.key(b, h, j) + d];
  });
  Attention result{mix(n, w, v), scores.gradients(n, q, k, ds)};
  result.gradients["q"] = without_hidden_queries(n, result.gradients["q"]);
  result.gradients["v"] = value_gradient(n, w, g);
  if (!theta.empty()) result.gradients["share"] = dtheta;
  return result;
}

const Registered registered({.mechanism = "dnas",
                             .heads =
                                 [](const auto&, const auto& parameters, const auto& sizes, const auto& q, const auto& k,
                                    const auto& v, const auto& g) {
                                   const auto found = parameters.find("share");
                                   const Values theta = found == parameters.end()
                                                            ? Values()
                                                            : found->second->value.template values<double>();
                                   return attend_doubly(sizes, q, k, v, g, theta);
                                 },
                             .rules = {truth("hybrid"), implementation_rule()},
                             .variants = {"hybrid = false", "hybrid = true", "implementation = 'fused'",
                                          "hybrid = true\nimplementation = 'fused'"}});

std::unique_ptr<nn::TokenMixer> mixer_of(bool hybrid = false) {
  DnasOptions options;
  options.hybrid = hybrid;
  auto mixer = make_dnas(options, {.width = 1, .heads = 1});
  mixer->initialise(1, DType::f64);
  return mixer;
}

// Weights of heads whose scores are these: one-hot keys √S e_j, so that query i has its scores as numbers.
Tensor weights_of(nn::TokenMixer& mixer, const std::vector<std::vector<double>>& scores, bool causal) {
  const auto n = static_cast<int64_t>(scores.size()), width = static_cast<int64_t>(scores[0].size());
  std::vector<double> q, k(n * width, 0.0);
  for (const auto& row : scores) q.insert(q.end(), row.begin(), row.end());
  for (int64_t j = 0; j < n; ++j) k[j * width + j] = std::sqrt(static_cast<double>(width));
  nn::Call call = call_with({.causal = causal, .offset = 0, .keys = {}});
  Tensor A;
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  const Tensor K = Tensor::from(k, {1, 1, n, width});
  dynamic_cast<const ProjectedAttention&>(mixer).attend(Tensor::from(q, {1, 1, n, width}), K, K, call);
  return A;
}

// Of ten digits, or as many as `half`, half of the last one, says.
void check_rows(const Tensor& A, const std::vector<double>& expected, double half = 5e-11) {
  const std::vector<double> found = A.values<double>();
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - expected[i]) <= 1.01 * half);
}

}  // namespace

TEST_CASE("dnas: columns, then rows, against rows alone; causal by prefixes of columns; a single query weighs all keys alike (property 7; golden 3.5.6a, 3.5.6b, 3.5.6c and 3.5.6d)") {
  const auto mixer = mixer_of();
  const double never = -1e4;   // a query of such scores is in no column's sum
  const auto of_some = [&](nn::TokenMixer& by, std::vector<std::vector<double>> scores) {
    const auto queries = static_cast<int64_t>(scores.size());
    scores.resize(scores[0].size(), std::vector<double>(scores[0].size(), never));
    return slice(weights_of(by, scores, false), 2, 0, queries);
  };
  const std::vector<std::vector<double>> two{{1, 0, -1}, {2, 0.5, 0}};
  const auto plain = make_dot_product({.width = 1, .heads = 1});
  plain->initialise(1, DType::f64);
  const Tensor by_rows = of_some(*plain, two);
  check_rows(by_rows, {0.6652409558, 0.2447284711, 0.0900305732, 0.7361247243, 0.1642516276, 0.0996236481});
  check_rows(sum(by_rows, 2), {1.40137, 0.40898, 0.18965}, 5e-6);
  const Tensor of_two = of_some(*mixer, two);
  check_rows(of_two, {0.2937890692, 0.4124218616, 0.2937890692, 0.3506988507, 0.2986022987, 0.3506988507});
  check_rows(sum(of_two, 2), {0.644488, 0.711024, 0.644488}, 5e-7);
  const Tensor by_columns = transpose(softmax(Tensor::from(std::vector<double>{1, 2, 0, 0.5, -1, 0}, {3, 2})));
  check_rows(slice(by_columns, 0, 0, 1), {0.2689414214, 0.3775406688, 0.2689414214});
  check_rows(of_two, div(by_columns, sum(by_columns, 1, true)).values<double>(), 1e-15);
  check_rows(of_some(*mixer, {{5, -2, 0.5}}), {1 / 3., 1 / 3., 1 / 3.});   // one query (property 7)
  check_rows(weights_of(*mixer, {{0.5, 0, 0}, {1, -0.5, 0}, {0, 1, 2}}, true),
             {1, 0, 0, 0.3836517312, 0.6163482688, 0, 0.0929806331, 0.4079920210, 0.4990273459});
}

TEST_CASE("dnas: no key has less than 1/N of all weight, where softmax leaves one with nearly none; and rows sum to 1 (properties 1 and 2)") {
  const std::vector<std::vector<double>> scores{{1, 0, -30, 0}, {2, 0.5, -30, 0}, {0, 1, -30, 2}, {-1, 0, -30, 1}};
  const auto doubly = mixer_of();
  const Tensor A = weights_of(*doubly, scores, false);
  for (const double total : sum(A, 2).values<double>()) CHECK(total >= 0.25 - 1e-12);
  for (const double row : sum(A, 3).values<double>()) CHECK(row == doctest::Approx(1).epsilon(1e-14));
  const auto plain = make_dot_product({.width = 1, .heads = 1});
  plain->initialise(1, DType::f64);
  CHECK(min(sum(weights_of(*plain, scores, false), 2)).item() < 1e-12);
}

TEST_CASE("dnas: what depends on the key alone cancels (property 6)") {
  const auto mixer = mixer_of();
  const std::vector<std::vector<double>> scores{{1, 0, -1}, {2, 0.5, 0}, {-1, 0.25, 3}};
  std::vector<std::vector<double>> shifted = scores;
  for (auto& row : shifted) row[1] += 7, row[2] -= 3;
  CHECK(frobenius_error(weights_of(*mixer, scores, false).values<double>(), weights_of(*mixer, shifted, false).values<double>()) <
        1e-14);
}

TEST_CASE("dnas: a whole column under a causal mask would leak (golden 3.5.6e)") {
  // softmax over keys of s_tj − log Σ_i exp s_ij, all i, for the row (1, −0.5) of the golden example
  const double s[3][3] = {{0.5, 0, 0}, {1, -0.5, 0}, {0, 1, 2}};
  double c[2] = {0, 0};
  for (int j = 0; j < 2; ++j) {
    for (int i = j; i < 3; ++i) c[j] += std::exp(s[i][j]);
    c[j] = s[1][j] - std::log(c[j]);
  }
  const double leaky = std::exp(c[0]) / (std::exp(c[0]) + std::exp(c[1]));
  check_rows(Tensor::from(std::vector<double>{leaky, 1 - leaky}, {2}), {0.7351953004, 0.2648046996});
  const Tensor A = weights_of(*mixer_of(), {{0.5, 0, 0}, {1, -0.5, 0}, {0, 1, 2}}, true);
  CHECK(std::abs(A.values<double>()[3] - leaky) > 0.3);
}

TEST_CASE("dnas: a share of 0 is softmax, one of 1 doubly normalised (property 5)") {
  const std::vector<std::vector<double>> scores{{1, 0, -1}, {2, 0.5, 0}, {-1, 0.25, 3}};
  const auto hybrid = mixer_of(true), doubly = mixer_of();
  const auto plain = make_dot_product({.width = 1, .heads = 1});
  plain->initialise(1, DType::f64);
  const auto with = [&](double theta) {
    fill_(parameters_of(*hybrid).at("share")->value, theta);
    return weights_of(*hybrid, scores, false).values<double>();
  };
  CHECK(frobenius_error(with(-700), weights_of(*plain, scores, false).values<double>()) < 1e-14);
  CHECK(frobenius_error(with(700), weights_of(*doubly, scores, false).values<double>()) < 1e-14);
}

TEST_CASE("dnas: queries and keys may be permuted, each by themselves (property 3)") {
  const auto mixer = mixer_of();
  const std::vector<std::vector<double>> scores{{1, 0, -1}, {2, 0.5, 0}, {-1, 0.25, 3}};
  const std::vector<int32_t> order{2, 0, 1};
  std::vector<std::vector<double>> of_queries, of_keys = scores;
  for (const int32_t i : order) of_queries.push_back(scores[i]);
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) of_keys[i][j] = scores[i][order[j]];
  const Tensor A = weights_of(*mixer, scores, false), at = Tensor::from(order, {3});
  const auto same = [&](const std::vector<std::vector<double>>& moved, const Tensor& expected) {
    CHECK(frobenius_error(weights_of(*mixer, moved, false).values<double>(), expected.values<double>()) < 1e-14);
  };
  same(of_queries, index_select(A, 2, at));
  same(of_keys, index_select(A, 3, at));
}

TEST_CASE("dnas: where all columns have the same sum it is softmax (property 4)") {
  const std::vector<std::vector<double>> scores{{1, 0, -2}, {-2, 1, 0}, {0, -2, 1}};   // each row turned by one
  const auto plain = make_dot_product({.width = 1, .heads = 1});
  plain->initialise(1, DType::f64);
  CHECK(frobenius_error(weights_of(*mixer_of(), scores, false).values<double>(), weights_of(*plain, scores, false).values<double>()) <
        1e-14);
}

TEST_CASE("dnas: again and again, weights as the next scores, it becomes doubly stochastic (property 8)") {
  const auto mixer = mixer_of();
  std::vector<std::vector<double>> scores{{1, 0, -1}, {2, 0.5, 0}, {-1, 0.25, 3}};
  Tensor A;
  const auto farthest = [&] { return max(abs(affine(sum(A, 2), 1, -1))).item(); };   // of a column's sum from 1
  for (int round = 0; round < 100; ++round) {
    A = weights_of(*mixer, scores, false);
    if (round == 0) CHECK(farthest() > 0.1);
    const std::vector<double> logarithms = log(A).values<double>();
    for (size_t i = 0; i < 3; ++i) scores[i].assign(logarithms.begin() + static_cast<long>(3 * i), logarithms.begin() + static_cast<long>(3 * i + 3));
  }
  CHECK(farthest() < 1e-10);
}

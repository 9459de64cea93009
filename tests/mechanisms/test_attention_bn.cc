// Attention-BN: scalar loops over its full form, where keys are shifted too; what its normalisation makes invariant.
#include <doctest/doctest.h>

#include "attention/mechanisms/attention_bn.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "tests/mechanisms/normalisation_rules.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// The full form: s_tj = Σ_d (q_td − β μ_d)(k_jd − β μ_d) r_d / √D,  r = 1/(σ² + ε) or σ²,  over the n keys that query t sees
//   μ = Σ_j k_j / n,  σ² = (Σ_j (k_j − μ)² + κ)/(n + κ),  κ = 0 without a causal mask
// and by hand:  dq_td = Σ_j de_tj r_d (k_jd − βμ_d),  dk_jd = de_tj r_d (q_td − βμ_d) + dμ_d/n + dσ²_d 2 (k_jd − μ_d)/(n + κ),
//   dμ_d = −β Σ_j de_tj r_d (q + k − 2βμ)_d,  dr_d = Σ_j de_tj (q − βμ)_d (k − βμ)_d,  dβ = −Σ_jd de_tj r_d μ_d (q + k − 2βμ)_d
struct Normalised {
  const AttentionBnOptions& options;
  Values beta;   // of each head

  struct Statistics {
    double count = 0;
    Values mean, ratio;
  };

  Statistics of(const Sizes& n, const Values& k, int64_t b, int64_t h, int64_t t) const {
    Statistics own{0, Values(n.D, 0.0), Values(n.D, 0.0)};
    const double prior = n.causal ? options.prior : 0;
    for (int64_t j = 0; j < n.S; ++j) own.count += n.allowed(b, t, j);
    for (int64_t d = 0; d < n.D && own.count > 0; ++d) {
      for (int64_t j = 0; j < n.S; ++j)
        if (n.allowed(b, t, j)) own.mean[d] += k[n.key(b, h, j) + d] / own.count;
      double squares = prior;
      for (int64_t j = 0; j < n.S; ++j)
        if (n.allowed(b, t, j)) squares += (k[n.key(b, h, j) + d] - own.mean[d]) * (k[n.key(b, h, j) + d] - own.mean[d]);
      const double variance = squares / (own.count + prior);
      own.ratio[d] = options.deviation == "divide" ? 1 / (variance + options.epsilon) : variance;
    }
    return own;
  }

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    const double root = std::sqrt(static_cast<double>(n.D));
    Values e(n.B * n.H * n.T * n.S, 0.0);
    const auto each_row = [&](const auto& body) {
      for (int64_t b = 0; b < n.B; ++b)
        for (int64_t h = 0; h < n.H; ++h)
          for (int64_t t = 0; t < n.T; ++t) body(b, h, t, of(n, k, b, h, t));
    };
    each_row([&](int64_t b, int64_t h, int64_t t, const Statistics& own) {
      for (int64_t j = 0; j < n.S; ++j)
        for (int64_t d = 0; d < n.D && n.allowed(b, t, j); ++d)
          e[n.pair(b, h, t, j)] += (q[n.query(b, h, t) + d] - beta[h] * own.mean[d]) *
                                   (k[n.key(b, h, j) + d] - beta[h] * own.mean[d]) * own.ratio[d] / root;
    });
    const Values p = softmax(n, e), de = score_gradient(n, p, v, g);
    Values dq(q.size(), 0.0), dk(k.size(), 0.0), dbeta(n.H, 0.0);
    each_row([&](int64_t b, int64_t h, int64_t t, const Statistics& own) {
      const double prior = n.causal ? options.prior : 0;
      for (int64_t d = 0; d < n.D && own.count > 0; ++d) {
        const int64_t at = n.query(b, h, t) + d;
        const double shift = beta[h] * own.mean[d], ratio = own.ratio[d];
        double dmean = 0, dratio = 0;
        for (int64_t j = 0; j < n.S; ++j) {
          if (!n.allowed(b, t, j)) continue;
          const int64_t to = n.key(b, h, j) + d;
          const double slope = de[n.pair(b, h, t, j)] / root, both = q[at] + k[to] - 2 * shift;
          dq[at] += slope * ratio * (k[to] - shift);
          dk[to] += slope * ratio * (q[at] - shift);
          dmean -= beta[h] * slope * ratio * both;
          dbeta[h] -= slope * ratio * own.mean[d] * both;
          dratio += slope * (q[at] - shift) * (k[to] - shift);
        }
        const double dvariance = options.deviation == "divide" ? -ratio * ratio * dratio : dratio;
        for (int64_t j = 0; j < n.S; ++j)
          if (n.allowed(b, t, j))
            dk[n.key(b, h, j) + d] += dmean / own.count + 2 * dvariance * (k[n.key(b, h, j) + d] - own.mean[d]) / (own.count + prior);
      }
    });
    Attention result{mix(n, p, v), {{"q", dq}, {"k", dk}, {"v", value_gradient(n, p, g)}}};
    if (options.learned) result.gradients["beta"] = dbeta;
    return result;
  }
};

const Registered registered(
    {.mechanism = "attention_bn",
     .heads =
         [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
            const auto& g) {
           const auto& options = static_cast<const AttentionBnOptions&>(any);
           const auto found = parameters.find("beta");
           return Normalised{options, found == parameters.end() ? Values(sizes.H, options.beta)
                                                                : found->second->value.template values<double>()}
               .attend(sizes, q, k, v, g);
         },
     .rules = with_normalisation_rules({implementation_rule()}),
     .variants = {"beta = 1", "beta = 0", "beta = 0.5\nlearned = true", "deviation = 'multiply'", "prior = 0\nepsilon = 0.01",
                  "beta = 0.5\nlearned = true\nprior = 0\ndeviation = 'multiply'\nimplementation = 'fused'",
                  // the variance of one key is ε: what rounding leaves of its gradient, 0, is divided by ε²
                  "beta = 0.5\nlearned = true\nepsilon = 0.01\nimplementation = 'fused'"}});

Tensor attended(const nn::TokenMixer& mixer, const Tensor& Q, const Tensor& K, const Tensor& V) {
  return dynamic_cast<const ProjectedAttention&>(mixer).attend(Q, K, V, {});
}

}  // namespace

TEST_CASE("attention_bn: a common scale and shift of each feature of queries and keys changes nothing (property BN 2)") {
  AttentionBnOptions options;
  options.epsilon = 1e-12;
  const auto mixer = make_attention_bn(options, {.width = 8, .heads = 2});
  const Tensor Q = random_normal({2, 2, 6, 4}, 1, "Q"), K = random_normal({2, 2, 6, 4}, 1, "K"),
               V = random_normal({2, 2, 6, 4}, 1, "V"), scale = affine(random_normal({4}, 1, "scale"), 0.25, 2),
               shift = random_normal({4}, 1, "shift");
  const auto moved = [&](const Tensor& x) { return add(mul(x, scale), shift); };
  CHECK(frobenius_error(attended(*mixer, moved(Q), moved(K), V).values<double>(), attended(*mixer, Q, K, V).values<double>()) <
        1e-9);
}

TEST_CASE("attention_bn: of keys with mean 0 and variance 1 it is the dot product (property BN 3)") {
  AttentionBnOptions options;
  options.epsilon = 1e-12;
  const Tensor Q = random_normal({1, 2, 8, 4}, 1, "Q"), V = random_normal({1, 2, 8, 4}, 1, "V");
  Tensor K = random_normal({1, 2, 8, 4}, 1, "K");
  K = sub(K, mean(K, 2, true));
  K = div(K, sqrt(mean(square(K), 2, true)));
  const auto normalised = make_attention_bn(options, {.width = 8, .heads = 2}), plain = make_dot_product({.width = 8, .heads = 2});
  CHECK(frobenius_error(attended(*normalised, Q, K, V).values<double>(), attended(*plain, Q, K, V).values<double>()) < 1e-11);
}

TEST_CASE("attention_bn: under a causal mask a common shift of all keys costs no digits, in f32 either") {
  AttentionBnOptions options;
  options.beta = 1;
  const auto mixer = make_attention_bn(options, {.width = 8, .heads = 2});
  const nn::Call call = call_with({.causal = true, .offset = 0, .keys = {}});
  const Tensor Q = random_normal({1, 2, 12, 4}, 1, "Q").to(DType::f32), K = random_normal({1, 2, 12, 4}, 1, "K").to(DType::f32),
               V = random_normal({1, 2, 12, 4}, 1, "V").to(DType::f32);
  const auto of = [&](double shift) {
    return dynamic_cast<const ProjectedAttention&>(*mixer)
        .attend(affine(Q, 1, shift), affine(K, 1, shift), V, call)
        .to(DType::f64)
        .values<double>();
  };
  CHECK(frobenius_error(of(256), of(0)) < 1e-3);   // tokens near 256 are themselves rounded by 10⁻⁵; sums of squares, by 10⁻²
}

TEST_CASE("attention_bn: statistics of a whole sequence under a causal mask would leak, and those of this row do not") {
  const Tensor Q = random_normal({1, 1, 6, 4}, 1, "Q"), K = random_normal({1, 1, 6, 4}, 1, "K"),
               V = random_normal({1, 1, 6, 4}, 1, "V");
  const Tensor other = concat({slice(K, 2, 0, 5), affine(slice(K, 2, 5, 1), 3, 1)}, 2);   // another last key
  const nn::Call call = call_with({.causal = true, .offset = 0, .keys = {}});
  const auto first_rows = [](const Tensor& y) { return slice(y, 2, 0, 5).values<double>(); };
  const auto as_published = [&](const Tensor& k) {
    const Tensor centre = mean(k, 2, true), deviation = sqrt(mean(square(sub(k, centre)), 2, true));
    const auto normal = [&](const Tensor& x) { return div(sub(x, centre), deviation); };
    return first_rows(matmul(softmax(affine(matmul(normal(Q), transpose(normal(k))), 0.5, 0), call.mask), V));
  };
  CHECK(frobenius_error(as_published(other), as_published(K)) > 1e-2);
  const auto mixer = make_attention_bn({}, {.width = 4, .heads = 1});
  const auto as_here = [&](const Tensor& k) {
    return first_rows(dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, k, V, call));
  };
  CHECK(as_here(other) == as_here(K));
}

TEST_CASE("attention_bn: what is the same for all keys of a query may be left away (property BN 1)") {
  const auto mixer = make_attention_bn({}, {.width = 8, .heads = 2});
  const Tensor Q = random_normal({1, 2, 6, 4}, 1, "Q"), K = random_normal({1, 2, 6, 4}, 1, "K"), V = random_normal({1, 2, 6, 4}, 1, "V");
  const AttentionBnOptions options;
  const Tensor centre = mean(K, 2, true), variance = mean(square(sub(K, centre)), 2, true);
  const Tensor queries = div(sub(Q, affine(centre, options.beta, 0)), affine(variance, 1, options.epsilon));
  const Tensor simplified = matmul(softmax(affine(matmul(queries, transpose(K)), 0.5, 0)), V);   // the keys are not centred
  CHECK(frobenius_error(attended(*mixer, Q, K, V).values<double>(), simplified.values<double>()) < 1e-13);
}

TEST_CASE("attention_bn: multiplied with, deviations have no ε, as in the public code") {
  AttentionBnOptions options;
  options.deviation = "multiply";
  const auto mixer = make_attention_bn(options, {.width = 8, .heads = 2});
  const Tensor K = affine(random_normal({1, 2, 6, 4}, 1, "K"), 1e-2, 0);   // variances near 10⁻⁴, which ε would raise by a tenth
  const Tensor Q = affine(random_normal({1, 2, 6, 4}, 1, "Q"), 1e4, 0), V = random_normal({1, 2, 6, 4}, 1, "V");
  const Tensor centre = mean(K, 2, true), deviation = sqrt(mean(square(sub(K, centre)), 2, true));
  const auto normal = [&](const Tensor& x) { return mul(sub(x, centre), deviation); };
  const Tensor published = matmul(softmax(affine(matmul(normal(Q), transpose(normal(K))), 0.5, 0)), V);
  CHECK(frobenius_error(attended(*mixer, Q, K, V).values<double>(), published.values<double>()) < 1e-13);
}

TEST_CASE("attention_bn: its claims hold with a learned β too: rows sum to 1, order, later tokens, gradients (properties BN 4, 5, 6 and 8)") {
  check_all_hold(prove(mechanism("attention_bn"), *options_of("attention_bn", "learned = true"), 3));
}

TEST_CASE("attention_bn: with β = 0 and deviations of 1 it is the dot product (property BN 7)") {
  AttentionBnOptions options;
  options.epsilon = 1e-12;
  options.beta = 0;
  const Tensor Q = random_normal({1, 2, 8, 4}, 1, "Q"), V = random_normal({1, 2, 8, 4}, 1, "V");
  Tensor K = random_normal({1, 2, 8, 4}, 1, "K");
  const Tensor centred = sub(K, mean(K, 2, true));
  K = affine(div(centred, sqrt(mean(square(centred), 2, true))), 1, 3);
  const auto normalised = make_attention_bn(options, {.width = 8, .heads = 2}), plain = make_dot_product({.width = 8, .heads = 2});
  CHECK(frobenius_error(attended(*normalised, Q, K, V).values<double>(), attended(*plain, Q, K, V).values<double>()) < 1e-11);
}

TEST_CASE("attention_bn: β has a gradient, but for keys that are all alike (property BN 8)") {
  const auto mixer = make_attention_bn(static_cast<const AttentionBnOptions&>(*options_of("attention_bn", "learned = true")),
                                       {.width = 8, .heads = 2});
  mixer->initialise(1, DType::f64);
  const Tensor Q = random_normal({1, 2, 6, 4}, 1, "Q"), K = random_normal({1, 2, 6, 4}, 1, "K"), V = random_normal({1, 2, 6, 4}, 1, "V");
  const auto slope = [&](const Tensor& keys) {
    return max(abs(grad({sum(square(attended(*mixer, Q, keys, V)))}, {mixer->parameter_at("beta").value})[0])).item();
  };
  CHECK(slope(K) > 1e-3);
  CHECK(slope(expand(slice(K, 2, 0, 1), K.shape())) < 1e-9);
}

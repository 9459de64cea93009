// Attention-SH: scalar loops over windows; the properties SH 1 to 6; windows of a grid;
// what would leak under a causal mask.
#include <doctest/doctest.h>

#include "attention/mechanisms/attention_sh.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "tensor/dry_run.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/normalisation_rules.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// What a query reads: means over sets e of keys, the windows and, under a causal mask where r > 1, the set of its own key.
//   s_e = q·k̄_e/√D, p = softmax(s), o = Σ p_e v̄_e;  ds_e = p_e (g·v̄_e − Σ p g·v̄),
//   dq = Σ ds_e k̄_e/√D,  dk_j = Σ_{e ∋ j} dk̄_e/|e|, dk̄_e = ds_e q/√D,  dv_j = Σ_{e ∋ j} p_e g/|e|
// Normalised, with μ and σ² of the W windows among the sets (κ tokens of variance 1 more under a causal mask):
//   s_e = Σ_d (q − βμ)_d (k̄_e − βμ)_d r_d /√D,  σ² = (Σ_w (k̄_w − μ)² + κ)/(W + κ),  r = 1/(σ² + ε), or σ² where multiplied with
//   dq_d = Σ ds_e r (k̄_e − βμ), dk̄_e = ds_e r (q − βμ), and for windows dμ/W + 2 (k̄_w − μ) dσ²/(W + κ), where
//   dμ = −β Σ ds_e r (q + k̄_e − 2 βμ), dβ = −Σ_d Σ ds_e r μ (q + k̄_e − 2 βμ), dr = Σ ds_e (q − βμ)(k̄_e − βμ), dσ² = −r² dr or dr
struct Pooled {
  const AttentionShOptions& options;
  Values beta;   // of each head
  nn::Places places{};

  // Of tokens in a sequence, or of class tokens, each by itself, and squares of cells.
  std::vector<std::vector<int64_t>> all_windows(int64_t S, int64_t r) const {
    std::vector<std::vector<int64_t>> all;
    const int64_t alone = places.class_tokens, R = places.rows, W = places.columns;
    for (int64_t first = 0; first < S && R == 0; first += r) {
      all.emplace_back();
      for (int64_t j = first; j < std::min(S, first + r); ++j) all.back().push_back(j);
    }
    for (int64_t j = 0; j < alone; ++j) all.push_back({j});
    for (int64_t top = 0; top < R; top += r)
      for (int64_t left = 0; left < W; left += r) {
        all.emplace_back();
        for (int64_t i = top; i < std::min(R, top + r); ++i)
          for (int64_t j = left; j < std::min(W, left + r); ++j) all.back().push_back(alone + i * W + j);
      }
    return all;
  }

  std::vector<std::vector<int64_t>> read(const Sizes& n, int64_t b, int64_t t, int64_t r, size_t& windows) const {
    const auto counts = [&](int64_t j) { return n.present.empty() || n.present[b * n.S + j] != 0; };
    std::vector<std::vector<int64_t>> sets;
    for (const std::vector<int64_t>& window : all_windows(n.S, r)) {
      if (n.causal && window.front() + r - 1 > t + n.offset) break;   // not ended, whether or not the sequence goes on
      std::vector<int64_t> own;
      std::copy_if(window.begin(), window.end(), std::back_inserter(own), counts);
      if (!own.empty()) sets.push_back(own);
    }
    windows = sets.size();
    if (n.causal && r > 1 && counts(t + n.offset)) sets.push_back({t + n.offset});
    return sets;
  }

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    Values o(q.size(), 0.0), dq(q.size(), 0.0), dk(k.size(), 0.0), dv(v.size(), 0.0), dbeta(n.H, 0.0);
    const bool divide = options.deviation == "divide";
    const double root = std::sqrt(static_cast<double>(n.D));
    for (int64_t row = 0; row < n.B * n.H * n.T; ++row) {
      const int64_t b = row / (n.H * n.T), h = row / n.T % n.H, t = row % n.T;
      size_t windows = 0;
      const auto sets = read(n, b, t, options.factors[h % options.factors.size()], windows);
      const auto average = [&](const Values& x, size_t e, int64_t d) {
        double sum = 0;
        for (const int64_t j : sets[e]) sum += x[n.key(b, h, j) + d];
        return sum / static_cast<double>(sets[e].size());
      };
      const auto W = static_cast<double>(windows), prior = n.causal ? options.prior : 0.0;
      Values mu(n.D, 0.0), ratio(n.D, 1.0);
      for (int64_t d = 0; d < n.D && options.normalised && windows > 0; ++d) {
        double squares = prior;
        for (size_t e = 0; e < windows; ++e) mu[d] += average(k, e, d) / W;
        for (size_t e = 0; e < windows; ++e) squares += std::pow(average(k, e, d) - mu[d], 2);
        ratio[d] = divide ? 1 / (squares / (W + prior) + options.epsilon) : squares / (W + prior);
      }
      Values p(sets.size(), 0.0), dp(sets.size(), 0.0);
      double total = 0, expected = 0, top = -INFINITY;
      for (size_t e = 0; e < sets.size(); ++e) {
        for (int64_t d = 0; d < n.D; ++d)
          p[e] += (q[row * n.D + d] - beta[h] * mu[d]) * (average(k, e, d) - beta[h] * mu[d]) * ratio[d] / root;
        top = std::max(top, p[e]);
      }
      for (double& share : p) total += share = std::exp(share - top);
      for (size_t e = 0; e < sets.size(); ++e) {
        p[e] /= total;
        for (int64_t d = 0; d < n.D; ++d) {
          o[row * n.D + d] += p[e] * average(v, e, d);
          dp[e] += g[row * n.D + d] * average(v, e, d);
        }
        expected += p[e] * dp[e];
      }
      for (int64_t d = 0; d < n.D; ++d) {
        Values of_sets(sets.size());   // dk̄_e
        double dmu = 0, dvariance = 0;
        for (size_t e = 0; e < sets.size(); ++e) {
          const double ds = p[e] * (dp[e] - expected) / root, from_q = q[row * n.D + d] - beta[h] * mu[d],
                       from_k = average(k, e, d) - beta[h] * mu[d];
          dq[row * n.D + d] += ds * ratio[d] * from_k;
          of_sets[e] = ds * ratio[d] * from_q;
          dmu -= beta[h] * ds * ratio[d] * (from_q + from_k);
          dbeta[h] -= mu[d] * ds * ratio[d] * (from_q + from_k);
          dvariance += (divide ? -ratio[d] * ratio[d] : 1) * ds * from_q * from_k;
        }
        for (size_t e = 0; e < windows && options.normalised; ++e)
          of_sets[e] += dmu / W + 2 * (average(k, e, d) - mu[d]) * dvariance / (W + prior);
        for (size_t e = 0; e < sets.size(); ++e)
          for (const int64_t j : sets[e]) {
            dk[n.key(b, h, j) + d] += of_sets[e] / static_cast<double>(sets[e].size());
            dv[n.key(b, h, j) + d] += p[e] * g[row * n.D + d] / static_cast<double>(sets[e].size());
          }
      }
    }
    Attention result{o, {{"q", dq}, {"k", dk}, {"v", dv}}};
    if (options.learned) result.gradients["beta"] = dbeta;
    return result;
  }
};

Refusals refused_lists() {
  Refusals all;
  for (const char* value : {"2", "[]", "[ 0 ]", "[ 1, 4097 ]", "[ 1.5 ]", "'1'"})
    all.emplace_back(value, "must be a list of one or more whole numbers in 1 … 4096, found " + std::string(value));
  return all;
}

const Registered registered(
    {.mechanism = "attention_sh",
     .heads =
         [](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
            const auto& g) {
           const auto& options = static_cast<const AttentionShOptions&>(any);
           const auto found = parameters.find("beta");
           const Values beta =
               found == parameters.end() ? Values(sizes.H, options.beta) : found->second->value.template values<double>();
           return Pooled{options, beta}.attend(sizes, q, k, v, g);
         },
     .rules = with_normalisation_rules(
         {{"factors", {"[1]", "[2]", "[1, 3]", "[1, 2, 4, 8]"}, {"[4096]"}, refused_lists()}, truth("normalised")},
         "normalised = true"),
     .variants = {"factors = [1, 2, 4, 8]", "factors = [1]", "factors = [3]", "factors = [2, 7]", "normalised = true",
                  "factors = [3, 2]\nnormalised = true", "normalised = true\nbeta = 0.5\nlearned = true\nprior = 2",
                  "factors = [3, 2]\nnormalised = true\nbeta = 0.5\ndeviation = 'multiply'",
                  "factors = [2]\nnormalised = true\nlearned = true\ndeviation = 'multiply'\nprior = 0",
                  "normalised = true\nbeta = 0\nepsilon = 0.01\nprior = 0"}});

std::unique_ptr<nn::TokenMixer> mixer_of(const nn::Numbers& factors, const MixerShape& shape = {.width = 8, .heads = 2}) {
  AttentionShOptions options;
  options.factors = factors;
  return make_attention_sh(options, shape);
}

Tensor attended(const nn::TokenMixer& mixer, const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask = {}) {
  return dynamic_cast<const ProjectedAttention&>(mixer).attend(Q, K, V, call_with(mask));
}

struct Drawn {
  explicit Drawn(int64_t T = 8) : shape{1, 2, T, 4} {}
  Shape shape;
  Tensor Q = random_normal(shape, 1, "Q"), K = random_normal(shape, 1, "K"), V = random_normal(shape, 1, "V");
};

double distance_of(const Tensor& x, const Tensor& y) { return frobenius_error(x.values<double>(), y.values<double>()); }

// softmax(q (P k)ᵀ/√D) P v, a row of P for each window: 1/size at its keys
Tensor by_matrix(const Drawn& x, const std::vector<std::vector<int64_t>>& windows) {
  const int64_t S = x.K.size(2), N = static_cast<int64_t>(windows.size());
  Values p(N * S, 0.0);
  for (int64_t b = 0; b < N; ++b)
    for (const int64_t s : windows[b]) p[b * S + s] = 1 / static_cast<double>(windows[b].size());
  const Tensor P = Tensor::from(p, {N, S});
  return matmul(softmax(affine(matmul(x.Q, transpose(matmul(P, x.K))), 0.5, 0)), matmul(P, x.V));
}

const Mask causal{.causal = true, .offset = 0, .keys = {}};

}  // namespace

TEST_CASE("attention_sh: with all factors 1 it is softmax attention (property SH 1)") {
  const Drawn x;
  const auto plain = make_dot_product({.width = 8, .heads = 2});
  const Mask padded{.causal = true, .offset = 0, .keys = Tensor::from<uint8_t>({1, 0, 1, 1, 1, 1, 0, 0}, {1, 8})};
  for (const Mask& mask : {Mask{}, causal, padded})
    CHECK(distance_of(attended(*mixer_of({1}), x.Q, x.K, x.V, mask), attended(*plain, x.Q, x.K, x.V, mask)) < 1e-14);
}

TEST_CASE("attention_sh: with a window of all tokens every query gets the mean of the values (property SH 2)") {
  const Drawn x;
  CHECK(distance_of(attended(*mixer_of({8}), x.Q, x.K, x.V), expand(mean(x.V, 2, true), x.shape)) < 1e-14);
}

TEST_CASE("attention_sh: values that are all alike come out as they are (property SH 3)") {
  const Drawn x(7);
  const Tensor V = expand(slice(x.V, 2, 0, 1), x.shape);
  for (const Mask& mask : {Mask{}, causal}) CHECK(distance_of(attended(*mixer_of({3, 4}), x.Q, x.K, V, mask), V) < 1e-14);
}

TEST_CASE("attention_sh: keys may change places within a window, and not across (property SH 4)") {
  const Drawn x;
  const auto mixer = mixer_of({4});
  const auto with_order = [&](const std::vector<int32_t>& order) {
    const Tensor rows = Tensor::from(order, {8});
    return attended(*mixer, x.Q, index_select(x.K, 2, rows), index_select(x.V, 2, rows));
  };
  const Tensor y = attended(*mixer, x.Q, x.K, x.V);
  CHECK(distance_of(with_order({2, 0, 3, 1, 7, 6, 5, 4}), y) < 1e-14);
  CHECK(distance_of(with_order({4, 1, 2, 3, 0, 5, 6, 7}), y) > 1e-3);
}

TEST_CASE("attention_sh: it is attention to keys that a pooling matrix makes, the last window cut short (property SH 5)") {
  const Drawn x;
  CHECK(distance_of(attended(*mixer_of({3}), x.Q, x.K, x.V), by_matrix(x, {{0, 1, 2}, {3, 4, 5}, {6, 7}})) < 1e-14);
}

TEST_CASE("attention_sh: a window counts the tokens that are there, and one without any is not read (property SH 6)") {
  const Drawn x;
  const Mask padded{.causal = false, .offset = 0, .keys = Tensor::from<uint8_t>({1, 0, 1, 0, 0, 0, 1, 1}, {1, 8})};
  CHECK(distance_of(attended(*mixer_of({3}), x.Q, x.K, x.V, padded), by_matrix(x, {{0, 2}, {6, 7}})) < 1e-14);
}

TEST_CASE("attention_sh: under a causal mask a query reads the windows that ended, and itself (property SH 6)") {
  const Drawn x(10);
  const Tensor V = requires_grad(x.V.detach());
  const Tensor y = attended(*mixer_of({4}), x.Q, x.K, V, causal);
  const auto read_by = [&](int64_t t) {
    const Tensor g = grad({sum(slice(y, 2, t, 1))}, {V}, {}, {.retain = true})[0];
    std::vector<int64_t> tokens;
    for (int64_t s = 0; s < 10; ++s)
      if (max(abs(slice(g, 2, s, 1))).item() != 0) tokens.push_back(s);
    return tokens;
  };
  nn::Call call = call_with(causal);
  Tensor A;
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  dynamic_cast<const ProjectedAttention&>(*mixer_of({4})).attend(x.Q, x.K, x.V, call);
  CHECK(A.shape() == Shape{1, 2, 10, 10});
  CHECK(read_by(0) == std::vector<int64_t>{0});
  CHECK(read_by(2) == std::vector<int64_t>{2});
  CHECK(read_by(3) == std::vector<int64_t>{0, 1, 2, 3});
  CHECK(read_by(6) == std::vector<int64_t>{0, 1, 2, 3, 6});
  CHECK(read_by(9) == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 9});   // not of {8, 9}, which 10 and 11 would change
}

TEST_CASE("attention_sh: a window that is read as soon as it begins would leak, and those of this row do not") {
  const Drawn x;
  Drawn other = x;
  other.V = concat({slice(x.V, 2, 0, 7), affine(slice(x.V, 2, 7, 1), 3, 1)}, 2);   // another last token
  const auto as_begun = [](const Drawn& tokens) {
    return slice(by_matrix(tokens, {{0, 1}, {2, 3}, {4, 5}, {6, 7}}), 2, 6, 1);
  };
  CHECK(distance_of(as_begun(other), as_begun(x)) > 1e-2);   // query 6 reads all windows that have begun
  const auto mixer = mixer_of({2});
  const auto here = [&](const Drawn& tokens) {
    return slice(attended(*mixer, tokens.Q, tokens.K, tokens.V, causal), 2, 0, 7);
  };
  CHECK(here(other).values<double>() == here(x).values<double>());
}

TEST_CASE("attention_sh: normalised it is Attention-BN, with all its options, where factors are 1, and of the means that a matrix makes") {
  const Drawn x;
  const auto means = [](const Tensor& all) { return mean(reshape(all, {1, 2, 4, 2, 4}), 3); };
  for (const char* keys :
       {"", "beta = 0.5\nprior = 3\nepsilon = 0.01", "learned = true\nbeta = -0.5", "deviation = 'multiply'\nbeta = 2"}) {
    CAPTURE(keys);
    const MixerShape shape{.width = 8, .heads = 2};
    const auto made = [&](const char* name, const std::string& more) {
      auto mixer = mechanism(name).make(*options_of(name, keys + more), shape);
      mixer->initialise(1, DType::f64);
      if (std::string(keys).find("learned") == 0)   // each head its own
        mixer->parameter_at("beta").value = Tensor::from(Values{-0.5, 1.5}, {2});
      return mixer;
    };
    const auto sister = made("attention_bn", ""), upon_itself = made("attention_sh", "\nnormalised = true\nfactors = [1]"),
               upon_means = made("attention_sh", "\nnormalised = true\nfactors = [2]");
    for (const Mask& mask : {Mask{}, causal})
      CHECK(distance_of(attended(*upon_itself, x.Q, x.K, x.V, mask), attended(*sister, x.Q, x.K, x.V, mask)) < 1e-14);
    CHECK(distance_of(attended(*upon_means, x.Q, x.K, x.V), attended(*sister, x.Q, means(x.K), means(x.V))) < 1e-14);
  }
}

TEST_CASE("attention_sh: on a grid windows are squares of cells, cut short at its edges, and class tokens stay alone") {
  const Drawn x(16);   // a class token and 3 × 5 cells
  const MixerShape shape{.width = 8, .heads = 2,
                         .places = {.kind = nn::Places::Kind::grid, .class_tokens = 1, .rows = 3, .columns = 5}};
  const std::vector<std::vector<int64_t>> windows{{0}, {1, 2, 6, 7}, {3, 4, 8, 9}, {5, 10}, {11, 12}, {13, 14}, {15}};
  const auto mixer = mixer_of({2}, shape);
  CHECK(distance_of(attended(*mixer, x.Q, x.K, x.V), by_matrix(x, windows)) < 1e-14);
  CHECK(mixer->needs() == nn::Needs{.all_tokens = true, .any_distance = true, .order = true, .heads = 1});
  const Drawn fewer(12);
  CHECK(message_of([&] { attended(*mixer, fewer.Q, fewer.K, fewer.V); }) ==
        "attention_sh: the grid has 16 tokens, got 12 keys");
}

TEST_CASE("attention_sh: on a grid it equals scalar loops, with every gradient, padding and class tokens too") {
  const std::vector<uint8_t> some{1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1};
  for (const nn::Places& grid : {nn::Places{.kind = nn::Places::Kind::grid, .class_tokens = 1, .rows = 3, .columns = 2},
                                 nn::Places{.kind = nn::Places::Kind::grid, .class_tokens = 0, .rows = 1, .columns = 7}})
    for (const char* const keys : {"factors = [1, 2]", "factors = [3, 2]\nnormalised = true"})
      for (const int64_t T : {7, 3})
        for (const bool padded : {false, true}) {
          const Sizes n{.B = 2, .H = 2, .T = T, .S = 7, .D = 4, .present = padded ? some : std::vector<uint8_t>()};
          const auto options = options_of("attention_sh", keys);
          const Subject subject("attention_sh", *options, n, 1, Reach::heads, {.places = grid});
          const Oracle oracle{.mechanism = "attention_sh",
                              .heads = [&](const auto& any, const auto&, const auto& sizes, const auto& q, const auto& k,
                                           const auto& v, const auto& g) {
                                const auto& own = static_cast<const AttentionShOptions&>(any);
                                return Pooled{own, Values(sizes.H, own.beta), grid}.attend(sizes, q, k, v, g);
                              }};
          CHECK(from_truth(subject, subject.expected(*options, oracle), keys).within_bounds());
        }
}

TEST_CASE("attention_sh: windows make the order of tokens matter, and it says so; prove rejects the claim") {
  Mechanism claiming = mechanism("attention_sh");
  AttentionShOptions options;
  CHECK(!claiming.claims(options).equivariant);
  claiming.claims = always(Claims{.equivariant = true});
  CHECK(!prove(claiming, options, 1).front().holds);
}

TEST_CASE("attention_sh: no factors, and under a causal mask a query that is no key, are refused") {
  CHECK(message_of([] { mixer_of({}); }) == "attention_sh: factors must have a number");
  CHECK(message_of([] { mixer_of({1, 0}); }) == "attention_sh: factors must be in 1 … 4096, got 0");
  for (const auto& [factors, heads] : std::vector<std::pair<nn::Numbers, int64_t>>{{{1}, 1}, {{2, 1}, 1}, {{1, 1, 4}, 3}})
    CHECK(mixer_of(factors)->needs().heads == heads);
  CHECK(message_of([] { nn::require_met("model", mixer_of({1, 1, 4})->needs(), {.width = 8, .heads = 2}); }) ==
        "model: the attention of block 0 needs at least 3 heads, got 2");
  const Drawn x;
  const Mask later{.causal = true, .offset = 1, .keys = {}};
  CHECK(message_of([&] { attended(*mixer_of({2}), x.Q, x.K, x.V, later); }) ==
        "attention_sh: under a causal mask queries are keys too, got 8 of them at offset 1 for 8 keys; hint: give the keys of "
        "the queries, after those of earlier tokens");
}

TEST_CASE("attention_sh: it costs 4 D operations for each pair of a query and a window, in a sequence and on a grid (golden 2.5.3)") {
  const auto operations = [](const nn::Numbers& factors, const MixerShape& shape, int64_t T) {
    const auto mixer = mixer_of(factors, shape);
    const DryRun dry;
    mixer->initialise(1, DType::f32);
    const Tensor Q = Tensor::zeros({1, shape.heads, T, 4});
    attended(*mixer, Q, Q, Q);
    int64_t all = 0;
    for (const auto& own : dry.operations()) all += own.second;
    return all;
  };
  const MixerShape row{.width = 8, .heads = 2};
  const auto grid = [](int64_t rows, int64_t columns) {
    return MixerShape{.width = 8, .heads = 2,
                      .places = {.kind = nn::Places::Kind::grid, .class_tokens = 1, .rows = rows, .columns = columns}};
  };
  CHECK(operations({3}, row, 9) == 2 * 4 * 4 * 9 * 3);   // heads, 4 D, queries, windows
  CHECK(operations({3}, row, 10) == 2 * 4 * 4 * 10 * 4);
  CHECK(operations({2}, grid(3, 5), 16) == 2 * 4 * 4 * 16 * 7);
  CHECK(operations({2}, grid(2, 4), 9) == 2 * 4 * 4 * 9 * 3);
  const MixerShape four{.width = 16, .heads = 4};
  CHECK(32 * operations({1, 2, 4, 8}, four, 16) == 15 * operations({1}, four, 16));   // 47 %
}

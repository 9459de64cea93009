// Linear attention: scalar loops over pairs, the explicit matrix, sums over all keys, chunks of every size, padding and token
// by token are one function; its operations and memory grow with the tokens, not with their square.
#include <doctest/doctest.h>

#include "attention/kernels/mix.h"
#include "attention/mechanisms/linear.h"
#include "autograd/backward.h"
#include "autograd/ops.h"
#include "autograd/tolerance.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// Over pairs, φ(x) = elu(x) + 1, with gradients by hand:
//
//   w_ts = φ(q_t)·φ(k_s),  a_ts = w_ts/(Σ_s′ w_ts′ + ε),  o_t = Σ_s a_ts v_s
//   da_ts = ⟨g_t, v_s⟩,  dw_ts = (da_ts − Σ_s′ a_ts′ da_ts′)/(Σ_s′ w_ts′ + ε),  dφ(q_t) = Σ_s dw_ts φ(k_s),
//   dφ(k_s) = Σ_t dw_ts φ(q_t)
struct Linear {
  double epsilon = 0;

  static double feature(double x) { return x > 0 ? x + 1 : std::exp(x); }
  static double slope(double x) { return x > 0 ? 1 : std::exp(x); }

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    Values a(n.B * n.H * n.T * n.S, 0.0), total(n.B * n.H * n.T, epsilon), mean(total.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) a[i] += feature(q[n.query(b, h, t) + d]) * feature(k[n.key(b, h, s) + d]);
      total[i / n.S] += a[i];
    });
    n.each_pair([&](auto b, auto h, auto t, auto s) { a[n.pair(b, h, t, s)] /= total[n.pair(b, h, t, s) / n.S]; });
    Attention result{mix(n, a, v), {{"v", value_gradient(n, a, g)}}};

    Values da(a.size(), 0.0), dq(q.size(), 0.0), dk(k.size(), 0.0);
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      for (int64_t d = 0; d < n.D; ++d) da[i] += g[n.query(b, h, t) + d] * v[n.key(b, h, s) + d];
      mean[i / n.S] += a[i] * da[i];
    });
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const int64_t i = n.pair(b, h, t, s);
      const double dw = (da[i] - mean[i / n.S]) / total[i / n.S];
      for (int64_t d = 0; d < n.D; ++d) {
        const int64_t at_q = n.query(b, h, t) + d, at_k = n.key(b, h, s) + d;
        dq[at_q] += dw * feature(k[at_k]) * slope(q[at_q]);
        dk[at_k] += dw * feature(q[at_q]) * slope(k[at_k]);
      }
    });
    result.gradients["q"] = dq;
    result.gradients["k"] = dk;
    return result;
  }
};

const Registered registered({
    .mechanism = "linear",
    .heads = [](const auto& any, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
      return Linear{static_cast<const LinearOptions&>(any).epsilon}.attend(sizes, q, k, v, g);
    },
    .rules = {{"epsilon", {"0", "0.1", "1"}, {},
               {{"-1e-9", "must be a number in 0 … 1, found -1e-09"}, {"1.1", "must be a number in 0 … 1, found 1.1"},
                {"nan", "must be a number in 0 … 1, found nan"}, {"'1'", "must be a number in 0 … 1, found '1'"}}},
              chunk_rule()},
    .variants = {"epsilon = 0\nchunk = 3", "epsilon = 1e-6\nchunk = 3"}});

std::unique_ptr<StateAttention> mixer_of(int64_t chunk, double epsilon = 0) {
  LinearOptions options;
  options.chunk = chunk;
  options.epsilon = epsilon;
  auto mixer = make_linear(options, {.width = 8, .heads = 2});
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  return mixer;
}

struct Heads {
  explicit Heads(int64_t T, int64_t S)
      : Q(requires_grad(random_normal({2, 2, T, 4}, 1, "Q"))), K(requires_grad(random_normal({2, 2, S, 4}, 1, "K"))),
        V(requires_grad(random_normal({2, 2, S, 4}, 1, "V"))), g(random_normal({2, 2, T, 4}, 1, "g")) {}

  // y and the gradients of Q, K and V.
  std::vector<Values> all(const Tensor& y) const {
    std::vector<Values> values{y.values<double>()};
    for (const Tensor& one : grad({y}, {Q, K, V}, {g}, {.allow_constants = true})) values.push_back(one.values<double>());
    return values;
  }

  Tensor Q, K, V, g;
};

// Some gradients vanish but for rounding: a query that sees one key has no choice.
void check_equal(const std::vector<Values>& found, const std::vector<Values>& expected) {
  for (size_t i = 0; i < found.size(); ++i)
    for (size_t j = 0; j < found[i].size(); ++j)
      CHECK(error_of(found[i][j], expected[i][j], 1 + std::abs(expected[i][j])) <= 1e-12);
}

}  // namespace

TEST_CASE("linear: full, padded, and causal by chunks of every size equal the explicit matrix, forward and gradients") {
  const Tensor present = Tensor::from(std::vector<uint8_t>{1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 0}, {2, 7});
  for (const double epsilon : {0.0, 1e-6}) {
    for (const int64_t T : {1, 4, 7}) {
      const Heads heads(T, 7);
      for (const bool padded : {false, true}) {
        const Tensor keys = padded ? present : Tensor();
        const auto explicit_form = mixer_of(64, epsilon);
        const auto check_form = [&](const Mask& mask, int64_t chunk) {
          CAPTURE(T);
          CAPTURE(chunk);
          CAPTURE(mask.offset);
          const nn::Call call = call_with(mask);
          const Tensor K = without_hidden(heads.K, mask), V = without_hidden(heads.V, mask);
          check_equal(heads.all(mixer_of(chunk, epsilon)->attend(heads.Q, heads.K, heads.V, call)),
                      heads.all(explicit_form->explicit_form(heads.Q, K, V, call)));
        };
        check_form({.causal = false, .offset = 0, .keys = keys}, 64);
        for (const int64_t offset : {-9, -2, 0, 3, 6, 9})
          for (int64_t chunk = 1; chunk <= 8; ++chunk) check_form({.causal = true, .offset = offset, .keys = keys}, chunk);
      }
    }
  }
}

TEST_CASE("linear: a chunk has a query at least") {
  struct Chunked final : StateAttention {
    explicit Chunked(int64_t chunk) : StateAttention({.width = 8, .heads = 2}, chunk) {}
    Tensor query_features(const Tensor& x, const nn::Call&) const override { return x; }
  };
  for (const int64_t chunk : {0, -6})
    CHECK(message_of([&] { Chunked mixer(chunk); }) == text("attention: a chunk must have queries, got ", chunk));
}

TEST_CASE("linear: a query without keys gets zeros and gives no gradient") {
  const Heads heads(3, 3);
  const Mask hidden{.causal = false, .offset = 0, .keys = Tensor::from(std::vector<uint8_t>{0, 0, 0, 1, 1, 1}, {2, 3})};
  for (const double epsilon : {0.0, 1e-6}) {
    const std::vector<Values> all = heads.all(mixer_of(64, epsilon)->attend(heads.Q, heads.K, heads.V, call_with(hidden)));
    for (const Values& values : all)
      for (size_t i = 0; i < values.size() / 2; ++i) CHECK(values[i] == 0);
  }
}

TEST_CASE("linear: with ε = 0 weights are a distribution; what is recorded is what is mixed") {
  const Heads heads(5, 5);
  for (const double epsilon : {0.0, 0.5}) {
    Tensor A;
    nn::Call call = call_with({.causal = true, .offset = 0, .keys = {}});
    call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
    const auto mixer = mixer_of(2, epsilon);
    const Tensor heard = mixer->attend(heads.Q, heads.K, heads.V, call);
    CHECK(frobenius_error(matmul(A, heads.V).values<double>(), heard.values<double>()) <= 1e-14);
    for (const double row : sum(A, -1).values<double>()) CHECK((epsilon == 0 ? std::abs(row - 1) <= 1e-14 : row < 1));
  }
}

// CARE's attention: scalar loops over pairs; the explicit matrix, constant values, permuted pixels and scaled features
// (specification 2.2.8, items 1, 2, 3 and 8); tokens as values.
#include <doctest/doctest.h>

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "attention/mechanisms/care.h"
#include "attention/mechanisms/linear.h"
#include "autograd/ops.h"
#include "tests/mechanisms/oracle.h"
#include "tests/mechanisms/reference_features.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

// φ(x) = elu(x) + 1
Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) {
  const auto mapped = [](Values x, auto f) {
    std::transform(x.begin(), x.end(), x.begin(), f);
    return x;
  };
  const auto feature = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
  const auto slope = [](double x) { return x > 0 ? 1 : std::exp(x); };
  Attention result = attend_features(n, mapped(q, feature), mapped(k, feature), v, g, 1e-6);
  for (const auto& [name, x] : {std::pair<const char*, const Values&>{"q", q}, {"k", k}}) {
    Values& dx = result.gradients[name];
    for (size_t i = 0; i < dx.size(); ++i) dx[i] *= slope(x[i]);
  }
  return result;
}

const Registered registered(
    {.mechanism = "care",
     .heads = [](const auto&, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v,
                 const auto& g) { return attend(sizes, q, k, v, g); },
     .rules = {{"projections", {"'all'", "'query_key'"}, {}, choice("query_keys", "all, query_key", "query_key")},
               chunk_rule()},
     .variants = {"chunk = 3", "projections = 'query_key'\nchunk = 3"}});

struct Drawn {
  Shape shape{2, 2, 5, 4};
  Tensor Q = random_normal(shape, 1, "Q"), K = random_normal(shape, 1, "K"), V = random_normal(shape, 1, "V");
};

std::unique_ptr<StateAttention> core() { return make_care({}, {.width = 8, .heads = 2}); }

double distance_of(const Tensor& x, const Tensor& y) { return frobenius_error(x.values<double>(), y.values<double>()); }

std::vector<Mask> masks() {
  const Tensor present = Tensor::from<uint8_t>({1, 0, 1, 1, 0, 1, 1, 1, 1, 0}, {2, 5});
  return {{}, {.causal = true, .offset = 0, .keys = {}}, {.causal = false, .offset = 0, .keys = present},
          {.causal = true, .offset = 0, .keys = present}};
}

}  // namespace

TEST_CASE("care: sums are the explicit matrix of (elu(q) + 1)·(elu(k) + 1) over sums of rows and ε for each key (property 1)") {
  const Drawn x;
  const auto feature = [](const Tensor& t) { return affine(elu(t), 1, 1); };
  const Tensor w = matmul(feature(x.Q), transpose(feature(x.K)));
  const Tensor expected = matmul(div(w, affine(sum(w, -1, true), 1, 5e-6)), x.V);
  CHECK(distance_of(core()->attend(x.Q, x.K, x.V, {}), expected) <= 1e-14);
  for (const Mask& mask : masks()) {
    const nn::Call call = call_with(mask);
    CHECK(distance_of(core()->attend(x.Q, x.K, x.V, call),
                      core()->explicit_form(x.Q, without_hidden(x.K, mask), without_hidden(x.V, mask), call)) <= 1e-14);
  }
}

TEST_CASE("care: weights are ≥ 0 and sum to 1 but for ε, so constant values come out as they are (property 2)") {
  const Drawn x;
  const Tensor V = expand(slice(x.V, 2, 0, 1), x.V.shape());
  for (const Mask& mask : masks()) {
    nn::Call call = call_with(mask);
    const Tensor y = core()->attend(x.Q, x.K, V, call);
    Tensor A;
    call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
    core()->attend(x.Q, x.K, V, call);
    const Values rows = sum(A, -1).values<double>(), all = A.values<double>();
    for (const double weight : all) CHECK(weight >= 0);
    for (const double row : rows) CHECK((row < 1 && row > 1 - 1e-5));
    CHECK(distance_of(y, V) < 1e-5);
    CHECK(distance_of(y, V) > 0);
  }
}

TEST_CASE("care: permuted pixels permute outputs (property 3)") {
  const Drawn x;
  CHECK(distance_of(core()->attend(flip(x.Q, 2), flip(x.K, 2), flip(x.V, 2), {}), flip(core()->attend(x.Q, x.K, x.V, {}), 2)) <=
        1e-14);
}

TEST_CASE("care: a factor of the features of all keys changes nothing but the part of ε (property 8)") {
  const Drawn x;
  const Tensor Q = x.Q, K = affine(abs(x.K), -1, -1), V = x.V;   // exp(k): a shift is a factor
  const auto shifted = [&](double by) { return core()->attend(Q, affine(K, 1, by), V, {}); };
  CHECK(distance_of(shifted(-1), shifted(0)) < 1e-5);
  CHECK(distance_of(shifted(-1), shifted(0)) > 1e-8);    // that of ε
  CHECK(distance_of(shifted(-16), shifted(0)) > 1e-2);   // where the features are as small as ε
}

TEST_CASE("care: it is linear attention with an ε for each key") {
  const Drawn x;
  LinearOptions options;
  options.epsilon = 5e-6;
  const auto linear = make_linear(options, {.width = 8, .heads = 2});
  CHECK(distance_of(core()->attend(x.Q, x.K, x.V, {}), linear->attend(x.Q, x.K, x.V, {})) <= 1e-14);
}

TEST_CASE("care: with query_key the tokens themselves are mixed, and no layer follows") {
  CareOptions options;
  options.projections = "query_key";
  const auto mixer = make_care(options, {.width = 8, .heads = 2, .biases = true});
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  CHECK(mixer->parameter_count() == 2 * (8 * 8 + 8));
  const Tensor x = random_normal({2, 5, 8}, 1, "x");
  const auto projected = [&](const char* which) {
    const Tensor y = add(matmul(x, transpose(mixer->parameter_at(text(which, ".weight")).value)),
                         mixer->parameter_at(text(which, ".bias")).value);
    return split_heads(y, 2);
  };
  const Tensor heads = mixer->attend(projected("query"), projected("key"), split_heads(x, 2), {});
  CHECK(distance_of(mixer->forward(x, x, {}), merge_heads(heads)) <= 1e-14);
}

TEST_CASE("care: tokens as values are refused where the heads have other channels") {
  CareOptions options;
  options.projections = "query_key";
  const auto made = [&](const MixerShape& shape) { return message_of([&] { make_care(options, shape); }); };
  CHECK(made({.width = 8, .heads = 2, .head_width = 4}) == "no error");
  CHECK(made({.width = 8, .heads = 2, .head_width = 6}) ==
        "care: values are the tokens themselves, 8 channels, but queries have 2 heads of 6, keys 2; hint: set projections = "
        "\"all\", or no head_width and no key_heads");
  CHECK(made({.width = 8, .heads = 2, .key_heads = 1}) ==
        "care: values are the tokens themselves, 8 channels, but queries have 2 heads of 4, keys 1; hint: set projections = "
        "\"all\", or no head_width and no key_heads");
}

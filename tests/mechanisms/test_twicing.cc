// Twicing: the residual smoothed once more, in scalar loops and as the matrix 2 A − A²; where places are known, and refused
// where they are not.
#include <doctest/doctest.h>

#include "attention/mechanisms/twicing.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "nn/models/encoder_decoder.h"
#include "tensor/view.h"
#include "tests/mechanisms/oracle.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::DotProduct;
using reference::Sizes;
using reference::Values;

// From the formulas of the paper, with gradients by hand:
//
//   Y = A V,  R = V − Y,  O = Y + A R
//   dR = Aᵀ dO,  dY = dO − dR,  dV = dR + Aᵀ dY,  dA = dO Rᵀ + dY Vᵀ
Attention attend_twicing(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) {
  const DotProduct scores;
  const Values p = softmax(n, scores.scores(n, q, k)), y = mix(n, p, v);
  Values r = v;
  for (size_t i = 0; i < r.size(); ++i) r[i] -= y[i];
  Values o = mix(n, p, r);
  for (size_t i = 0; i < o.size(); ++i) o[i] += y[i];

  const Values dr = value_gradient(n, p, g);
  Values dy = g;
  for (size_t i = 0; i < dy.size(); ++i) dy[i] -= dr[i];
  Values dv = value_gradient(n, p, dy), de = score_gradient(n, p, r, g);
  const Values de_of_y = score_gradient(n, p, v, dy);
  for (size_t i = 0; i < dv.size(); ++i) dv[i] += dr[i];
  for (size_t i = 0; i < de.size(); ++i) de[i] += de_of_y[i];
  Attention result{o, scores.gradients(n, q, k, de)};
  result.gradients["v"] = dv;
  return result;
}

const Registered registered({
    .mechanism = "twicing",
    .heads = [](const auto&, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
      return attend_twicing(sizes, q, k, v, g);
    },
    .rules = {{"last", {"0", "1"}, {"1024"}, whole_number(0, 1024)}, implementation_rule()},
    .variants = {"", "implementation = 'fused'"}});

std::unique_ptr<nn::TokenMixer> mixer_of(const MixerShape& shape = {.width = 8, .heads = 2}) {
  auto mixer = make_twicing({}, shape);
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  return mixer;
}

struct Heads {
  Tensor y, A;
};

Heads attended(const Tensor& Q, const Tensor& K, const Tensor& V, bool causal = false) {
  nn::Call call = call_with({.causal = causal, .offset = 0, .keys = {}});
  Tensor A;
  call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
  const auto mixer = mixer_of({.width = Q.size(1) * Q.size(3), .heads = Q.size(1)});
  const Tensor y = dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, K, V, call);
  return {y, A};
}

}  // namespace

TEST_CASE("twicing: on heads it is the matrix 2 A − A², whose rows sum to 1 and have negative elements (properties 1 and 2; golden 2.1.6)") {
  const Tensor Q = random_normal({2, 2, 5, 4}, 1, "Q"), K = random_normal({2, 2, 5, 4}, 1, "K"),
               V = random_normal({2, 2, 5, 4}, 1, "V");
  for (const bool causal : {false, true}) {
    const auto [y, A] = attended(Q, K, V, causal);
    const Tensor twice = sub(affine(A, 2, 0), matmul(A, A));
    CHECK(frobenius_error(y.values<double>(), matmul(twice, V).values<double>()) <= 1e-14);
    for (const double row : sum(twice, -1).values<double>()) CHECK(row == doctest::Approx(1).epsilon(1e-14));
    CHECK(min(twice).item() < 0);
  }
  // The first token looks at the second, and that one at the third: least is −1, of the first and the third.
  const Tensor unit = Tensor::from(std::vector<double>{1, 0, 0, 0, 1, 0, 0, 0, 1}, {1, 1, 3, 3});
  const Tensor next = Tensor::from(std::vector<double>{0, 1e4, 0, 0, 0, 1e4, 0, 0, 1e4}, {1, 1, 3, 3});
  CHECK(attended(next, unit, unit).y.values<double>() == std::vector<double>{0, 2, -1, 0, 0, 1, 0, 0, 1});
}

TEST_CASE("twicing: values that are all alike, and those of tokens that see themselves alone, come out as they are (properties 3 and 4)") {
  const Tensor Q = random_normal({1, 2, 5, 4}, 1, "Q"), K = random_normal({1, 2, 5, 4}, 1, "K"),
               V = random_normal({1, 2, 5, 4}, 1, "V");
  const Tensor alike = expand(slice(V, 2, 0, 1), V.shape());
  CHECK(frobenius_error(attended(Q, K, alike).y.values<double>(), alike.values<double>()) < 1e-14);
  const Tensor length = sqrt(sum(square(Q), -1, true)), sharp = affine(div(Q, length), 60, 0);
  CHECK(frobenius_error(attended(sharp, sharp, V).y.values<double>(), V.values<double>()) < 1e-12);
}

TEST_CASE("twicing: where A is idempotent it is the attention that it corrects (property 5)") {
  const Tensor Q = Tensor::zeros({1, 2, 5, 4}, DType::f64), K = random_normal({1, 2, 5, 4}, 1, "K"),
               V = random_normal({1, 2, 5, 4}, 1, "V");
  CHECK(frobenius_error(attended(Q, K, V).y.values<double>(), expand(mean(V, 2, true), V.shape()).values<double>()) < 1e-14);
}

TEST_CASE("twicing: under a causal mask 2 A − A² is triangular with eigenvalues 1 − (1 − a_ii)², and the first token keeps its value (properties 6 and 9)") {
  const Tensor Q = random_normal({1, 1, 5, 4}, 1, "Q"), K = random_normal({1, 1, 5, 4}, 1, "K"),
               V = random_normal({1, 1, 5, 4}, 1, "V");
  const Heads heads = attended(Q, K, V, true);
  // The matrix itself, by one-hot values.
  Tensor unit = Tensor::zeros({1, 1, 5, 4}, DType::f64);
  for (int64_t i = 0; i < 4; ++i) {
    const Tensor one = Tensor::full({1, 1, 1, 1}, 1, DType::f64);
    unit = add(unit, pad(pad(one, 2, i, 4 - i), 3, i, 3 - i));
  }
  const std::vector<double> of_first = attended(Q, K, unit, true).y.values<double>(), a = heads.A.values<double>();   // (5,4), (5,5)
  for (int64_t i = 0; i < 5; ++i)
    for (int64_t j = i; j < 4; ++j) {
      const double rest = 1 - a[i * 5 + i];
      CHECK(std::abs(of_first[i * 4 + j] - (i == j ? 1 - rest * rest : 0)) < (i == j ? 1e-15 : 1e-300));
    }
  CHECK(frobenius_error(slice(heads.y, 2, 0, 1).values<double>(), slice(V, 2, 0, 1).values<double>()) < 1e-15);
}

TEST_CASE("twicing: permuted tokens permute outputs, later ones change no earlier output (properties 7 and 8)") {
  const std::vector<Proof> proofs = prove(mechanism("twicing"), TwicingOptions(), 3);
  CHECK(proof_of(proofs, "equivariant").holds);
  CHECK(proof_of(proofs, "causal").holds);
}

TEST_CASE("twicing: tokens of another sequence, a part of the queries, and an offset are refused, whatever the lengths") {
  nn::TransformerOptions options = tiny_options();
  const nn::MixerMaker twicing = [](const MixerShape& shape) { return make_twicing({}, shape); };
  CHECK(message_of([&] { nn::EncoderDecoder(options, options, twicing, twicing); }) ==
        "decoder: the attention of block 0 mixes one sequence, and cannot read another one");
  const nn::MixerMaker dot_product = [](const MixerShape& shape) { return make_dot_product(shape); };
  CHECK(message_of([&] { nn::EncoderDecoder(options, options, twicing, dot_product); }) == "no error");

  const auto mixer = mixer_of();
  const Tensor x = random_normal({1, 5, 8}, 1, "x");
  const std::string hint = "; hint: go on token by token from a state, which has what earlier tokens left";
  CHECK(message_of([&] { mixer->forward(view::slice(x, 1, 3, 2), x, call_with({.causal = true, .offset = 3, .keys = {}})); })
            .starts_with("attention: this mechanism mixes one sequence"));
  const Tensor Q = random_normal({1, 2, 2, 4}, 1, "Q"), K = random_normal({1, 2, 5, 4}, 1, "K");
  CHECK(message_of([&] {
          dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, K, K, call_with({.causal = true, .offset = 3, .keys = {}}));
        }) == "twicing: queries must be all tokens of the sequence, got 2 of them at offset 3 for 5 keys" + hint);
  CHECK(message_of([&] { mixer->forward(x, x, call_with({.causal = true, .offset = 1, .keys = {}})); }) ==
        "twicing: queries must be all tokens of the sequence, got 5 of them at offset 1 for 5 keys" + hint);
  const Tensor other = random_normal({1, 5, 8}, 1, "other");
  CHECK(message_of([&] { mixer->forward(x, other, {}); }) ==
        "attention: this mechanism mixes one sequence, and the context is another tensor than x; hint: x itself is the context "
        "of "
        "self-attention");
}

TEST_CASE("twicing: in the last blocks alone, dot product in the others (property 10)") {
  nn::TransformerOptions options = tiny_options();
  const auto logits = [&](int64_t last) {
    TwicingOptions twicing;
    twicing.last = last;
    nn::LanguageModel model(options, [&](const MixerShape& shape) {
      return last < 0 ? make_dot_product(shape) : make_twicing(twicing, shape);
    });
    model.initialise(3, DType::f64);
    spread_parameters(model, 3);
    return model.forward(Tensor::from(std::vector<int32_t>{3, 1, 4, 1}, {1, 4}), {}).values<double>();
  };
  CHECK(logits(0) == logits(2));   // of 2 blocks
  CHECK(logits(0) != logits(1));
  CHECK(logits(1) != logits(-1));
  CHECK(logits(9) == logits(0));
}

TEST_CASE("twicing: nothing of a padded token, NaN included, reaches a token that is there, or a gradient") {
  const auto mixer = mixer_of();
  const Tensor x = random_normal({1, 5, 8}, 1, "x");
  const nn::Call call =
      call_with({.causal = false, .offset = 0, .keys = Tensor::from(std::vector<uint8_t>{1, 1, 1, 0, 0}, {1, 5})});
  const auto judged = [&](double padding) {
    const Tensor tail = Tensor::full({1, 2, 8}, padding, DType::f64);
    const Tensor tokens = requires_grad(concat({view::slice(x, 1, 0, 3), tail}, 1).detach());
    const Tensor y = slice(mixer->forward(tokens, tokens, call), 1, 0, 3);
    std::vector<Tensor> leaves;
    for (const auto& [name, parameter] : parameters_of(*mixer)) leaves.push_back(parameter->value);
    std::vector<std::vector<double>> all{y.values<double>()};
    for (const Tensor& g : grad({sum(square(y))}, leaves)) all.push_back(g.values<double>());
    return all;
  };
  const auto clean = judged(0);
  CHECK(judged(std::numeric_limits<double>::quiet_NaN())[0] == clean[0]);
  CHECK(judged(1e300)[0] == clean[0]);
}

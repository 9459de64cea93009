// Rotary and ALiBi positions, and heads of keys that several heads of queries share.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>

#include "attention/claims.h"
#include "attention/kernels/alibi.h"
#include "attention/kernels/rotary.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "nn/models/transformer.h"
#include "tensor/random.h"
#include "tests/attention/attention_helpers.h"
#include "tests/golden_file.h"

using namespace tapir;
using Values = std::vector<double>;

namespace {

// A mixer of dot products in f64 whose rows of a matrix tell apart.
std::unique_ptr<nn::TokenMixer> mixer_of(const MixerShape& shape) {
  auto mixer = make_dot_product(shape);
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  return mixer;
}

// A row of the zoo whose mixer takes its places in a fixed way, whatever its shape says.
template <nn::Positions positions>
Mechanism row_with() {
  struct Mixer : StagedAttention {
    using StagedAttention::StagedAttention;
    bool accepts(nn::Positions told) const override { return told == nn::Positions::none; }
  };
  return {.name = "placed", .title = "of the tests", .paper = "none", .equation = "", .cost = "",
          .claims = always(Claims{.causal = true, .distribution = true, .padding_safe = true, .streaming = true,
                                  .batch_independent = true}),
          .options = [] { return std::make_unique<nn::Options>(); },
          .make = [](const nn::Options&, MixerShape shape) {
            shape.positions = positions;
            return std::make_unique<Mixer>(shape);
          }};
}

}  // namespace

TEST_CASE("positions: rotary equals products of complex numbers, from any place on") {
  const nlohmann::json golden = golden_file("nn.json").at("rotary");
  const Tensor x = golden_tensor(golden.at("x"));
  CHECK(frobenius_error(rotary(x).values<double>(), golden_tensor(golden.at("y")).values<double>()) <= 1e-15);
  CHECK(frobenius_error(rotary(x, 100).values<double>(), golden_tensor(golden.at("y from 100")).values<double>()) <= 1e-14);
}

TEST_CASE("positions: products of turned vectors depend on their distance alone") {
  const Tensor q = random_normal({1, 8}, 1, "q"), k = random_normal({1, 8}, 1, "k");
  const auto product = [&](int64_t t, int64_t s) { return sum(mul(rotary(q, t), rotary(k, s))).item(); };
  CHECK(product(5, 3) == doctest::Approx(product(105, 103)).epsilon(1e-12));
  CHECK(product(3, 5) == doctest::Approx(product(1003, 1005)).epsilon(1e-12));
  CHECK(std::fabs(product(5, 3) - product(3, 5)) > 1e-3);
  CHECK(std::fabs(product(5, 3) - product(6, 3)) > 1e-3);
}

TEST_CASE("positions: slopes of ALiBi are those of the authors' function, for any number of heads") {
  const nlohmann::json golden = golden_file("nn.json").at("slopes");
  for (int64_t heads = 1; heads <= 20; ++heads) {
    const Values expected = golden.at(std::to_string(heads)).get<Values>(), found = alibi_slopes(heads);
    REQUIRE(found.size() == expected.size());
    for (size_t h = 0; h < found.size(); ++h) CHECK(found[h] == doctest::Approx(expected[h]).epsilon(1e-14));
  }
}

TEST_CASE("positions: the bias of ALiBi is minus slope times distance, in both types") {
  for (const DType type : {DType::f64, DType::f32}) {
    const Values bias = alibi_bias(2, 3, 4, 5, type, Device::cpu).to(DType::f64).values<double>();
    for (int64_t i = 0; i < 2 * 3 * 4; ++i) {
      const double slope = i / 12 == 0 ? 1.0 / 16 : 1.0 / 256, distance = std::fabs(5.0 + i / 4 % 3 - i % 4);
      CHECK(bias[i] == -slope * distance);
    }
  }
}

TEST_CASE("positions: attention with places and shared heads of keys equals PyTorch's, with its gradients") {
  const nlohmann::json golden = golden_file("nn.json").at("attention");
  CHECK(golden.size() == 6);
  for (const nlohmann::json& one : golden) {
    const std::string name = one.at("positions");
    CAPTURE(name);
    const Tensor Q = requires_grad(golden_tensor(one.at("q"))), K = requires_grad(golden_tensor(one.at("k"))),
                 V = requires_grad(golden_tensor(one.at("v")));
    const StagedAttention attention({.width = Q.size(1) * Q.size(3),
                                     .heads = Q.size(1),
                                     .key_heads = one.at("key_heads").get<int64_t>(),
                                     .positions = name == "rotary"  ? nn::Positions::rotary
                                                  : name == "alibi" ? nn::Positions::alibi
                                                                    : nn::Positions::none});
    const Tensor y = attention.attend(Q, K, V, call_with({.causal = one.at("causal"), .offset = 0, .keys = {}}));
    CHECK(frobenius_error(y.values<double>(), golden_tensor(one.at("output")).values<double>()) <= 1e-13);
    const std::vector<Tensor> found = grad({y}, {Q, K, V}, {golden_tensor(one.at("upstream"))});
    for (size_t i = 0; i < 3; ++i)
      CHECK(frobenius_error(found[i].values<double>(), golden_tensor(one.at("gradients")[i]).values<double>()) <= 1e-12);
  }
}

TEST_CASE("positions: queries from a place on equal those rows of the whole") {
  const auto plain = mixer_of({.width = 8, .heads = 2});
  const Tensor x = random_normal({2, 7, 8}, 1, "x");
  const nn::Call all = call_with({.causal = true, .offset = 0, .keys = {}});
  const nn::Call from_five = call_with({.causal = true, .offset = 5, .keys = {}});
  for (const nn::Positions positions : {nn::Positions::rotary, nn::Positions::alibi}) {
    const auto mixer = mixer_of({.width = 8, .heads = 2, .positions = positions});
    const Tensor whole = mixer->forward(x, x, all);
    const Tensor last = mixer->forward(slice(x, 1, 5, 2), x, from_five);
    CHECK(frobenius_error(last.values<double>(), slice(whole, 1, 5, 2).values<double>()) <= 1e-14);
    const Tensor misplaced = plain->forward(slice(x, 1, 5, 2), x, from_five);
    CHECK(frobenius_error(misplaced.values<double>(), last.values<double>()) > 1e-2);
  }
}

TEST_CASE("positions: on a grid half of the channels turn by the row, half by the column, class tokens not at all") {
  const int64_t classes = 1, rows = 3, columns = 2, D = 8;
  Tensor x = Tensor::empty({2, classes + rows * columns, D}, DType::f64);
  uniform_(x, -1, 1, {.seed = 1, .step = 0, .site = site_of("x")});
  const std::vector<double> in = x.values<double>(), out = rotary_grid(x, classes, rows, columns).contiguous().values<double>();
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t n = 0; n < classes + rows * columns; ++n)
      for (int64_t pair = 0; pair < D / 2; ++pair) {
        const int64_t cell = n - classes, i = pair % (D / 4);
        const auto place = static_cast<double>(n < classes ? 0 : pair < D / 4 ? cell / columns : cell % columns);
        const std::complex<double> turn = std::polar(1.0, place * std::pow(10000.0, -2.0 * static_cast<double>(i) / (D / 2.0)));
        const size_t at = (b * (classes + rows * columns) + n) * D + 2 * pair;
        const std::complex<double> expected = turn * std::complex<double>(in[at], in[at + 1]);
        CHECK(std::abs(out[at] - expected.real()) < 1e-15);
        CHECK(std::abs(out[at + 1] - expected.imag()) < 1e-15);
      }
  const GradcheckResult result =
      gradcheck("rotary_grid", [](const std::vector<Tensor>& in) { return rotary_grid(in[0], 1, 3, 2); }, {x});
  CHECK_MESSAGE(result.passed, result.report);
  const auto refused = [&](const Shape& shape, int64_t class_tokens, int64_t height, int64_t width) {
    return message_of([&] { rotary_grid(Tensor::zeros(shape), class_tokens, height, width); });
  };
  CHECK(refused({2, 7, 6}, 1, 3, 2) == "rotary_grid: needs (…,1 + 3 × 2,D) with D a multiple of 4, got [2,7,6]");
  CHECK(refused({2, 7, 8}, 0, 3, 2) == "rotary_grid: needs (…,0 + 3 × 2,D) with D a multiple of 4, got [2,7,8]");
  CHECK(refused({2, 7, 8}, 8, -1, 1).starts_with("rotary_grid: "));
  CHECK(refused({2, 7, 8}, 1, int64_t{1} << 40, int64_t{1} << 40).starts_with("rotary_grid: "));
}

TEST_CASE("positions: with rotary or ALiBi the order of tokens matters, and the other claims hold") {
  const Mechanism turned = row_with<nn::Positions::rotary>(), biased = row_with<nn::Positions::alibi>();
  for (const Mechanism* row : {&turned, &biased}) {
    check_all_hold(prove(*row, *row->options(), 2));
    Mechanism claiming = *row;
    claiming.claims = always(Claims{.equivariant = true});
    CHECK(!prove(claiming, *row->options(), 2).front().holds);
  }
}

TEST_CASE("grouped heads: equal to all heads with repeated keys and values") {
  const Tensor x = random_normal({2, 5, 24}, 3, "x"), context = random_normal({2, 7, 24}, 3, "context");
  for (const auto& one : nn::all_positions) {
    const nn::Positions positions = one.first;
    CAPTURE(std::string(one.second));
    const auto few = mixer_of({.width = 24, .heads = 6, .key_heads = 2, .positions = positions});
    const auto many = mixer_of({.width = 24, .heads = 6, .positions = positions});
    const Parameters from = parameters_of(*few), to = parameters_of(*many);
    for (const auto& [name, parameter] : from)
      if (name != "key.weight" && name != "value.weight") to.at(name)->value = parameter->value;
    for (const char* name : {"key.weight", "value.weight"}) {
      CHECK(from.at(name)->shape == Shape{8, 24});
      std::vector<Tensor> rows;   // of head h: those of head ⌊h/3⌋
      for (int64_t head = 0; head < 6; ++head) rows.push_back(slice(from.at(name)->value, 0, head / 3 * 4, 4));
      to.at(name)->value = requires_grad(concat(rows, 0).detach());
    }
    CHECK(frobenius_error(few->forward(x, context, {}).values<double>(), many->forward(x, context, {}).values<double>()) <=
          1e-14);
  }
}

TEST_CASE("shapes: every mechanism keeps its claims with grouped heads, heads of a width of their own, and biases") {
  for (const Mechanism& row : zoo())
    for (const NamedShape& one : shapes_of(row)) {
      INFO(row.name, ", ", one.name);
      check_all_hold(prove(row, *row.options(), 1, one.shape));
    }
}

TEST_CASE("shapes: every mechanism has projections of the heads' width, and biases where they are asked for") {
  for (const Mechanism& row : zoo())
    for (const NamedShape& one : shapes_of(row)) {
      INFO(row.name, ", ", one.name);
      const MixerShape& shape = one.shape;
      const auto mixer = row.make(*row.options(), shape);
      const int64_t D = shape.head_width ? shape.head_width : shape.width / shape.heads;
      const int64_t inner = shape.heads * D, keys = (shape.key_heads ? shape.key_heads : shape.heads) * D;
      const int64_t shares = row.name == "gated_linear" ? 2 : 1;   // its queries and keys have half of a head's channels
      const std::map<std::string, Widths> expected{
          {"query", {8, inner / shares}}, {"key", {8, keys / shares}}, {"value", {8, keys}}, {"out", {inner, 8}}};
      const Parameters parameters = parameters_of(*mixer);
      for (const auto& [name, widths] : expected) {
        const auto linear = parameters.find(name + ".weight");
        if (linear == parameters.end()) {   // a network
          CHECK(parameters.at(name + ".hidden.weight")->shape[1] == widths.in);
          CHECK(parameters.at(name + ".out.weight")->shape[0] == widths.out);
          continue;
        }
        CHECK(linear->second->shape == Shape{widths.out, widths.in});
        CHECK(parameters.contains(name + ".bias") == shape.biases);
        if (shape.biases) CHECK(parameters.at(name + ".bias")->shape == Shape{widths.out});
      }
    }
}

TEST_CASE("positions: what does not fit is refused") {
  CHECK(message_of([] { rotary(Tensor::zeros({2, 3})); }) == "rotary: needs (…,T,D) with an even D, got [2,3]");
  CHECK(message_of([] { make_dot_product({.width = 12, .heads = 6, .key_heads = 4}); }) ==
        "attention: the 6 heads are not a multiple of the 4 key heads");
  nn::TransformerOptions options;
  options.vocabulary = 5;
  options.width = 8;
  options.heads = 2;
  options.layers = 2;
  options.positions = "rotary";
  const auto model_with = [&](const std::string& mixer) {
    return message_of([&] {
      nn::LanguageModel(options, [&](const MixerShape& shape) {
        return mechanism(mixer).make(*mechanism(mixer).options(), shape);
      });
    });
  };
  CHECK(model_with("dot_product") == "no error");
  CHECK(model_with("score_mlp") ==
        "language model: the attention of block 0 does not accept rotary positions; hint: choose learned, sinusoidal or "
        "none");
  CHECK(contains_text(model_with("additive"), "does not accept rotary positions"));
  options.head_width = 3;
  CHECK(model_with("dot_product") ==
        "language model: rotary positions turn pairs of channels, and a head has 3; hint: set an even head_width");
  options.head_width = 6;
  CHECK(model_with("dot_product") == "no error");
  options.positions = "alibi";
  CHECK(model_with("score_mlp") == "no error");
  CHECK(contains_text(model_with("expressive"), "the attention of block 0 does not accept alibi positions"));
}

TEST_CASE("positions: every row of the zoo takes a model without places") {
  for (const Mechanism& row : zoo())
    CHECK(row.make(*row.options(), {.width = 8, .heads = 2})->accepts(nn::Positions::none));
}

// Encoder, and encoder with decoder.
#include <doctest/doctest.h>

#include "attention/mechanisms/dot_product.h"
#include "attention/zoo.h"
#include "autograd/gradcheck.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/shape.h"
#include "nn/models/encoder_decoder.h"
#include "nn/optim/optimiser.h"
#include "tests/attention/attention_helpers.h"
#include "tests/mechanisms/reference_transformer.h"

using namespace tapir;
using reference::Values;

namespace {

nn::TransformerOptions tiny(int64_t vocabulary, const std::string& norm = "post",
                            const std::string& positions = "sinusoidal") {
  nn::TransformerOptions options;
  options.vocabulary = vocabulary;
  options.context = 8;
  options.width = 8;
  options.layers = 2;
  options.heads = 2;
  options.hidden = 12;
  options.norm = norm;
  options.positions = positions;
  options.activation = "relu";
  return options;
}

nn::MixerMaker maker_of(const std::string& name) {
  return [name](const MixerShape& shape) { return mechanism(name).make(*mechanism(name).options(), shape); };
}

// Parts that options make otherwise; the head is the target's, and the source has none.
nn::TransformerOptions of_other_parts(nn::TransformerOptions options, bool has_head) {
  options.head_width = 6;
  options.bias = false;
  options.attention_bias = true;
  options.tied_head = options.head_bias = has_head;
  return options;
}

struct Pair {   // with weights that show what it does
  Pair(const nn::TransformerOptions& source, const nn::TransformerOptions& target, const std::string& cross = "dot_product")
      : model(source, target, maker_of("dot_product"), maker_of(cross)) {
    model.initialise(1, DType::f64);
    spread_parameters(model, 5);
  }
  nn::EncoderDecoder model;
};

// Two sources of lengths 5 and 3, padded with whatever.
Tensor sources(int32_t padding) {
  return Tensor::from(std::vector<int32_t>{3, 1, 4, 1, 5, 2, 6, 0, padding, padding}, {2, 5});
}
Tensor targets() { return Tensor::from(std::vector<int32_t>{0, 2, 7, 1, 5, 3}, {2, 3}); }

nn::Call padded() {
  nn::Call call;
  call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 5});
  return call;
}

}  // namespace

TEST_CASE("encoder-decoder: logits equal scalar loops, for either norm and all positions, T ≠ S, padded sources") {
  for (const std::string norm : {"pre", "post"})
    for (const std::string positions : {"sinusoidal", "learned", "rotary", "alibi", "kerple_log", "fire", "t5", "none"})
      for (const bool other_parts : {false, true}) {
        CAPTURE(norm);
        CAPTURE(positions);
        CAPTURE(other_parts);
        nn::TransformerOptions source = tiny(7, norm, positions), target = tiny(9, norm, positions);
        if (other_parts) source = of_other_parts(source, false), target = of_other_parts(target, true);
        Pair pair(source, target);
        reference::Transformer scalar{{}, 8, 2, 2, norm == "pre", positions, true};
        scalar.head_width = source.head_width;
        for (const auto& [name, parameter] : parameters_of(pair.model))
          scalar.parameters[name] = parameter->value.values<double>();
        const Tensor logits = pair.model.forward(sources(1), targets(), padded());
        CHECK(logits.shape() == Shape{2, 3, 9});
        Values expected = scalar.logits({3, 1, 4, 1, 5}, {}, {0, 2, 7});
        const Values second = scalar.logits({2, 6, 0, 1, 1}, {1, 1, 1, 0, 0}, {1, 5, 3});
        expected.insert(expected.end(), second.begin(), second.end());
        CHECK(frobenius_error(logits.values<double>(), expected) <= 1e-12);
      }
}

TEST_CASE("encoder-decoder: with any mechanism in between, padding and later targets change no bit") {
  for (const Mechanism& row : zoo()) {
    if (needs_of(row, *row.options()).self) continue;
    CAPTURE(row.name);
    const Pair pair(tiny(7), tiny(9), row.name);
    const auto run = [&](int32_t padding, const Tensor& target) {
      return pair.model.forward(sources(padding), target, padded());
    };
    const Tensor y = run(1, targets());
    CHECK(run(6, targets()).values<double>() == y.values<double>());
    const Tensor other = run(1, Tensor::from(std::vector<int32_t>{0, 2, 8, 1, 5, 0}, {2, 3}));
    CHECK(slice(other, 1, 0, 2).values<double>() == slice(y, 1, 0, 2).values<double>());
    CHECK(other.values<double>() != y.values<double>());
    const Values unmasked = pair.model.forward(sources(6), targets(), {}).values<double>();
    CHECK(frobenius_error(unmasked, y.values<double>()) > 1e-3);
  }
}

TEST_CASE("encoder-decoder: an encoder sees both ways") {
  nn::Encoder encoder(tiny(7), maker_of("dot_product"));
  encoder.initialise(1, DType::f64);
  spread_parameters(encoder, 5);
  const Tensor y = encoder.forward(sources(1), {});
  CHECK(y.shape() == Shape{2, 5, 8});
  const Tensor changed = encoder.forward(sources(6), {});
  CHECK(frobenius_error(slice(slice(changed, 0, 1, 1), 1, 0, 1).values<double>(),
                        slice(slice(y, 0, 1, 1), 1, 0, 1).values<double>()) > 1e-3);
}

namespace {

void check_gradients(const nn::TransformerOptions& source, const nn::TransformerOptions& target) {
  Pair pair(source, target);
  std::vector<Tensor> values;
  pair.model.each_parameter([&](const std::string&, nn::Parameter& parameter) { values.push_back(parameter.value); });
  const Function loss = [&](const std::vector<Tensor>& in) {
    size_t i = 0;
    pair.model.each_parameter([&](const std::string&, nn::Parameter& parameter) { parameter.value = in[i++]; });
    const Tensor next = Tensor::from(std::vector<int32_t>{2, 7, 8, 5, 3, -1}, {2, 3});
    return cross_entropy(pair.model.forward(sources(1), targets(), padded()), next);
  };
  const GradcheckResult result = gradcheck("encoder-decoder", loss, values, {.step = 1e-5, .directions = 2});
  CHECK_MESSAGE(result.passed, result.report);
}

}  // namespace

TEST_CASE("encoder-decoder: the loss has the right gradient through every parameter") {
  check_gradients(tiny(7, "pre"), tiny(9, "pre"));
  check_gradients(of_other_parts(tiny(7, "pre"), false), of_other_parts(tiny(9, "pre"), true));
}

// Sources of 3 or 4 letters 2 … 7, padded with 0 to 4; the target starts with 1 and copies them.
TEST_CASE("encoder-decoder: it learns to copy, which it cannot without reading the source") {
  const auto last_loss = [](bool reads) {
    nn::TransformerOptions options = tiny(8, "pre", "learned");
    options.layers = 1;
    options.width = 32;
    const nn::MixerMaker mixer = [](const MixerShape& shape) { return make_dot_product(shape); };
    nn::EncoderDecoder model(options, options, mixer, mixer);
    model.initialise(1);
    nn::AdamW optimiser(model, {});
    double mean = 0;
    for (uint32_t step = 0; step < 150; ++step) {
      constexpr int64_t B = 16, S = 4;
      std::vector<int32_t> source(B * S), target(B * S), next(B * S);
      std::vector<uint8_t> present(B * S);
      for (int64_t b = 0; b < B; ++b) {
        const Philox4 bits = random_block({.seed = 7, .step = step, .site = 0}, static_cast<uint64_t>(b));
        const int64_t length = 3 + b % 2;
        for (int64_t t = 0; t < S; ++t) {
          const int64_t i = b * S + t;
          const auto letter = static_cast<int32_t>(2 + bits[t] % 6);
          present[i] = t < length;
          source[i] = present[i] ? letter : 0;
          next[i] = present[i] ? letter : -1;
          target[i] = t == 0 ? 1 : source[i - 1];
        }
      }
      nn::Call call;
      call.mask.keys = Tensor::from(present, {B, S});
      if (!reads) source.assign(B * S, 2);
      const Tensor loss = cross_entropy(model.forward(Tensor::from(source, {B, S}), Tensor::from(target, {B, S}), call),
                                        Tensor::from(next, {B, S}));
      mean = loss.item() / (B / 2 * (3 + 4));
      optimiser.clear_gradients();
      backward(loss);
      optimiser.step(3e-3, 1.0 / (B / 2 * (3 + 4)));
    }
    return mean;
  };
  CHECK(last_loss(true) < 0.1);
  CHECK(last_loss(false) > 1.5);   // log 6 = 1.79
}

TEST_CASE("encoder-decoder: what does not fit is refused") {
  nn::TransformerOptions wide = tiny(9);
  wide.width = 16;
  CHECK(message_of([&] { nn::EncoderDecoder(tiny(7), wide, maker_of("dot_product"), maker_of("dot_product")); }) ==
        "encoder-decoder: widths differ: 8 of the source, 16 of the target");
  nn::TransformerOptions tied = tiny(7), biased = tiny(7);
  tied.tied_head = true;
  biased.head_bias = true;
  for (const nn::TransformerOptions& source : {tied, biased})
    CHECK(message_of([&] { nn::EncoderDecoder(source, tiny(9), maker_of("dot_product"), maker_of("dot_product")); }) ==
          "encoder: has no head that could be tied or have a bias; hint: of an encoder with a decoder, the target's options "
          "say it");
  const Pair pair(tiny(7), tiny(9));
  CHECK(contains_text(message_of([&] { pair.model.forward(Tensor::zeros({1, 9}, DType::i32), targets(), {}); }),
                      "encoder: tokens must be (B,T) with T ≤ 8, got [1,9]"));
  CHECK(contains_text(message_of([&] { pair.model.forward(sources(1), Tensor::zeros({2, 9}, DType::i32), {}); }),
                      "decoder: tokens must be (B,T) with T ≤ 8, got [2,9]"));
}

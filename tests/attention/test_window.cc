// A window: tokens see others at most so many places away, in every mechanism that can, staged and fused, whole and token by
// token.
#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "nn/models/encoder_decoder.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

namespace {

constexpr int64_t T = 8, width = 8;

// Calls judge(mixer, reach): naive and fused where a row has both. `reach`: windows that a token's result looks through.
template <class Judge> void each_with_a_window(const Judge& judge) {
  for (const Mechanism& row : zoo())
    for (const char* implementation : {"naive", "fused"}) {
      const std::unique_ptr<nn::Options> options = row.options();
      auto* const staged = dynamic_cast<StagedOptions*>(options.get());
      if (staged) staged->implementation = implementation;
      else if (implementation == std::string("fused")) continue;
      if (needs_of(row, *options).any_distance) continue;
      INFO(row.name, ", ", implementation);
      const auto mixer = row.make(*options, {.width = width, .heads = 2});
      mixer->initialise(1, DType::f64);
      spread_parameters(*mixer, 1);
      judge(*mixer, row.name == "twicing" ? 2 : 1);   // the residual of a value has a window of its own
    }
}

Mask mask_of(bool causal, int64_t window) { return {.causal = causal, .offset = 0, .keys = {}, .window = window}; }

std::vector<std::string> with_windows(bool with) {
  std::vector<std::string> names;
  for (const std::string& name : causal_mechanisms())
    if (needs_of(mechanism(name), *mechanism(name).options()).any_distance != with) names.push_back(name);
  return names;
}

nn::TransformerOptions options_with(int64_t window, const std::string& positions = "learned") {
  nn::TransformerOptions options = tiny_options();
  options.context = T;
  options.window = window;
  options.positions = positions;
  return options;
}

Tensor tokens_of(int64_t samples) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < samples * T; ++i) ids.push_back(static_cast<int32_t>((3 * i * i + i / T + 1) % 7));
  return Tensor::from(ids, {samples, T});
}

}  // namespace

TEST_CASE("window: a token beyond it changes no bit of a result and has no gradient, one within it has") {
  constexpr int64_t window = 2;
  each_with_a_window([&](nn::TokenMixer& mixer, int64_t reach) {
    for (const bool causal : {false, true}) {
      const nn::Call call = call_with(mask_of(causal, window));
      const Tensor x = requires_grad(random_normal({1, T, width}, 1, "x"));
      const Tensor y = mixer.forward(x, x, call);
      for (int64_t t = 0; t < T; ++t) {
        const Tensor row = slice(y, 1, t, 1);
        const Tensor g = grad({row}, {x}, {random_normal(row.shape(), 1, "g")}, {.retain = true})[0];
        for (int64_t s = 0; s < T; ++s) {
          const bool seen = std::abs(t - s) <= reach * window && (!causal || s <= t);
          if (s != t || !seen)   // of a weight that is 1 whatever the query is, the query has no gradient
            CHECK((max(abs(slice(g, 1, s, 1))).item() > 0) == seen);
        }
        const int64_t begin = std::max<int64_t>(0, t - reach * window);
        const int64_t end = causal ? t + 1 : std::min(T, t + reach * window + 1);
        const Tensor other = random_normal({1, T, width}, 2, "other");
        const Tensor changed =
            concat({slice(other, 1, 0, begin), slice(x, 1, begin, end - begin), slice(other, 1, end, T - end)}, 1).detach();
        CHECK(slice(mixer.forward(changed, changed, call), 1, t, 1).values<double>() == row.values<double>());
      }
    }
  });
}

TEST_CASE("window: one that reaches all tokens changes no bit, and each larger one adds something until then") {
  each_with_a_window([&](nn::TokenMixer& mixer, int64_t) {
    const Tensor x = random_normal({2, T, width}, 1, "x");
    for (const bool causal : {false, true}) {
      const auto of = [&](int64_t window) { return mixer.forward(x, x, call_with(mask_of(causal, window))).values<double>(); };
      CHECK(of(T - 1) == of(0));
      CHECK(of(int64_t{1} << 53) == of(0));
      for (int64_t window = 1; window < T - 1; ++window) CHECK(of(window) != of(window + 1));
    }
  });
}

TEST_CASE("window: NaN beyond it is in no result, padded keys beside it too") {
  constexpr int64_t window = 1;
  const Tensor x = random_normal({1, T, width}, 1, "x");
  const Tensor hurt = concat({slice(x, 1, 0, T - 1), Tensor::full({1, 1, width}, NAN, DType::f64)}, 1);
  each_with_a_window([&](nn::TokenMixer& mixer, int64_t reach) {
    Mask mask = mask_of(false, window);
    mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 0, 1, 1, 1, 1, 1}, {1, T});
    const int64_t clean = T - 1 - reach * window;
    const auto first = [&](const Tensor& tokens) {
      return slice(mixer.forward(tokens, tokens, call_with(mask)), 1, 0, clean).values<double>();
    };
    CHECK(frobenius_error(first(hurt), first(x)) <= 1e-14);
  });
}

TEST_CASE("window: token by token, from every split and where samples differ in length, it is the whole sequence") {
  const Tensor tokens = tokens_of(2);
  const NoGrad guard;
  for (const std::string& name : with_windows(true))
    for (const char* positions : {"learned", "rotary", "alibi", "t5"}) {
      INFO(name, ", ", positions);
      std::unique_ptr<TinyModel> tiny;
      if (message_of([&] { tiny = std::make_unique<TinyModel>(name, options_with(2, positions)); }) != "no error") continue;
      const nn::LanguageModel& model = *tiny->model;
      const Tensor whole = model.forward(tokens, {});
      CHECK(frobenius_error(whole.values<double>(),
                            TinyModel(name, options_with(0, positions)).model->forward(tokens, {}).values<double>()) > 1e-3);
      const auto logits_at = [&](int64_t b, int64_t t) { return slice(slice(whole, 0, b, 1), 1, t, 1).values<double>(); };
      for (int64_t split = 1; split <= T; ++split) {
        nn::DecoderState state = model.state(2);
        Tensor logits = model.step(slice(tokens, 1, 0, split), state);
        for (int64_t t = split;; ++t) {
          for (const int64_t b : {0, 1})
            CHECK(frobenius_error(slice(logits, 0, b, 1).values<double>(), logits_at(b, t - 1)) <= 1e-12);
          if (t == T) break;
          logits = model.step(slice(tokens, 1, t, 1), state);
        }
      }
      nn::DecoderState state = model.state(2);   // prompts of 3 and 5 tokens
      nn::Call call;
      call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 1, 0, 0, 1, 1, 1, 1, 1}, {2, 5});
      model.step(slice(tokens, 1, 0, 5), state, call);
      const Tensor next = concat({slice(slice(tokens, 0, 0, 1), 1, 3, 1), slice(slice(tokens, 0, 1, 1), 1, 5, 1)}, 0);
      const Tensor logits = model.step(next, state);
      CHECK(frobenius_error(slice(logits, 0, 0, 1).values<double>(), logits_at(0, 3)) <= 1e-12);
      CHECK(frobenius_error(slice(logits, 0, 1, 1).values<double>(), logits_at(1, 5)) <= 1e-12);
    }
}

TEST_CASE("window: an encoder looks both ways; a token that is as many windows away as there are layers is the last seen") {
  const Mechanism& row = mechanism("dot_product");
  nn::Encoder encoder(options_with(1), [&](const MixerShape& shape) { return row.make(*row.options(), shape); });
  encoder.initialise(1, DType::f64);
  spread_parameters(encoder, 1);
  const Tensor tokens = tokens_of(1), y = encoder.forward(tokens, {});
  std::vector<int32_t> ids = tokens.values<int32_t>();
  ids[4] = (ids[4] + 1) % 7;
  const Tensor other = encoder.forward(Tensor::from(ids, {1, T}), {});
  for (int64_t t = 0; t < T; ++t)   // two layers
    CHECK((slice(y, 1, t, 1).values<double>() != slice(other, 1, t, 1).values<double>()) == (std::abs(t - 4) <= 2));
}

TEST_CASE("window: what needs all keys refuses one, models when they are made; and so is a window below 0") {
  for (const std::string& name : with_windows(false)) {
    CAPTURE(name);
    CHECK(message_of([&] { TinyModel(name, options_with(2)); }) ==
          "language model: the attention of block 0 looks at any distance, and cannot have a window");
    const Mechanism& row = mechanism(name);
    const auto mixer = row.make(*row.options(), {.width = width, .heads = 2});
    mixer->initialise(1, DType::f64);
    const Tensor x = random_normal({1, 3, width}, 1, "x");
    CHECK(message_of([&] { mixer->forward(x, x, call_with(mask_of(true, 2))); }) ==
          "attention: this mechanism looks at any distance, and the mask has a window");
  }
  CHECK(with_windows(false) == std::vector<std::string>{"attention_bn", "attention_sh", "dnas", "linear", "fast", "flatten",
                                                        "care", "galerkin", "fourier", "gated_linear", "delta_rule"});
  const Tensor E = random_normal({1, 1, 2, 2}, 1, "E");
  CHECK(message_of([&] { softmax(E, mask_of(true, -1)); }) == "softmax: the window must be in [0, 2^53], got -1");
}

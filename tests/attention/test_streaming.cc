// Token by token: every mechanism that models language goes on from its state as if it saw the whole sequence, from any split,
// with any positions and heads of keys; states are copied, reordered and hold samples of different lengths.
#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/tolerance.h"
#include "tensor/view.h"
#include "tests/messages.h"
#include "tests/nn/tiny_model.h"

namespace tapir {
namespace {

using Values = std::vector<double>;

constexpr int64_t length = 7, vocabulary = 7;

nn::TransformerOptions options_with(const std::string& positions, int64_t key_heads = 0, bool other_parts = false) {
  nn::TransformerOptions options = other_parts ? with_other_parts(tiny_options()) : tiny_options();
  options.context = length;
  options.positions = positions;
  options.key_heads = key_heads;
  return options;
}

std::vector<int32_t> ids_of(int64_t sample, int64_t count = length) {
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < count; ++t)
    ids.push_back(static_cast<int32_t>((3 * t * t + 2 * sample + t * sample + 1) % vocabulary));
  return ids;
}

Tensor tokens_of(const std::vector<std::vector<int32_t>>& samples) {
  std::vector<int32_t> all;
  for (const auto& ids : samples) all.insert(all.end(), ids.begin(), ids.end());
  return Tensor::from(all, {static_cast<int64_t>(samples.size()), static_cast<int64_t>(samples[0].size())});
}

Tensor columns(const Tensor& tokens, int64_t begin, int64_t count) { return view::slice(tokens, 1, begin, count); }

// Logits (length, vocabulary) of the whole sequence of a sample.
std::vector<Values> parallel(const nn::LanguageModel& model, const std::vector<int32_t>& ids) {
  const NoGrad guard;
  const Values all = model.forward(tokens_of({ids}), {}).values<double>();
  std::vector<Values> rows;
  for (size_t t = 0; t < ids.size(); ++t)
    rows.emplace_back(all.begin() + static_cast<int64_t>(t) * vocabulary,
                      all.begin() + static_cast<int64_t>(t + 1) * vocabulary);
  return rows;
}

double difference(const Tensor& logits, int64_t sample, const Values& expected) {
  const Values all = logits.values<double>();
  double worst = 0;
  for (int64_t v = 0; v < vocabulary; ++v)
    worst = std::max(worst, error_of(all[sample * vocabulary + v], expected[v], 1 + std::abs(expected[v])));
  return worst;
}

}  // namespace

TEST_CASE(
    "streaming: prefill at every split, then single tokens, equal the parallel form, for all positions, heads and biases") {
  const Tensor tokens = tokens_of({ids_of(0), ids_of(1)});
  for (const std::string& name : causal_mechanisms()) {
    for (const std::string positions : {"learned", "sinusoidal", "rotary", "alibi", "kerple_log", "fire", "t5", "none"}) {
      for (const auto& options :
           {options_with(positions), options_with(positions, 1), options_with(positions, 1, true)}) {
        INFO(name, ", positions ", positions, ", ", options.key_heads, " key heads", options.tied_head ? ", other parts" : "");
        std::unique_ptr<TinyModel> tiny;
        const std::string refused = message_of([&] { tiny = std::make_unique<TinyModel>(name, options); });
        if (refused != "no error") {
          CHECK((contains_text(refused, "does not accept") || contains_text(refused, "as many heads of keys")));
          continue;
        }
        const nn::LanguageModel& model = *tiny->model;
        const std::vector<Values> expected[] = {parallel(model, ids_of(0)), parallel(model, ids_of(1))};
        double worst = 0;
        for (int64_t split = 1; split <= length; ++split) {
          nn::DecoderState state = model.state(2);
          Tensor logits = model.step(columns(tokens, 0, split), state);
          for (int64_t t = split;; ++t) {
            for (const int64_t b : {0, 1}) worst = std::max(worst, difference(logits, b, expected[b][t - 1]));
            if (t == length) break;
            logits = model.step(columns(tokens, t, 1), state);
          }
        }
        CHECK(worst <= 1e-12);
        nn::DecoderState state = model.state(2);   // several tokens at a time
        model.step(columns(tokens, 0, 2), state);
        const Tensor logits = model.step(columns(tokens, 2, 3), state);
        for (const int64_t b : {0, 1}) CHECK(difference(logits, b, expected[b][4]) <= 1e-12);
      }
    }
  }
}

TEST_CASE("streaming: a state is copied, reordered along the batch, and holds samples of different lengths") {
  for (const std::string& name : causal_mechanisms()) {
    for (const std::string positions : {"learned", "sinusoidal", "rotary", "alibi", "kerple_log", "fire", "t5", "none"}) {
      CAPTURE(name);
      CAPTURE(positions);
      std::unique_ptr<TinyModel> tiny;
      if (message_of([&] { tiny = std::make_unique<TinyModel>(name, options_with(positions)); }) != "no error") continue;
      const nn::LanguageModel& model = *tiny->model;

      nn::DecoderState state = model.state(3);   // prompts of 2, 5 and 3 tokens, padded
      const int64_t lengths[] = {2, 5, 3};
      std::vector<std::vector<int32_t>> prompts;
      std::vector<uint8_t> there;
      for (int64_t b = 0; b < 3; ++b) {
        prompts.push_back(ids_of(b, 5));
        for (int64_t t = 0; t < 5; ++t) {
          there.push_back(t < lengths[b]);
          if (t >= lengths[b]) prompts.back()[t] = 6;
        }
      }
      nn::Call call;
      call.mask.keys = Tensor::from(there, {3, 5});
      Tensor logits = model.step(tokens_of(prompts), state, call);
      CHECK(state.lengths == std::vector<int64_t>{2, 5, 3});
      const auto expected = [&](int64_t sample, int64_t tokens) {
        return parallel(model, ids_of(sample, tokens)).back();
      };
      for (int64_t b = 0; b < 3; ++b) CHECK(difference(logits, b, expected(b, lengths[b])) <= 1e-12);

      nn::DecoderState alike = model.state(2);   // two tokens of each sample, then two of the first and one of the second
      model.step(tokens_of({ids_of(0, 2), ids_of(1, 2)}), alike);
      call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 1, 0}, {2, 2});
      logits = model.step(columns(tokens_of({ids_of(0, 4), ids_of(1, 4)}), 2, 2), alike, call);
      CHECK(alike.lengths == std::vector<int64_t>{4, 3});
      for (int64_t b = 0; b < 2; ++b) CHECK(difference(logits, b, expected(b, 4 - b)) <= 1e-12);

      const auto next = [&](nn::DecoderState& own, const std::vector<int64_t>& samples) {   // the next token of each
        std::vector<std::vector<int32_t>> ids;
        for (size_t i = 0; i < samples.size(); ++i) ids.push_back({ids_of(samples[i], own.lengths[i] + 1).back()});
        const Tensor result = model.step(tokens_of(ids), own);
        for (size_t i = 0; i < samples.size(); ++i)
          CHECK(difference(result, static_cast<int64_t>(i), expected(samples[i], own.lengths[i])) <= 1e-12);
      };
      nn::DecoderState other = state.copy();
      next(state, {0, 1, 2});
      next(state, {0, 1, 2});
      CHECK(other.lengths == std::vector<int64_t>{2, 5, 3});
      other.reorder({2, 0, 0, 1});   // the copy is where it was, whatever became of the other one
      CHECK(other.lengths == std::vector<int64_t>{3, 2, 2, 5});
      next(other, {2, 0, 0, 1});
      next(other, {2, 0, 0, 1});
    }
  }
}

TEST_CASE("streaming: rotary positions and biases go on beyond the context, vectors of places end there") {
  for (const std::string positions : {"rotary", "alibi", "kerple_log", "fire", "t5", "none", "learned", "sinusoidal"}) {
    CAPTURE(positions);
    const TinyModel tiny("dot_product", options_with(positions));
    const nn::LanguageModel& model = *tiny.model;
    nn::DecoderState state = model.state(1);
    model.step(tokens_of({ids_of(0)}), state);
    const std::string message = message_of([&] { model.step(tokens_of({{1}}), state); });
    if (model.unlimited()) {
      CHECK(message == "no error");
      CHECK(state.lengths[0] == length + 1);
    } else {
      CHECK(message == "step: sample 0 would have 8 tokens, " + positions +
                           " positions end at 7; hint: begin again with the last tokens, or choose rotary positions or a bias");
      CHECK(state.lengths[0] == length);
    }
  }
}

TEST_CASE("streaming: what does not fit is refused, and the state goes on as if nobody had asked") {
  const TinyModel tiny("dot_product", options_with("learned"));
  const nn::LanguageModel& model = *tiny.model;
  CHECK(message_of([&] { model.state(0); }) == "state: needs at least one sample, got 0");
  nn::DecoderState state = model.state(2);
  const Tensor tokens = tokens_of({ids_of(0), ids_of(1)});
  CHECK(message_of([&] { model.step(columns(tokens_of({ids_of(0)}), 0, 2), state); }) ==
        "step: tokens must be (2,T) as the state has samples, got [1,2]");
  nn::Call call;
  call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 0, 1}, {2, 2});
  CHECK(message_of([&] { model.step(columns(tokens, 0, 2), state, call); }) ==
        "step: row 1 of the key mask does not begin with its tokens; hint: padding comes last");
  call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 0, 0}, {2, 2});
  CHECK(contains_text(message_of([&] { model.step(columns(tokens, 0, 2), state, call); }), "row 1 of the key mask"));
  call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1}, {2, 1});
  CHECK(message_of([&] { model.step(columns(tokens, 0, 2), state, call); }) ==
        "step: the key mask must be u8[2,2], got u8[2,1]");
  call.mask.keys = Tensor::from(std::vector<uint8_t>{1, 1, 1, 0}, {2, 2});
  model.step(columns(tokens, 0, 2), state, call);
  CHECK(message_of([&] { model.step(columns(tokens, 2, 2), state); }) ==
        "step: samples of different lengths go on by 1 token, got [2,2]");
  CHECK(message_of([&] { state.reorder({0, 2}); }) == "reorder: there is no sample 2 among 2");
  CHECK(state.lengths == std::vector<int64_t>{2, 1});

  Cache cache;
  CHECK(message_of([&] {
          cache.append("key", Tensor::zeros({1, 1, 1, 2}), 3);
        }) == "cache: has no 'key' of the tokens before 3");

  const auto mixer_of = [](const std::string& name) {
    auto mixer = mechanism(name).make(*mechanism(name).options(), {.width = 8, .heads = 2});
    mixer->initialise(1);
    return mixer;
  };
  const auto staged = mixer_of("dot_product"), by_sums = mixer_of("linear");
  const auto state_of_staged = staged->state(1), state_of_sums = by_sums->state(1);
  const Tensor x = Tensor::zeros({1, 1, 8});
  CHECK(message_of([&] { staged->step(x, *state_of_sums, {0}, {}); }) == "step: the state is of another mechanism");
  CHECK(message_of([&] { by_sums->step(x, *state_of_staged, {0}, {}); }) == "step: the state is of another mechanism");

  struct Stateless : nn::TokenMixer {
    Tensor forward(const Tensor& x, const Tensor&, const nn::Call&) override { return x; }
    struct Nothing : nn::MixerState {
      std::unique_ptr<MixerState> copy() const override { return nullptr; }
      void reorder(const std::vector<int64_t>&) override {}
    };
  };
  nn::LanguageModel other(options_with("learned"), [](const nn::MixerShape&) { return std::make_unique<Stateless>(); });
  const std::string refusal = "this attention cannot go on token by token; hint: give it the whole sequence";
  CHECK(message_of([&] { other.state(1); }).starts_with("state: this attention cannot go on token by token"));
  Stateless::Nothing nothing;
  CHECK(message_of([&] { Stateless().step(tokens, nothing, {0}, {}); }) == "step: " + refusal);
}

}  // namespace tapir

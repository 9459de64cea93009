// Numbers out of range: options, optimisers, layers, initial values, places. (Functions of ops.h: test_calls.cc.)
#include <doctest/doctest.h>

#include <cmath>

#include "attention/kernels/rotary.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/zoo.h"
#include "autograd/examples/example.h"
#include "autograd/ops/softmax.h"
#include "nn/models/encoder_decoder.h"
#include "nn/optim/ema.h"
#include "nn/optim/optimiser.h"
#include "tensor/random.h"
#include "tests/attention/attention_helpers.h"

using namespace tapir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

// Calls judge(key, refused) once for each field and value that it must refuse, while the field has it; then puts it back.
class Breaker final : public nn::FieldVisitor {
 public:
  using Judge = std::function<void(const std::string& key)>;
  explicit Breaker(const Judge& judge) : judge_(judge) {}
  int fields = 0;

  void operator()(const char* key, int64_t& value, const char*, const nn::Range& range) override {
    constexpr long double end = 0x1p63;   // of int64_t
    if (range.low > -end) with(key, value, static_cast<int64_t>(range.low) - 1);
    if (range.high < end - 1) with(key, value, static_cast<int64_t>(range.high) + 1);
  }
  void operator()(const char* key, double& value, const char*, const nn::Range& range) override {
    with(key, value, quiet_nan);
    const auto low = static_cast<double>(range.low), high = static_cast<double>(range.high);
    for (const double beyond : {std::nextafter(low, -inf), std::nextafter(high, inf), inf, -inf}) with(key, value, beyond);
  }
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char* key, std::string& value, const char*, const nn::Choices& choices) override {
    if (!choices.empty()) with(key, value, std::string("no such"));
  }
  void operator()(const char* key, nn::Numbers& values, const char*, const nn::Range& range) override {
    with(key, values, {});
    nn::Numbers beyond = values;
    beyond.push_back(static_cast<int64_t>(range.low) - 1);
    with(key, values, beyond);
    beyond.back() = static_cast<int64_t>(range.high) + 1;
    with(key, values, beyond);
  }

 private:
  template <class T> void with(const char* key, T& value, const T& other) {
    const T before = value;
    value = other;
    ++fields;
    INFO(key, " = ", other);
    judge_(key);
    value = before;
  }

  Judge judge_;
};

// make(options) refuses what a field does not allow, and names `where` and the field.
template <class Make>
void judge_options(const std::string& where, nn::Options& options, const Make& make) {
  CHECK(message_of(make) == "no error");
  Breaker breaker([&](const std::string& key) {
    const std::string message = message_of(make);
    CAPTURE(message);
    CHECK(message.find(where + ": " + key) == 0);
  });
  options.fields(breaker);
}

struct Model : nn::Module {
  Model() { parameter("w", {2, 2}, nn::ParameterKind::weight, nn::Init::constant(1)); }
};

template <class Optimiser, class Options>
void judge_optimiser(const std::string& name) {
  Model model;
  model.initialise(1, DType::f64);
  Options options;
  judge_options(name, options, [&] { Optimiser(model, options); });
  Optimiser optimiser(model, options);
  for (const double rate : {quiet_nan, inf, -1e-9}) {
    const std::string message = message_of([&] { optimiser.step(rate); });
    CHECK(message == text(name, ": the rate must be in [0, inf), got ", rate));
  }
  for (const double scale : {quiet_nan, inf, -inf}) {
    const std::string message = message_of([&] { optimiser.step(0.1, scale); });
    CHECK(message == text(name, ": gradient_scale must be in (-inf, inf), got ", scale));
  }
  for (const double limit : {quiet_nan, -1e-9, -inf}) {
    const std::string message = message_of([&] { optimiser.clip(limit, 1); });
    CHECK(message == text(name, ": the limit of clipping must be in [0, inf], got ", limit));
  }
  for (const int64_t count : {int64_t{0}, int64_t{-1}})
    CHECK(message_of([&] { optimiser.clip(1, count); }) ==
          text(name, ": gradients must be sums over 1 target or more, got ", count));
}

}  // namespace

TEST_CASE("ranges: optimisers refuse options, rates and limits that are none") {
  judge_optimiser<nn::AdamW, nn::AdamWOptions>("adamw");
  judge_optimiser<nn::Sgd, nn::SgdOptions>("sgd");
  judge_optimiser<nn::Lion, nn::LionOptions>("lion");
  judge_optimiser<nn::Muon, nn::MuonOptions>("muon");
}

TEST_CASE("ranges: mechanisms refuse options and shapes that are none") {
  for (const Mechanism& row : zoo()) {
    const std::unique_ptr<nn::Options> options = row.options();
    CAPTURE(row.name);
    judge_options(row.name, *options, [&] { row.make(*options, {.width = 8, .heads = 2}); });
  }
  const auto made = [](const MixerShape& shape) { return message_of([&] { make_dot_product(shape); }); };
  CHECK(made({.width = 8, .heads = 2}) == "no error");
  for (const MixerShape& shape : {MixerShape{.width = 0, .heads = 2}, MixerShape{.width = -8, .heads = 2},
                                  MixerShape{.width = 8, .heads = 0}, MixerShape{.width = 8, .heads = -2},
                                  MixerShape{.width = 8, .heads = 2, .layer = -1},
                                  MixerShape{.width = 8, .heads = 2, .layer = 0, .key_heads = -1},
                                  MixerShape{.width = 8, .heads = 2, .head_width = -4}})
    CHECK(made(shape).find("attention: width and heads must be positive") == 0);
}

TEST_CASE("ranges: transformers refuse options that are none") {
  nn::TransformerOptions options;
  options.vocabulary = 4;
  options.width = 8;
  options.heads = 2;
  options.layers = 1;
  const nn::MixerMaker mixer = [](const MixerShape& shape) { return make_dot_product(shape); };
  judge_options("language model", options, [&] { nn::LanguageModel(options, mixer); });
  judge_options("encoder", options, [&] { nn::Encoder(options, mixer); });
  judge_options("decoder", options, [&] { nn::Decoder(options, mixer, mixer); });
}

TEST_CASE("ranges: layers, averages, initial values and random numbers") {
  struct Row {
    std::string where, parameter;
    std::vector<double> taken, refused;
    std::function<void(double)> call;
  };
  Tensor y = Tensor::zeros({4}, DType::f64);
  Model model;
  model.initialise(1, DType::f64);
  const std::vector<Row> rows{
      {"layer_norm", "epsilon", {0, 1e-5}, {-1e-300, quiet_nan, inf}, [](double v) { nn::LayerNorm(3, v); }},
      {"rms_norm", "epsilon", {0, 1e-5}, {-1e-300, quiet_nan, inf}, [](double v) { nn::RmsNorm(3, v); }},
      {"dropout", "p", {0, 0.99}, {-1e-300, 1, quiet_nan, inf}, [](double v) { nn::Dropout{v}; }},
      {"ema", "the decay", {0, 0.99}, {-1e-300, 1, quiet_nan, inf}, [&](double v) { nn::Ema(model, v); }},
      {"init", "its number", {0, -2}, {quiet_nan, inf, -inf}, [](double v) { nn::Init::constant(v); }},
      {"init", "its number", {0, 2}, {quiet_nan, inf, -1e-300}, [](double v) { nn::Init::normal(v); }},
      {"init", "its number", {0, 2}, {quiet_nan, inf, -1e-300}, [](double v) { nn::Init::uniform(v); }},
      {"init", "its number", {0, 2}, {quiet_nan, inf, -1e-300}, [](double v) { nn::Init::truncated_normal(v); }},
      {"init", "its number", {1, -2}, {quiet_nan, inf, -inf}, [](double v) { nn::Init::orthogonal(v); }},
      {"uniform_", "low", {0, 1}, {quiet_nan, inf, -inf}, [&](double v) { uniform_(y, v, 1, {}); }},
      {"uniform_", "high", {0, 1}, {quiet_nan, inf, -1e-300}, [&](double v) { uniform_(y, 0, v, {}); }},
      {"normal_", "the mean", {0, -1}, {quiet_nan, inf, -inf}, [&](double v) { normal_(y, v, 1, {}); }},
      {"normal_", "the deviation", {0, 1}, {quiet_nan, inf, -1e-300}, [&](double v) { normal_(y, 0, v, {}); }},
      {"truncated_normal_", "the mean", {0, -1}, {quiet_nan, inf, -inf},
       [&](double v) { truncated_normal_(y, v, 1, {}); }},
      {"truncated_normal_", "the deviation", {0, 1}, {quiet_nan, inf, -1e-300},
       [&](double v) { truncated_normal_(y, 0, v, {}); }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.where);
    for (const double value : row.taken) CHECK(message_of([&] { row.call(value); }) == "no error");
    for (const double value : row.refused) {
      CAPTURE(value);
      const std::string message = message_of([&] { row.call(value); });
      CAPTURE(message);
      CHECK(message.find(row.where + ": " + row.parameter + " must be in ") == 0);
    }
  }
  for (const int64_t inputs : {0, -1}) CHECK(message_of([=] { nn::Init::fan_in(inputs); }) != "no error");
}

TEST_CASE("ranges: the place of the first query is within ±2^53, wherever it is given") {
  const Tensor E = zeros({1, 1, 2, 3}), x = zeros({1, 2, 8});
  const int64_t most = int64_t{1} << 53;
  for (const int64_t offset : {most, -most}) {
    CHECK(message_of([&] { softmax(E, Mask{.causal = true, .offset = offset}); }) == "no error");
    CHECK(message_of([&] { rotary(x, offset); }) == "no error");
  }
  CHECK(softmax(E, Mask{.causal = true, .offset = most}).values<double>() == softmax(E).values<double>());
  CHECK(softmax(E, Mask{.causal = true, .offset = -most}).values<double>() == std::vector<double>(6, 0.0));
  using Limits = std::numeric_limits<int64_t>;
  for (const int64_t offset : {most + 1, -most - 1, Limits::max(), Limits::min()}) {
    const std::string rule = text(": the offset must be in [-2^53, 2^53], got ", offset);
    CHECK(message_of([&] { softmax(E, Mask{.causal = true, .offset = offset}); }) == "softmax" + rule);
    CHECK(message_of([&] { rotary(x, offset); }) == "rotary" + rule);
    for (const Mechanism& row : zoo())
      for (const auto& [positions, name] : nn::all_positions) {
        const auto mixer = row.make(*row.options(), {.width = 8, .heads = 2, .positions = positions});
        if (!mixer->accepts(positions)) continue;
        mixer->initialise(1, DType::f64);
        const nn::Call call = call_with({.causal = true, .offset = offset});
        const std::string message = message_of([&] { mixer->forward(x, x, call); });
        CAPTURE(row.name);
        CAPTURE(message);
        CHECK(message.find(rule) != std::string::npos);
      }
  }
}

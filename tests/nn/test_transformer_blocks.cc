// Blocks without tokens: what they tell a mixer of its place, what they refuse it, and what becomes of a residual branch.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "nn/models/encoder_decoder.h"
#include "tests/attention/attention_helpers.h"

namespace tapir {
namespace {

using Values = std::vector<double>;

nn::BlockOptions small(int64_t layers = 2) {
  nn::BlockOptions options;
  options.width = 8;
  options.layers = layers;
  options.heads = 2;
  options.hidden = 12;
  return options;
}

// Every token gets the mean of its row of the grid, class tokens the mean of all: right only with the grid's extents.
class RowMeans final : public nn::TokenMixer {
 public:
  explicit RowMeans(const MixerShape& shape) : places_(shape.places) {}
  nn::Needs needs() const override { return {.all_tokens = true, .places = nn::Places::Kind::grid}; }

  Tensor forward(const Tensor& x, const Tensor&, const nn::Call&) override {
    const int64_t first = places_.class_tokens, rows = places_.rows, columns = places_.columns, B = x.size(0), C = x.size(2);
    require(x.size(1) == first + rows * columns, "row_means",
            [&] { return text("the grid has ", first, " + ", rows, " × ", columns, " tokens, got ", x.size(1)); });
    const Tensor cells = reshape(slice(x, 1, first, rows * columns), {B, rows, columns, C});
    const Tensor means = reshape(expand(mean(cells, 2, true), cells.shape()), {B, rows * columns, C});
    return first == 0 ? means : concat({expand(mean(x, 1, true), {B, first, C}), means}, 1);
  }

 private:
  const nn::Places places_;
};

// Weights exp(−|p_t − p_s|²) over their sum, p the coordinates that the call brings.
class Near final : public nn::TokenMixer {
 public:
  explicit Near(const MixerShape& shape) : dimensions_(shape.places.dimensions) {}
  nn::Needs needs() const override { return {.places = nn::Places::Kind::coordinates}; }

  Tensor forward(const Tensor& x, const Tensor& context, const nn::Call& call) override {
    const int64_t B = x.size(0), T = x.size(1), S = context.size(1);
    require(call.places.shape() == Shape{B, T, dimensions_} && call.context_places.shape() == Shape{B, S, dimensions_}, "near",
            [&] { return text("coordinates do not fit: ", call.places.shape(), " and ", call.context_places.shape()); });
    const Tensor apart =
        sub(reshape(call.places, {B, T, 1, dimensions_}), reshape(call.context_places, {B, 1, S, dimensions_}));
    return matmul(softmax(neg(sum(square(apart), -1))), context);
  }

 private:
  const int64_t dimensions_;
};

template <class Mixer> nn::MixerMaker maker() {
  return [](const MixerShape& shape) { return std::make_unique<Mixer>(shape); };
}

MixerShape on_grid(int64_t class_tokens, int64_t rows, int64_t columns) {
  return {.places = {.kind = nn::Places::Kind::grid, .class_tokens = class_tokens, .rows = rows, .columns = columns}};
}

// Blocks of one layer whose norms and feed-forward are what they are at first; the mixer's part can be told apart.
std::unique_ptr<nn::Blocks> blocks_of(const MixerShape& shape, const nn::MixerMaker& mixer,
                                      const nn::MixerMaker& cross = nullptr) {
  auto blocks = std::make_unique<nn::Blocks>("model", small(1), shape, mixer, cross);
  blocks->initialise(1, DType::f64);
  return blocks;
}

}  // namespace

TEST_CASE("blocks: a mixer on a grid gets its extents and class tokens, and models of sequences refuse it") {
  const Tensor x = random_normal({2, 7, 8}, 1, "x");
  const auto with_class = blocks_of(on_grid(1, 2, 3), maker<RowMeans>());
  CHECK(with_class->forward(x, {}).shape() == x.shape());
  CHECK(message_of([&] { blocks_of(on_grid(0, 2, 3), maker<RowMeans>())->forward(x, {}); }) ==
        "row_means: the grid has 0 + 2 × 3 tokens, got 7 (in 0)");
  const auto mixed = [&](const MixerShape& shape) {
    RowMeans mixer(shape);
    return mixer.forward(x, x, {}).values<double>();
  };
  CHECK(mixed(on_grid(1, 2, 3)) != mixed(on_grid(1, 3, 2)));
  CHECK(mixed(on_grid(1, 2, 3)) != mixed(on_grid(4, 1, 3)));

  nn::TransformerOptions options;
  options.vocabulary = 5;
  options.width = 8;
  options.heads = 2;
  CHECK(message_of([&] { nn::Encoder(options, maker<RowMeans>()); }) ==
        "encoder: the attention of block 0 needs tokens on a grid, they stand in a sequence");
  CHECK(message_of([&] { nn::LanguageModel(options, maker<RowMeans>()); }) ==
        "language model: the attention of block 0 looks at all tokens, and cannot be causal");
  CHECK(message_of([&] { nn::Encoder(options, maker<Near>()); }) ==
        "encoder: the attention of block 0 needs tokens at coordinates, they stand in a sequence");
}

TEST_CASE("blocks: coordinates of queries and keys may differ, and weights follow them") {
  const MixerShape shape{.places = {.kind = nn::Places::Kind::coordinates, .dimensions = 2}};
  const Tensor x = random_normal({1, 3, 8}, 1, "x"), memory = random_normal({1, 4, 8}, 1, "memory");
  const Tensor at = random_normal({1, 3, 2}, 1, "at"), elsewhere = random_normal({1, 4, 2}, 1, "elsewhere");
  nn::Call call;
  call.places = at;
  call.context_places = elsewhere;
  Near mixer(shape);
  const Values y = mixer.forward(x, memory, call).values<double>(), m = memory.values<double>(), p = at.values<double>(),
               r = elsewhere.values<double>();
  for (int64_t t = 0; t < 3; ++t) {
    double total = 0, first = 0;
    for (int64_t s = 0; s < 4; ++s) {
      const double w = std::exp(-std::pow(p[2 * t] - r[2 * s], 2) - std::pow(p[2 * t + 1] - r[2 * s + 1], 2));
      total += w;
      first += w * m[8 * s];
    }
    CHECK(y[8 * t] == doctest::Approx(first / total).epsilon(1e-12));
  }
  const nn::MixerMaker own = [](const MixerShape& made) { return make_dot_product(made); };
  const auto blocks =
      blocks_of(shape, own, maker<Near>());   // self-attention that knows no places, then reads a memory that has some
  const Tensor read = blocks->forward(x, call, {memory, {}});
  call.context_places = add(elsewhere, Tensor::full({}, 1, DType::f64));
  CHECK(read.values<double>() != blocks->forward(x, call, {memory, {}}).values<double>());
  call.context_places = at;
  CHECK(message_of([&] {
          blocks->forward(x, call, {memory, {}});
        }) == "near: coordinates do not fit: [1,3,2] and [1,3,2] (in 0)");
}

TEST_CASE("blocks: a mixer is told which block of how many it is in, the context, and how long a sequence may be") {
  struct Told {
    std::vector<MixerShape> self, other;
  } told;
  nn::TransformerOptions options;
  static_cast<nn::BlockOptions&>(options) = small(3);
  options.vocabulary = 5;
  options.context = 9;
  options.key_heads = 1;
  options.head_width = 6;
  options.attention_bias = true;
  const auto keep = [](std::vector<MixerShape>& list) {
    return [&list](const MixerShape& shape) {
      list.push_back(shape);
      return make_dot_product(shape);
    };
  };
  nn::Decoder decoder(options, keep(told.self), keep(told.other));
  REQUIRE(told.self.size() == 3);
  for (int64_t layer = 0; layer < 3; ++layer) {
    const MixerShape &self = told.self[layer], &other = told.other[layer];
    for (const MixerShape& one : {self, other}) {
      CHECK((one.width == 8 && one.heads == 2 && one.key_heads == 1 && one.head_width == 6 && one.biases));
      CHECK((one.layer == layer && one.layers == 3 && one.length == 9));
      CHECK(one.places.kind == nn::Places::Kind::sequence);
    }
    CHECK((self.context == nn::Context::self && self.causal));
    CHECK((other.context == nn::Context::other && !other.causal));
  }
  struct EveryHead : StagedAttention {
    using StagedAttention::StagedAttention;
    nn::Needs needs() const override { return {.every_head = true}; }
  };
  CHECK(message_of([&] { nn::LanguageModel(options, maker<EveryHead>()); }) ==
        "language model: the attention of block 0 needs as many heads of keys as of queries, 2, got 1");
}

TEST_CASE("blocks: stochastic depth leaves out whole branches of some samples, in training alone, more in later blocks") {
  constexpr int64_t samples = 4000;
  nn::BlockOptions options = small(2);
  options.drop_path = 0.25;
  const Tensor x = Tensor::full({samples, 1, 8}, 1, DType::f64);
  const auto shares = [&](int64_t layer, bool training) {   // samples whose branch is 0, and the largest distance from 1 or 4/3
    nn::Branch branch(options, layer);
    nn::Effects effects;
    const nn::Call call{.training = training, .seed = 3, .mask = {}, .recorder = {}, .effects = &effects};
    const Values y = branch.forward(x, call).values<double>();
    int64_t dropped = 0;
    double worst = 0;
    for (int64_t b = 0; b < samples; ++b) {
      dropped += y[8 * b] == 0;
      for (int64_t c = 0; c < 8; ++c) {
        CHECK((y[8 * b + c] == 0) == (y[8 * b] == 0));   // all channels together
        if (y[8 * b + c] != 0) worst = std::max(worst, std::abs(y[8 * b + c] - (training && layer > 0 ? 4.0 / 3 : 1)));
      }
    }
    CHECK(worst <= 1e-15);
    return static_cast<double>(dropped) / samples;
  };
  CHECK(shares(0, true) == 0);   // it grows from 0
  CHECK(shares(1, false) == 0);
  CHECK(std::abs(shares(1, true) - 0.25) < 4 * std::sqrt(0.25 * 0.75 / samples));
}

TEST_CASE("blocks: layer scale is a learned factor of each channel of a branch") {
  const nn::MixerMaker mixer = [](const MixerShape& made) { return make_dot_product(made); };
  const Tensor x = random_normal({2, 3, 8}, 1, "x");
  const auto output = [&](double layer_scale) {
    nn::BlockOptions options = small();
    options.layer_scale = layer_scale;
    nn::Blocks blocks("model", options, {}, mixer);
    blocks.initialise(1, DType::f64);
    CHECK(blocks.parameter_count() == nn::Blocks("model", small(), {}, mixer).parameter_count() +
                                          (layer_scale > 0 ? 2 * 2 * 8 : 0));
    return blocks.forward(x, {}).values<double>();
  };
  const Values plain = output(0), small_factor = output(1e-6);
  CHECK(output(1) == plain);
  const Values in = x.values<double>();
  double far = 0, near = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    far = std::max(far, std::abs(plain[i] - in[i]));
    near = std::max(near, std::abs(small_factor[i] - in[i]));
  }
  CHECK(near < 1e-5 * far);
  CHECK(near > 0);
}

}  // namespace tapir

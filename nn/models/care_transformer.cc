#include "nn/models/care_transformer.h"

#include <numeric>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

constexpr const char* name = "care transformer";
constexpr int64_t stages = 4, with_attention = 2;   // the last two

Init initial() { return Init::truncated_normal(0.02); }

void require_sound(const CareTransformerOptions& options, const ImageShape& image) {
  require_allowed(name, options);
  const auto require_count = [](const char* key, const Numbers& values, size_t count) {
    require(values.size() == count, name, [&] { return text(key, " must be ", count, " numbers, got ", values.size()); });
  };
  require_count("depths", options.depths, stages);
  require_count("memory", options.memory, stages);
  require_count("inner_factors", options.inner_factors, stages);
  require_count("outer_factors", options.outer_factors, stages);
  require_count("head_widths", options.head_widths, with_attention);
  for (int64_t s = 0; s < with_attention; ++s) {
    const int64_t m = options.memory[stages - with_attention + s], head = options.head_widths[s];
    require(m % head == 0, name, [&] { return text("heads of ", head, " channels do not divide a memory of ", m); });
  }
  const int64_t side = options.patch << (stages - 1);
  require(
      image.height > 0 && image.width > 0 && image.channels > 0 && image.height % side == 0 && image.width % side == 0, name,
      [&] {
        return text("images of ", image.height, " × ", image.width, " are not tiled by squares of ", side,
                    " pixels, the cells of the last stage");
      },
      "choose another model.patch, or another size of the images");
}

BlockOptions branch_options(const CareTransformerOptions& options, const CarePlace& place) {
  BlockOptions own;
  own.width = 4 * options.memory[place.stage];
  own.layers = place.blocks;
  own.drop_path = options.drop_path;
  own.layer_scale = options.layer_scale;
  return own;
}

ConvolutionOptions same_size(int64_t kernel, int64_t channels) { return {.padding = kernel / 2, .groups = channels}; }

}  // namespace

CareInteraction::CareInteraction(int64_t channels, int64_t factor, bool last)
    : norm_(child<BatchNorm>("norm", channels)),
      up_(child<Linear>("up", channels, factor * channels, true, initial())),
      depthwise_(child<Conv2d>("depthwise", factor * channels, factor * channels, 3, same_size(3, factor * channels), true,
                               initial())),
      down_(last ? nullptr : &child<Linear>("down", factor * channels, channels, true, initial())) {}

Tensor CareInteraction::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  const Tensor y = depthwise_.forward(gelu(up_.forward(norm_.forward(x, call))));
  return leave(down_ ? add(x, down_->forward(y)) : y, x);
}

CareBlock::CareBlock(const CareTransformerOptions& options, const CarePlace& place, std::unique_ptr<TokenMixer> mixer)
    : width_(options.memory[place.stage]),
      mixer_(mixer ? &adopt("attention", std::move(mixer)) : nullptr),
      small_(child<Conv2d>("small", width_, width_, 3, same_size(3, width_), true, initial())),
      large_(child<Conv2d>("large", width_, width_, 7, same_size(7, width_), true, initial())),
      inner_(child<CareInteraction>("inner", 3 * width_, options.inner_factors[place.stage], false)),
      outer_(child<CareInteraction>("outer", 4 * width_, options.outer_factors[place.stage], place.last())),
      branch_(place.last() ? nullptr : &child<Branch>("branch", branch_options(options, place), place.block)) {
  if (mixer_) return;
  rows_ = &child<Conv1d>("rows", width_, width_, 11, same_size(11, width_), true, initial());
  columns_ = &child<Conv1d>("columns", width_, width_, 11, same_size(11, width_), true, initial());
}

Tensor CareBlock::attended(const Tensor& x, const Call& call) const {
  if (mixer_) {
    const Tensor tokens = reshape(x, {x.size(0), x.size(1) * x.size(2), width_});
    return reshape(mixer_->forward(tokens, tokens, call), x.shape());
  }
  const auto along_rows = [](const Conv1d& convolution, const Tensor& map) {
    return reshape(convolution.forward(reshape(map, {map.size(0) * map.size(1), map.size(2), map.size(3)})), map.shape());
  };
  return add(along_rows(*rows_, x), transpose(along_rows(*columns_, transpose(x, 1, 2)), 1, 2));
}

Tensor CareBlock::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  const auto part = [&](int64_t k) { return slice(x, 3, k * width_, width_); };
  const Tensor features = concat({attended(part(1), call), small_.forward(part(2)), large_.forward(part(3))}, 3);
  const Tensor y = outer_.forward(concat({part(0), inner_.forward(features, call)}, 3), call);
  if (!branch_) return leave(y, x);
  const Shape tokens{x.size(0), x.size(1) * x.size(2), x.size(3)};
  return leave(add(x, reshape(branch_->forward(reshape(y, tokens), call), x.shape())), x);
}

CareTransformer::CareTransformer(const CareTransformerOptions& options, const ImageShape& image, int64_t classes,
                                 const MixerMaker& mixer)
    : image_(image),
      stem_((require_sound(options, image),
             child<Conv2d>("stem", image.channels, 4 * options.memory[0], options.patch,
                           ConvolutionOptions{.stride = options.patch}, true, initial()))),
      stem_norm_(child<BatchNorm>("stem_norm", 4 * options.memory[0])) {
  CarePlace place{0, 0, std::accumulate(options.depths.begin(), options.depths.end(), int64_t{0})};
  const int64_t without_mixer = std::accumulate(options.depths.begin(), options.depths.end() - with_attention, int64_t{0});
  for (; place.stage < stages; ++place.stage) {
    const int64_t stage = place.stage, m = options.memory[stage], side = options.patch << stage;
    const std::string path = text("stages.", stage, '.');
    Stage own{nullptr, nullptr, {}};
    if (stage > 0) {
      const int64_t before = 4 * options.memory[stage - 1];
      own.norm = &child<BatchNorm>(path + "norm", before);
      own.down = &child<Conv2d>(path + "down", before, 4 * m, 2, ConvolutionOptions{.stride = 2}, true, initial());
    }
    const Places grid{.kind = Places::Kind::grid, .rows = image.height / side, .columns = image.width / side};
    for (int64_t n = 0; n < options.depths[stage]; ++n, ++place.block) {
      std::unique_ptr<TokenMixer> attention;
      if (stage >= stages - with_attention) {
        const MixerShape shape{.width = m,
                               .heads = m / options.head_widths[stage - (stages - with_attention)],
                               .layer = place.block - without_mixer,
                               .biases = true,
                               .layers = place.blocks - without_mixer,
                               .length = grid.tokens(),
                               .places = grid};
        attention = mixer(shape);
        require_met(name, attention->needs(), shape);
      }
      own.blocks.push_back(&child<CareBlock>(path + text(n), options, place, std::move(attention)));
    }
    stages_.push_back(own);
  }
  const int64_t width = options.outer_factors.back() * 4 * options.memory.back();
  for (int64_t k = 0; k < options.classifiers; ++k) {
    const std::string path = text("classifiers.", k, '.');
    norms_.push_back(&child<LayerNorm>(path + "norm", width, 1e-6));
    classifiers_.push_back(
        &child<Linear>(path + "linear", width, classes, true, initial(), Init::constant(0), ParameterKind::head));
  }
}

Tensor CareTransformer::forward(const Tensor& pixels, const Call& call) const {
  const Scope scope = enter();
  const Shape expected{pixels.rank() ? pixels.size(0) : 0, image_.height, image_.width, image_.channels};
  require(pixels.shape() == expected, name, [&] {
    return text("pixels must be (B,", image_.height, ",", image_.width, ",", image_.channels, "), got ", pixels.shape());
  });
  Tensor x = stem_norm_.forward(stem_.forward(pixels), call);
  for (const Stage& stage : stages_) {
    if (stage.down) x = stage.down->forward(stage.norm->forward(x, call));
    for (const CareBlock* block : stage.blocks) x = block->forward(x, call);
  }
  const Tensor read = gelu(mean(mean(x, 1), 1));
  Tensor logits;
  for (size_t k = 0; k < classifiers_.size(); ++k) {
    const Tensor own = classifiers_[k]->forward(norms_[k]->forward(read));
    logits = logits.defined() ? add(logits, own) : own;
  }
  return leave(affine(logits, 1 / static_cast<double>(classifiers_.size()), 0), pixels);
}

}  // namespace tapir::nn

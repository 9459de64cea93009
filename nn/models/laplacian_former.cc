#include "nn/models/laplacian_former.h"

#include <numeric>

#include "autograd/ops/shape.h"

namespace tapir::nn {
namespace {

constexpr const char* name = "laplacian former";

void require_sound(const LaplacianFormerOptions& options, const ImageShape& image) {
  require_allowed(name, options);
  const size_t stages = options.widths.size();
  require(options.depths.size() == stages, name,
          [&] { return text("depths must be ", stages, " numbers, as widths are, got ", options.depths.size()); });
  require(stages <= 8, name, [&] { return text("there may be 8 stages at most, got ", stages); });
  const int64_t side = options.stride << (stages - 1);
  require(
      image.height > 0 && image.width > 0 && image.channels > 0 && image.height % side == 0 && image.width % side == 0, name,
      [&] {
        return text("images of ", image.height, " × ", image.width, " are not tiled by squares of ", side,
                    " pixels, the cells of the last stage");
      },
      "choose another model.stride, fewer model.widths, or another size of the images");
}

}  // namespace

Expansion::Expansion(int64_t channels, int64_t out, int64_t factor)
    : factor_(factor),
      linear_(child<Linear>("linear", channels, factor * factor * out, true, Init::xavier_uniform())),
      norm_(child<LayerNorm>("norm", out)) {}

Tensor Expansion::forward(const Tensor& x) const {
  const Scope scope = enter();
  const int64_t B = x.size(0), h = x.size(1), w = x.size(2), f = factor_;
  const Tensor cells = transpose(reshape(linear_.forward(x), {B, h, w, f, f, -1}), 2, 3);   // (B,h,f,w,f,O)
  return leave(norm_.forward(reshape(cells, {B, h * f, w * f, -1})), x);
}

LaplacianFormer::LaplacianFormer(const LaplacianFormerOptions& options, const ImageShape& image, int64_t classes,
                                 const MixerMaker& mixer)
    : image_((require_sound(options, image), image)) {
  const Numbers &widths = options.widths, &depths = options.depths;
  const auto stages = static_cast<int64_t>(widths.size());
  const int64_t all = 2 * std::accumulate(depths.begin(), depths.end(), int64_t{0}) - depths.back();
  int64_t layer = 0;
  const auto blocks_of = [&](const std::string& path, int64_t stage) {
    const int64_t side = options.stride << stage;
    const Places grid{.kind = Places::Kind::grid, .rows = image.height / side, .columns = image.width / side};
    std::vector<LaplacianBlock*> blocks;
    for (int64_t n = 0; n < depths[stage]; ++n, ++layer) {
      const MixerShape shape{.width = widths[stage], .heads = 1, .layer = layer, .biases = true, .layers = all,
                             .length = grid.tokens(), .places = grid};
      std::unique_ptr<TokenMixer> attention = mixer(shape);
      require_met(name, attention->needs(), shape);
      blocks.push_back(&child<LaplacianBlock>(text(path, n), widths[stage], options.shortcut == "scrambled", std::move(attention)));
    }
    return blocks;
  };
  for (int64_t s = 0; s < stages; ++s) {
    const std::string path = text("stages.", s, '.');
    Conv2d* const down =
        s == 0 ? &child<Conv2d>(path + "down", image.channels, widths[0], 7, ConvolutionOptions{.stride = options.stride, .padding = 3})
               : &child<Conv2d>(path + "down", widths[s - 1], widths[s], 3, ConvolutionOptions{.stride = 2, .padding = 1});
    const std::vector<LaplacianBlock*> blocks = blocks_of(path, s);
    stages_.push_back({down, blocks, &child<LayerNorm>(path + "norm", widths[s])});
  }
  for (int64_t b = 0; b < options.bridges; ++b) bridges_.push_back(&child<MultiScaleBridge>(text("bridges.", b), widths));
  decoders_.resize(stages - 1);
  for (int64_t s = stages - 2; s >= 0; --s) {
    const std::string path = text("decoder.", s, '.');
    Expansion* const expand = &child<Expansion>(path + "expand", widths[s + 1], widths[s], 2);
    Linear* const merge = &child<Linear>(path + "merge", 2 * widths[s], widths[s], true, Init::xavier_uniform());
    decoders_[s] = {expand, merge, blocks_of(path, s)};
  }
  expand_ = &child<Expansion>("expand", widths[0], widths[0], options.stride);
  head_ = &child<Linear>("head", widths[0], classes, true, Init::xavier_uniform(), Init::constant(0), ParameterKind::head);
}

Tensor LaplacianFormer::forward(const Tensor& pixels, const Call& call) const {
  const Scope scope = enter();
  const Shape expected{pixels.rank() ? pixels.size(0) : 0, image_.height, image_.width, image_.channels};
  require(pixels.shape() == expected, name, [&] {
    return text("pixels must be (B,", image_.height, ",", image_.width, ",", image_.channels, "), got ", pixels.shape());
  });
  std::vector<Tensor> maps;
  for (const Stage& stage : stages_) {
    Tensor x = stage.down->forward(maps.empty() ? pixels : maps.back());
    for (const LaplacianBlock* block : stage.blocks) x = block->forward(x, call);
    maps.push_back(stage.norm->forward(x));
  }
  for (const MultiScaleBridge* bridge : bridges_) maps = bridge->forward(maps);
  Tensor y = maps.back();
  for (size_t s = decoders_.size(); s-- > 0;) {
    y = decoders_[s].merge->forward(concat({decoders_[s].expand->forward(y), maps[s]}, 3));
    for (const LaplacianBlock* block : decoders_[s].blocks) y = block->forward(y, call);
  }
  return leave(head_->forward(expand_->forward(y)), pixels);
}

}  // namespace tapir::nn

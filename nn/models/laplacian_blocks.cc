#include "nn/models/laplacian_blocks.h"

#include <bit>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

// p: of C = 64, 128, 320, 512 these are 8, 16, 16, 32.
int64_t columns_of(int64_t channels) {
  require(channels > 0, "shortcut", [&] { return text("it must have channels, got ", channels); });
  const int e = std::bit_width(static_cast<uint64_t>(channels)) - 1;
  const int64_t p = int64_t{1} << (e - e / 2);
  require(
      channels % p == 0, "shortcut",
      [&] { return text("the channels of a token are a matrix of ", p, " columns, and ", channels, " are none"); },
      text("take ", channels / p * p, " or ", (channels / p + 1) * p, " channels"));
  return p;
}

Tensor tokens_of(const Tensor& map) { return reshape(map, {map.size(0), map.size(1) * map.size(2), map.size(3)}); }

}  // namespace

MixFeedForward::MixFeedForward(int64_t channels)
    : up_(child<Linear>("up", channels, 4 * channels, true, Init::xavier_uniform())),
      depthwise_(child<Conv2d>("depthwise", 4 * channels, 4 * channels, 3,
                               ConvolutionOptions{.padding = 1, .groups = 4 * channels})),
      norm_(child<LayerNorm>("norm", 4 * channels)),
      down_(child<Linear>("down", 4 * channels, channels, true, Init::xavier_uniform())) {}

Tensor MixFeedForward::forward(const Tensor& x) const {
  const Scope scope = enter();
  const Tensor u = up_.forward(x);
  return leave(down_.forward(gelu(norm_.forward(add(depthwise_.forward(u), u)))), x);
}

DiverseShortcut::DiverseShortcut(int64_t channels, bool scrambled)
    : columns_(columns_of(channels)), scrambled_(scrambled),
      inner_(child<Linear>("inner", columns_, columns_, true, Init::xavier_uniform())),
      outer_(child<Linear>("outer", channels / columns_, channels / columns_, true, Init::xavier_uniform())) {}

Tensor DiverseShortcut::forward(const Tensor& x) const {
  const Scope scope = enter();
  const int64_t B = x.size(0), N = x.size(1) * x.size(2), C = x.size(3);
  const Tensor tokens = scrambled_ ? transpose(reshape(x, {B, C, N})) : tokens_of(x);
  const Tensor matrices = reshape(tokens, {B, N, C / columns_, columns_});
  const Tensor y = transpose(outer_.forward(transpose(gelu(inner_.forward(matrices)))));
  return leave(reshape(y, x.shape()), x);
}

LaplacianBlock::LaplacianBlock(int64_t channels, bool scrambled, std::unique_ptr<TokenMixer> mixer)
    : norm1_(child<LayerNorm>("norm1", channels)),
      mixer_(adopt("attention", std::move(mixer))),
      shortcut_(child<DiverseShortcut>("shortcut", channels, scrambled)),
      norm2_(child<LayerNorm>("norm2", channels)),
      mlp_(child<MixFeedForward>("mlp", channels)) {}

Tensor LaplacianBlock::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  const Tensor tokens = tokens_of(norm1_.forward(x));
  const Tensor y = reshape(mixer_.forward(tokens, tokens, call), x.shape());
  const Tensor t = add(add(x, y), shortcut_.forward(x));
  return leave(add(t, mlp_.forward(norm2_.forward(t))), x);
}

MultiScaleBridge::MultiScaleBridge(const std::vector<int64_t>& channels) : width_(channels.at(0)) {
  for (size_t i = 0; i < channels.size(); ++i) {
    const int64_t C = channels[i];
    require(C % width_ == 0, "bridge",
            [&] { return text("the ", C, " channels of level ", i, " are no multiple of the ", width_, " of the first"); });
    const auto linear = [&](const char* name, int64_t out) -> Linear& {
      return child<Linear>(text("levels.", i, '.', name), C, out, true, Init::xavier_uniform());
    };
    Linear &query = linear("query", C), &key = linear("key", width_), &value = linear("value", width_);
    levels_.push_back({query, key, value, child<LayerNorm>(text("levels.", i, ".norm"), C),
                       child<MixFeedForward>(text("levels.", i, ".mlp"), C)});
  }
}

std::vector<Tensor> MultiScaleBridge::forward(const std::vector<Tensor>& maps) const {
  const Scope scope = enter();
  Tensor context;   // E (B,C₀,C₀)
  for (size_t i = 0; i < levels_.size(); ++i) {
    const Tensor tokens = tokens_of(maps[i]);
    const Tensor own = matmul(softmax(transpose(levels_[i].key.forward(tokens))), levels_[i].value.forward(tokens));
    context = context.defined() ? add(context, own) : own;
  }
  const Tensor shared = reshape(context, {context.size(0), 1, width_, width_});
  std::vector<Tensor> all;
  for (size_t i = 0; i < levels_.size(); ++i) {
    const Tensor tokens = tokens_of(maps[i]);
    const int64_t B = tokens.size(0), N = tokens.size(1), columns = tokens.size(2) / width_;
    const Tensor query = transpose(reshape(levels_[i].query.forward(tokens), {B, N, width_, columns}));   // (B,N,m,C₀)
    const Tensor read = transpose(matmul(softmax(query), shared));
    const Tensor z = add(maps[i], reshape(read, maps[i].shape()));
    all.push_back(add(z, levels_[i].mlp.forward(levels_[i].norm.forward(z))));
  }
  return all;
}

}  // namespace tapir::nn

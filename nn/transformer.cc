#include "nn/transformer.h"

#include <cmath>

#include "autograd/ops.h"
#include "autograd/recompute.h"

namespace tapir::nn {
namespace {

constexpr double deviation = 0.02;   // of initial weights, as in GPT-2

Tensor (*activation_of(const std::string& name))(const Tensor&) {
  return name == "relu" ? relu : name == "gelu_tanh" ? gelu_tanh : gelu;
}

}  // namespace

FeedForward::FeedForward(const TransformerOptions& options)
    : activation_(activation_of(options.activation)),
      up_(child<Linear>("up", options.width, options.hidden_width(), true, Init::normal(deviation))),
      dropout_(child<Dropout>("dropout", options.dropout)),
      down_(child<Linear>("down", options.hidden_width(), options.width, true, Init::normal(deviation))) {}

Tensor FeedForward::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  return leave(down_.forward(dropout_.forward(activation_(up_.forward(x)), call)), x);
}

TransformerBlock::TransformerBlock(const TransformerOptions& options, std::unique_ptr<TokenMixer> mixer)
    : post_norm_(options.norm == "post"), norm1_(child<LayerNorm>("norm1", options.width)),
      mixer_(adopt("attention", std::move(mixer))), norm2_(child<LayerNorm>("norm2", options.width)),
      mlp_(child<FeedForward>("mlp", options)), dropout1_(child<Dropout>("dropout1", options.dropout)),
      dropout2_(child<Dropout>("dropout2", options.dropout)) {}

Tensor TransformerBlock::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  const auto mixed = [&](const Tensor& a) { return dropout1_.forward(mixer_.forward(a, a, call), call); };
  const auto fed = [&](const Tensor& a) { return dropout2_.forward(mlp_.forward(a, call), call); };
  if (post_norm_) {
    const Tensor y = norm1_.forward(add(x, mixed(x)));
    return leave(norm2_.forward(add(y, fed(y))), x);
  }
  const Tensor y = add(x, mixed(norm1_.forward(x)));
  return leave(add(y, fed(norm2_.forward(y))), x);
}

LanguageModel::LanguageModel(const TransformerOptions& o, const MixerMaker& mixer)
    : options(o),
      tokens_(child<Embedding>("tokens", o.vocabulary, o.width, Init::normal(deviation))),
      positions_(o.positions == "learned" ? &child<Embedding>("positions", o.context, o.width, Init::normal(deviation))
                                          : nullptr),
      dropout_(child<Dropout>("dropout", o.dropout)),
      norm_(child<LayerNorm>("norm", o.width)),
      head_(child<Linear>("head", o.width, o.vocabulary, false, Init::normal(deviation))) {
  require(o.width % o.heads == 0, "language model",
          [&] { return text("the width ", o.width, " is not a multiple of the ", o.heads, " heads"); });
  for (int64_t layer = 0; layer < o.layers; ++layer)
    blocks_.push_back(&child<TransformerBlock>(text("blocks.", layer), o, mixer(layer)));
}

Tensor LanguageModel::position_vectors(int64_t length, DType type, Device device) const {
  if (positions_) return slice(positions_->weight.value, 0, 0, length);
  // pe[t,2r] = sin(t / 10000^(2r/C)),  pe[t,2r+1] = cos(t / 10000^(2r/C))      Vaswani et al. 2017, section 3.5
  const int64_t width = options.width;
  std::vector<double> table(length * width);
  for (int64_t t = 0; t < length; ++t)
    for (int64_t c = 0; c < width; ++c) {
      const double angle =
          static_cast<double>(t) / std::pow(10000.0, static_cast<double>(c / 2 * 2) / static_cast<double>(width));
      table[t * width + c] = c % 2 ? std::cos(angle) : std::sin(angle);
    }
  return Tensor::from(table, {length, width}, device).to(type);
}

Tensor LanguageModel::forward(const Tensor& tokens, const Call& call) const {
  require(tokens.rank() == 2 && tokens.size(1) <= options.context, "language model", [&] {
    return text("tokens must be (B,T) with T ≤ ", options.context, ", got ", tokens.shape());
  });
  Call causal = call;
  causal.mask.causal = true;
  Tensor x = tokens_.forward(tokens);
  x = dropout_.forward(add(x, position_vectors(tokens.size(1), x.dtype(), x.device())), call);
  for (const TransformerBlock* block : blocks_) {
    const auto run = [block, causal](const std::vector<Tensor>& in) { return block->forward(in[0], causal); };
    x = options.recompute && !call.recorder ? recompute(run, {x}) : run({x});   // a recorder hears a block once
  }
  return leave(head_.forward(norm_.forward(x)), tokens);
}

}  // namespace tapir::nn

#include "nn/models/transformer.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"
#include "autograd/recompute.h"

namespace tapir::nn {
namespace {

constexpr double deviation = 0.02;   // of initial weights, as in GPT-2

Tensor (*activation_of(const std::string& name))(const Tensor&) {
  return name == "relu" ? relu : name == "gelu_tanh" ? gelu_tanh : gelu;
}

Positions attention_positions(const std::string& name) {
  return name == "rotary" ? Positions::rotary : name == "alibi" ? Positions::alibi : Positions::none;
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

TransformerBlock::TransformerBlock(const TransformerOptions& options, std::unique_ptr<TokenMixer> mixer,
                                   std::unique_ptr<TokenMixer> cross)
    : post_norm_(options.norm == "post"), norm1_(adopt("norm1", make_norm(options.norm_kind, options.width))),
      mixer_(adopt("attention", std::move(mixer))),
      cross_norm_(cross ? &adopt("cross_norm", make_norm(options.norm_kind, options.width)) : nullptr),
      cross_(cross ? &adopt("cross_attention", std::move(cross)) : nullptr),
      norm2_(adopt("norm2", make_norm(options.norm_kind, options.width))), mlp_(child<FeedForward>("mlp", options)),
      dropout1_(child<Dropout>("dropout1", options.dropout)),
      cross_dropout_(cross_ ? &child<Dropout>("cross_dropout", options.dropout) : nullptr),
      dropout2_(child<Dropout>("dropout2", options.dropout)) {}

Tensor TransformerBlock::forward(const Tensor& x, const Call& call, const Memory& memory) const {
  const Scope scope = enter();
  const auto residual = [&](const Tensor& a, const Norm& norm, const auto& f) {
    return post_norm_ ? norm.forward(add(a, f(a))) : add(a, f(norm.forward(a)));
  };
  Tensor y = residual(x, norm1_, [&](const Tensor& a) { return dropout1_.forward(mixer_.forward(a, a, call), call); });
  if (cross_) {
    Call reading = call;   // the two sequences have no common places
    reading.mask = {.causal = false, .offset = 0, .keys = memory.keys};
    reading.positions = Positions::none;
    y = residual(y, *cross_norm_, [&](const Tensor& a) {
      return cross_dropout_->forward(cross_->forward(a, memory.tokens, reading), reading);
    });
  }
  y = residual(y, norm2_, [&](const Tensor& a) { return dropout2_.forward(mlp_.forward(a, call), call); });
  return leave(y, x);
}

TransformerStack::TransformerStack(const char* name, const TransformerOptions& o)
    : options((require_allowed(name, o), o)), kind_(name),
      tokens_(child<Embedding>("tokens", o.vocabulary, o.width, Init::normal(deviation))),
      positions_(o.positions == "learned" ? &child<Embedding>("positions", o.context, o.width, Init::normal(deviation))
                                          : nullptr),
      dropout_(child<Dropout>("dropout", o.dropout)),
      norm_(adopt("norm", make_norm(o.norm_kind, o.width))) {
  require(o.width % o.heads == 0, name,
          [&] { return text("the width ", o.width, " is not a multiple of the ", o.heads, " heads"); });
}

void TransformerStack::add_blocks(const MixerMaker& mixer, const MixerMaker& cross) {
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    std::unique_ptr<TokenMixer> own = mixer(layer);
    require(own->accepts(attention_positions(options.positions)), kind_, [&] {
      return text("the attention of block ", layer, " does not accept ", options.positions, " positions");
    }, "choose learned, sinusoidal or none");
    blocks_.push_back(&child<TransformerBlock>(text("blocks.", layer), options, std::move(own),
                                               cross ? cross(layer) : nullptr));
  }
}

Tensor TransformerStack::position_vectors(int64_t length, DType type, Device device) const {
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

Tensor TransformerStack::run(const Tensor& tokens, Call call, const Memory& memory) const {
  require(tokens.rank() == 2 && tokens.size(1) <= options.context, kind_, [&] {
    return text("tokens must be (B,T) with T ≤ ", options.context, ", got ", tokens.shape());
  });
  call.positions = attention_positions(options.positions);
  Tensor x = tokens_.forward(tokens);
  if (options.positions == "learned" || options.positions == "sinusoidal")
    x = add(x, position_vectors(tokens.size(1), x.dtype(), x.device()));
  x = dropout_.forward(x, call);
  for (const TransformerBlock* block : blocks_) {
    const auto run = [block, call, memory](const std::vector<Tensor>& in) { return block->forward(in[0], call, memory); };
    x = options.recompute && !call.recorder ? recompute(run, {x}) : run({x});   // a recorder hears a block once
  }
  return norm_.forward(x);
}

std::unique_ptr<Linear> make_head(const TransformerOptions& o) {
  return std::make_unique<Linear>(o.width, o.vocabulary, false, Init::normal(deviation), Init::constant(0),
                                  ParameterKind::head);
}

LanguageModel::LanguageModel(const TransformerOptions& options, const MixerMaker& mixer)
    : TransformerStack("language model", options), head_(adopt("head", make_head(options))) {
  add_blocks(mixer);
}

Tensor LanguageModel::forward(const Tensor& tokens, const Call& call) const {
  Call causal = call;
  causal.mask.causal = true;
  return leave(head_.forward(run(tokens, causal)), tokens);
}

}  // namespace tapir::nn

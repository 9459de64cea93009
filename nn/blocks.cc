#include "nn/blocks.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/unary.h"
#include "nn/after_feed_forward.h"

namespace tapir::nn {
namespace {

constexpr double deviation = 0.02;   // of initial weights, as in GPT-2

Tensor (*activation_of(const std::string& name))(const Tensor&) {
  return name == "relu" ? relu : name == "gelu_tanh" ? gelu_tanh : gelu;
}

}  // namespace

std::unique_ptr<Norm> norm_of(const BlockOptions& o) { return make_norm(o.norm_kind, o.width, o.bias); }

FeedForward::FeedForward(const BlockOptions& options)
    : activation_(activation_of(options.activation)),
      up_(child<Linear>("up", options.width, options.hidden_width(), options.bias, Init::normal(deviation))),
      dropout_(child<Dropout>("dropout", options.dropout)),
      down_(child<Linear>("down", options.hidden_width(), options.width, options.bias, Init::normal(deviation))) {}

Tensor FeedForward::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  return leave(down_.forward(dropout_.forward(activation_(up_.forward(x)), call)), x);
}

Branch::Branch(const BlockOptions& options, int64_t layer)
    : dropout_(child<Dropout>("dropout", options.dropout)),
      scale_(options.layer_scale == 0 ? nullptr
                                      : &parameter("scale", {options.width}, ParameterKind::gain,
                                                   Init::constant(options.layer_scale))),
      drop_path_(options.layers > 1 ? options.drop_path * static_cast<double>(layer) / static_cast<double>(options.layers - 1)
                                    : options.drop_path) {}

Tensor Branch::forward(const Tensor& y, const Call& call) const {
  const Scope scope = enter();
  Tensor out = dropout_.forward(y, call);
  if (scale_) out = mul(out, scale_->value);
  if (call.training && drop_path_ > 0)
    out = mul(out, dropout(Tensor::full({out.size(0), 1, 1}, 1, out.dtype(), out.device()), drop_path_, call.random()));
  return leave(out, y);
}

Block::Block(const BlockOptions& options, int64_t layer, std::unique_ptr<TokenMixer> mixer, std::unique_ptr<TokenMixer> cross)
    : post_norm_(options.norm == "post"), norm1_(own_norm("norm1", options)),
      mixer_(adopt("attention", std::move(mixer))),
      cross_norm_(cross ? own_norm("cross_norm", options) : nullptr),
      cross_(cross ? &adopt("cross_attention", std::move(cross)) : nullptr),
      norm2_(own_norm("norm2", options)), mlp_(child<FeedForward>("mlp", options)),
      branch1_(child<Branch>("branch1", options, layer)),
      cross_branch_(cross_ ? &child<Branch>("cross_branch", options, layer) : nullptr),
      branch2_(child<Branch>("branch2", options, layer)) {}

Norm* Block::own_norm(const char* name, const BlockOptions& options) {
  return options.norm == "none" ? nullptr : &adopt(name, norm_of(options));
}

Tensor Block::through(const Tensor& x, const Call& call, const Memory& memory,
                      const std::function<Tensor(const Tensor&)>& mix) const {
  const Scope scope = enter();
  const auto residual = [&](const Tensor& a, const Norm* norm, const auto& f) {
    if (!norm) return add(a, f(a));
    return post_norm_ ? norm->forward(add(a, f(a))) : add(a, f(norm->forward(a)));
  };
  Tensor y = residual(x, norm1_, [&](const Tensor& a) { return branch1_.forward(mix(a), call); });
  if (cross_) {
    Call reading = call;
    reading.mask = {.causal = false, .offset = 0, .keys = memory.keys};
    y = residual(y, cross_norm_, [&](const Tensor& a) {
      return cross_branch_->forward(cross_->forward(a, memory.tokens, reading), reading);
    });
  }
  y = residual(y, norm2_, [&](const Tensor& a) {
    return branch2_.forward(after_feed_forward(mixer_, mlp_.forward(a, call), call), call);
  });
  return leave(y, x);
}

Tensor Block::forward(const Tensor& x, const Call& call, const Memory& memory) const {
  return through(x, call, memory, [&](const Tensor& a) { return mixer_.forward(a, a, call); });
}

Tensor Block::step(const Tensor& x, MixerState& state, const std::vector<int64_t>& lengths, const Call& call) const {
  return through(x, call, {}, [&](const Tensor& a) { return mixer_.step(a, state, lengths, call); });
}

Blocks::Blocks(const char* model, const BlockOptions& options, MixerShape shape, const MixerMaker& mixer,
               const MixerMaker& cross)
    : recompute_(options.recompute) {
  require(
      options.head_width > 0 || options.width % options.heads == 0, model,
      [&] { return text("the width ", options.width, " is not a multiple of the ", options.heads, " heads"); },
      "or set head_width");
  shape.width = options.width;
  shape.heads = options.heads;
  shape.key_heads = options.key_heads;
  shape.head_width = options.head_width;
  shape.biases = options.attention_bias;
  const bool grid = shape.places.on_grid();
  require(
      shape.positions != Positions::rotary || shape.can_turn(shape.head_channels()), model,
      [&] {
        return text("rotary positions turn pairs of channels", grid ? " for rows and as many for columns" : "", ", and a head has ",
                    shape.head_channels());
      },
      grid ? "set a head_width that is a multiple of 4" : "set an even head_width");
  shape.layers = options.layers;
  shape.feed_forward = true;
  const auto made = [&](const MixerMaker& make, const MixerShape& own) {
    std::unique_ptr<TokenMixer> result = make(own);
    require_met(model, result->needs(), own);
    return result;
  };
  for (shape.layer = 0; shape.layer < options.layers; ++shape.layer) {
    std::unique_ptr<TokenMixer> own = made(mixer, shape);
    require(own->accepts(shape.positions), model,
            [&] {
              return text("the attention of block ", shape.layer, " does not accept ", name_of(shape.positions), " positions");
            },
            "choose learned, sinusoidal or none");
    MixerShape reading = shape;
    reading.context = Context::other;
    reading.positions = Positions::none;   // the two sequences have no common places
    reading.causal = false;
    blocks_.push_back(
        &child<Block>(text(shape.layer), options, shape.layer, std::move(own), cross ? made(cross, reading) : nullptr));
  }
}

Tensor Blocks::forward(const Tensor& x, const Call& call, const Memory& memory) const {
  const Scope scope = enter();
  Tensor y = x;
  for (const Block* block : blocks_) {
    const auto run = [block, memory](const Tensor& in, const Call& own) { return block->forward(in, own, memory); };
    y = recompute_ && !call.recorder ? recomputed(run, y, call) : run(y, call);   // a recorder hears a block once
  }
  return leave(y, x);
}

std::vector<std::unique_ptr<MixerState>> Blocks::state(int64_t batch) const {
  std::vector<std::unique_ptr<MixerState>> states;
  for (const Block* block : blocks_) states.push_back(block->mixer().state(batch));
  return states;
}

Tensor Blocks::step(const Tensor& x, const std::vector<std::unique_ptr<MixerState>>& state, const std::vector<int64_t>& lengths,
                    const Call& call) const {
  const Scope scope = enter();
  Tensor y = x;
  for (size_t i = 0; i < blocks_.size(); ++i) y = blocks_[i]->step(y, *state[i], lengths, call);
  return leave(y, x);
}

}  // namespace tapir::nn

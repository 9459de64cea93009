// Blocks: (B,N,C) → (B,N,C), a mixer of tokens and a network for each of them, with residual sums. They know no tokens: what
// stands before and after them is a model's. Letters: B batch, N tokens, S tokens of the memory that cross-attention reads, C
// width.
#pragma once
#include <memory>
#include <vector>

#include "nn/fields.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/token_mixer.h"

namespace tapir::nn {

struct BlockOptions : Options {
  int64_t width = 256;
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t key_heads = 0;
  int64_t head_width = 0;
  int64_t hidden = 0;
  std::string norm = "pre";
  std::string norm_kind = "layer";
  std::string activation = "gelu";
  bool bias = true;
  bool attention_bias = false;
  double dropout = 0;
  double drop_path = 0;
  double layer_scale = 0;
  bool recompute = false;

  int64_t hidden_width() const { return hidden ? hidden : 4 * width; }

  void fields(FieldVisitor& visit) override {
    visit("width", width, "channels C of the residual stream", between(1, 1 << 16));
    visit("layers", layers, "transformer blocks", between(1, 1024));
    visit("heads", heads, "attention heads; must divide the width where head_width is 0", between(1, 1024));
    visit("key_heads", key_heads, "heads of keys and values, each shared by heads/key_heads queries; 0: as many as heads",
          between(0, 1024));
    visit("head_width", head_width, "channels of a head; 0: width / heads", between(0, 1 << 16));
    visit("hidden", hidden, "hidden units of the feed-forward layers; 0: 4 × width", between(0, 1 << 20));
    visit("norm", norm, "norm before each sub-layer, after its residual sum, or none", Choices{"pre", "post", "none"});
    visit("norm_kind", norm_kind, "layer norm or RMS norm", Choices{"layer", "rms"});
    visit("activation", activation, "of the feed-forward layers", Choices{"gelu", "gelu_tanh", "relu"});
    visit("bias", bias, "the feed-forward layers and layer norms have biases");
    visit("attention_bias", attention_bias, "the linear projections of attention have biases");
    visit("dropout", dropout,
          "probability: on embedded tokens, after the activation and at the end of every residual branch",
          between(0, 0.99));
    visit("drop_path", drop_path,
          "probability that a sample skips a residual branch, of the last block; it grows from 0 in the first",
          between(0, 0.99));
    visit("layer_scale", layer_scale, "first value of a learned factor for each channel of a residual branch; 0: none",
          between(0, 10));
    visit("recompute", recompute, "run each block again in backward instead of keeping what it computed: same bits");
  }
};

std::unique_ptr<Norm> norm_of(const BlockOptions& options);

// down(activation(up(x))), (…,C) → (…,C)
class FeedForward : public Module {
 public:
  explicit FeedForward(const BlockOptions& options);
  Tensor forward(const Tensor& x, const Call& call) const;

 private:
  Tensor (*activation_)(const Tensor&);
  Linear& up_;
  Dropout& dropout_;
  Linear& down_;
};

// What becomes of a sub-layer's result before the residual sum: dropout, a factor for each channel (Touvron et al. 2021, CaiT),
// and for some samples, in training, nothing at all (Huang et al. 2016, stochastic depth; the others are scaled by 1/(1 − p)).
class Branch : public Module {
 public:
  Branch(const BlockOptions& options, int64_t layer);
  Tensor forward(const Tensor& y, const Call& call) const;   // (B,N,C) → (B,N,C)

 private:
  Dropout& dropout_;
  Parameter* scale_;   // (C); null without
  const double drop_path_;
};

// What cross-attention reads.
struct Memory {
  Tensor tokens{};   // (B,S,C)
  Tensor keys{};     // u8 (B,S): 0 hides a padded token; undefined: all are there
};

// Sub-layers f: attention, cross-attention to the memory if there is a mixer for it, feed-forward.
// pre:   x + f(norm x)               (Xiong et al. 2020)
// post:  norm(x + f(x))              (Vaswani et al. 2017)
// none:  x + f(x)                    (Cao 2021)
class Block : public Module {
 public:
  Block(const BlockOptions& options, int64_t layer, std::unique_ptr<TokenMixer> mixer,
        std::unique_ptr<TokenMixer> cross = nullptr);
  Tensor forward(const Tensor& x, const Call& call, const Memory& memory = {}) const;   // (B,N,C) → (B,N,C)
  Tensor step(const Tensor& x, MixerState& state, const std::vector<int64_t>& lengths,
              const Call& call) const;   // see TokenMixer

  TokenMixer& mixer() const { return mixer_; }

 private:
  Norm* own_norm(const char* name, const BlockOptions& options);
  Tensor through(const Tensor& x, const Call& call, const Memory& memory,
                 const std::function<Tensor(const Tensor&)>& mix) const;

  bool post_norm_;
  Norm* norm1_;         // all norms: null without
  TokenMixer& mixer_;
  Norm* cross_norm_;    // these three: null without cross-attention
  TokenMixer* cross_;
  Norm* norm2_;
  FeedForward& mlp_;
  Branch &branch1_, *cross_branch_, &branch2_;
};

// One after the other.
class Blocks : public Module {
 public:
  // `shape`: of the mixers, but for width, heads, biases and layers, which are the options'. `cross`: makes the mixers of
  // cross-attention, to a memory whose tokens have other places. Throws Error, named after `model`, unless there is a head
  // width or the heads divide the width, a head has pairs of channels for rotary positions, the mixers get what they need
  // (require_met), and accept the positions.
  Blocks(const char* model, const BlockOptions& options, MixerShape shape, const MixerMaker& mixer,
         const MixerMaker& cross = nullptr);

  Tensor forward(const Tensor& x, const Call& call, const Memory& memory = {}) const;   // (B,N,C) → (B,N,C)

  // Token by token (TokenMixer), a state for each block.
  std::vector<std::unique_ptr<MixerState>> state(int64_t batch) const;
  Tensor step(const Tensor& x, const std::vector<std::unique_ptr<MixerState>>& state, const std::vector<int64_t>& lengths,
              const Call& call) const;

 private:
  const bool recompute_;
  std::vector<Block*> blocks_;
};

}  // namespace tapir::nn

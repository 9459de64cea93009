// Decoder transformer for language. Letters: B batch, T tokens, C width, V vocabulary.
#pragma once
#include <functional>
#include <memory>

#include "nn/fields.h"
#include "nn/layers.h"
#include "nn/token_mixer.h"

namespace tapir::nn {

struct TransformerOptions : Options {
  int64_t vocabulary = 0;            // set by the tokenizer, not by the user
  int64_t context = 256;
  int64_t width = 256;
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t hidden = 0;
  std::string norm = "pre";
  std::string positions = "learned";
  std::string activation = "gelu";
  double dropout = 0;
  bool recompute = false;

  int64_t hidden_width() const { return hidden ? hidden : 4 * width; }

  void fields(FieldVisitor& visit) override {
    visit("context", context, "tokens of a training sequence", between(1, 1 << 20));
    visit("width", width, "channels C of the residual stream", between(1, 1 << 16));
    visit("layers", layers, "transformer blocks", between(1, 1024));
    visit("heads", heads, "attention heads; must divide the width", between(1, 1024));
    visit("hidden", hidden, "hidden units of the feed-forward layers; 0: 4 × width", between(0, 1 << 20));
    visit("norm", norm, "layer norm before each sub-layer, or after its residual sum", Choices{"pre", "post"});
    visit("positions", positions, "position vectors added to the token vectors", Choices{"learned", "sinusoidal"});
    visit("activation", activation, "of the feed-forward layers", Choices{"gelu", "gelu_tanh", "relu"});
    visit("dropout", dropout,
          "probability: on embedded tokens, after the activation and at the end of every residual branch",
          between(0, 0.99));
    visit("recompute", recompute, "run each block again in backward instead of keeping what it computed: same bits");
  }
};

// down(activation(up(x))), (…,C) → (…,C)
class FeedForward : public Module {
 public:
  explicit FeedForward(const TransformerOptions& options);
  Tensor forward(const Tensor& x, const Call& call) const;

 private:
  Tensor (*activation_)(const Tensor&);
  Linear& up_;
  Dropout& dropout_;
  Linear& down_;
};

// pre:   x + mixer(norm1 x), then x + mlp(norm2 x)               (Xiong et al. 2020)
// post:  norm1(x + mixer x), then norm2(x + mlp x)               (Vaswani et al. 2017)
class TransformerBlock : public Module {
 public:
  TransformerBlock(const TransformerOptions& options, std::unique_ptr<TokenMixer> mixer);
  Tensor forward(const Tensor& x, const Call& call) const;   // (B,T,C) → (B,T,C)

 private:
  bool post_norm_;
  LayerNorm& norm1_;
  TokenMixer& mixer_;
  LayerNorm& norm2_;
  FeedForward& mlp_;
  Dropout &dropout1_, &dropout2_;
};

// Makes the mixer of block `layer`, counted from 0.
using MixerMaker = std::function<std::unique_ptr<TokenMixer>(int64_t layer)>;

// Token and position vectors, blocks, a final norm and a head to the vocabulary (untied, no bias).
class LanguageModel : public Module {
 public:
  // Throws Error unless the heads divide the width.
  LanguageModel(const TransformerOptions& options, const MixerMaker& mixer);

  // Logits (B,T,V) of the next token. tokens i32 (B,T), T ≤ context. The call's mask is made causal.
  Tensor forward(const Tensor& tokens, const Call& call) const;

  const TransformerOptions options;

 private:
  Tensor position_vectors(int64_t length, DType type, Device device) const;   // (T,C)

  Embedding& tokens_;
  Embedding* positions_;   // null: sinusoidal
  Dropout& dropout_;
  std::vector<TransformerBlock*> blocks_;
  LayerNorm& norm_;
  Linear& head_;
};

}  // namespace tapir::nn

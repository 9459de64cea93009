// Transformers. Letters: B batch, T tokens, S tokens of the memory that cross-attention reads, C width, V vocabulary.
#pragma once
#include <functional>
#include <memory>

#include "nn/fields.h"
#include "nn/layers/dropout.h"
#include "nn/layers/embedding.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/token_mixer.h"

namespace tapir::nn {

struct TransformerOptions : Options {
  int64_t vocabulary = 0;            // set by the tokenizer, not by the user
  int64_t context = 256;
  int64_t width = 256;
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t key_heads = 0;
  int64_t hidden = 0;
  std::string norm = "pre";
  std::string norm_kind = "layer";
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
    visit("key_heads", key_heads, "heads of keys and values, each shared by heads/key_heads queries; 0: as many as heads",
          between(0, 1024));
    visit("hidden", hidden, "hidden units of the feed-forward layers; 0: 4 × width", between(0, 1 << 20));
    visit("norm", norm, "norm before each sub-layer, or after its residual sum", Choices{"pre", "post"});
    visit("norm_kind", norm_kind, "layer norm or RMS norm", Choices{"layer", "rms"});
    visit("positions", positions, "vectors added to the token vectors, or places that attention itself knows of",
          Choices{"learned", "sinusoidal", "rotary", "alibi", "none"});
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

// What cross-attention reads.
struct Memory {
  Tensor tokens{};   // (B,S,C)
  Tensor keys{};     // u8 (B,S): 0 hides a padded token; undefined: all are there
};

// Sub-layers f: attention, cross-attention to the memory if there is a mixer for it, feed-forward.
// pre:   x + f(norm x)               (Xiong et al. 2020)
// post:  norm(x + f(x))              (Vaswani et al. 2017)
class TransformerBlock : public Module {
 public:
  TransformerBlock(const TransformerOptions& options, std::unique_ptr<TokenMixer> mixer,
                   std::unique_ptr<TokenMixer> cross = nullptr);
  Tensor forward(const Tensor& x, const Call& call, const Memory& memory = {}) const;   // (B,T,C) → (B,T,C)

 private:
  bool post_norm_;
  Norm& norm1_;
  TokenMixer& mixer_;
  Norm* cross_norm_;    // these three: null without cross-attention
  TokenMixer* cross_;
  Norm& norm2_;
  FeedForward& mlp_;
  Dropout &dropout1_, *cross_dropout_, &dropout2_;
};

// Makes the mixer of block `layer`, counted from 0.
using MixerMaker = std::function<std::unique_ptr<TokenMixer>(int64_t layer)>;

// What every transformer is made of: token vectors and positions, blocks, a final norm.
class TransformerStack : public Module {
 public:
  const TransformerOptions options;

 protected:
  // `name`: in errors. Throws Error unless the heads divide the width.
  TransformerStack(const char* name, const TransformerOptions& options);

  // Throws Error when a mixer does not accept the positions. `cross`: makes the mixers of cross-attention.
  void add_blocks(const MixerMaker& mixer, const MixerMaker& cross = nullptr);

  Tensor run(const Tensor& tokens, Call call, const Memory& memory = {}) const;   // i32 (B,T), T ≤ context → (B,T,C)

 private:
  Tensor position_vectors(int64_t length, DType type, Device device) const;   // (T,C)

  const char* kind_;
  Embedding& tokens_;
  Embedding* positions_;   // null: not learned
  Dropout& dropout_;
  std::vector<TransformerBlock*> blocks_;
  Norm& norm_;
};

// The head of a model that gives logits: untied, no bias.
std::unique_ptr<Linear> make_head(const TransformerOptions& options);

// The decoder alone, with a head to the vocabulary.
class LanguageModel : public TransformerStack {
 public:
  LanguageModel(const TransformerOptions& options, const MixerMaker& mixer);   // throws what TransformerStack does

  // Logits (B,T,V) of the next token. tokens i32 (B,T), T ≤ context. The call's mask is made causal.
  Tensor forward(const Tensor& tokens, const Call& call) const;

 private:
  Linear& head_;
};

}  // namespace tapir::nn

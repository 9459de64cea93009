// Transformers of tokens: vectors of tokens and places before the blocks, a norm and perhaps a head after them.
// Letters: B batch, T tokens, C width, V vocabulary.
#pragma once
#include <memory>

#include "nn/blocks.h"
#include "nn/layers/embedding.h"

namespace tapir::nn {

struct TransformerOptions : BlockOptions {
  int64_t vocabulary = 0;            // set by the tokenizer, not by the user
  int64_t context = 256;
  std::string positions = "learned";
  int64_t window = 0;
  bool tied_head = false;
  bool head_bias = false;

  void fields(FieldVisitor& visit) override {
    visit("context", context, "tokens of a training sequence", between(1, 1 << 20));
    BlockOptions::fields(visit);
    visit("positions", positions, "vectors added to the token vectors, or places that attention itself knows of",
          Choices{"learned", "sinusoidal", "rotary", "alibi", "kerple_log", "fire", "t5", "none"});
    visit("window", window, "tokens see others at most so many places away; 0: at any distance", between(0, 1 << 20));
    visit("tied_head", tied_head, "the matrix of the head is that of the token vectors");
    visit("head_bias", head_bias, "the head has a bias");
  }
};

// What a model remembers of the tokens so far, for each sample.
struct DecoderState {
  std::vector<std::unique_ptr<MixerState>> blocks;
  std::vector<int64_t> lengths;   // tokens of each sample

  DecoderState copy() const;
  void reorder(const std::vector<int64_t>& rows);   // sample b becomes what sample rows[b] was, as a beam search wants it
};

// What every transformer is made of: token vectors and positions, blocks, a final norm.
class TransformerStack : public Module {
 public:
  const TransformerOptions options;

  // What gives logits of what run() returns. With a tied head (Press & Wolf 2017) its matrix is tokens.weight, one parameter
  // that decays as the weight of a linear layer that it is; the stack must outlive it.
  std::unique_ptr<Linear> make_head() const;

  // Whether places beyond `context` have a meaning: all but vectors of places.
  bool unlimited() const { return options.positions != "learned" && options.positions != "sinusoidal"; }

 protected:
  // `name`: in errors. Throws Error for options that are not allowed.
  TransformerStack(const char* name, const TransformerOptions& options);

  // Throws what Blocks does. `cross`: makes the mixers of cross-attention.
  void add_blocks(bool causal, const MixerMaker& mixer, const MixerMaker& cross = nullptr);

  Tensor run(const Tensor& tokens, const Call& call, const Memory& memory = {}) const;   // i32 (B,T), T ≤ context → (B,T,C)

  // The tokens that follow those of the state, which gets them. call.mask.keys, u8 (B,T): those that are there, the first of a
  // row.
  DecoderState state(int64_t batch) const;
  Tensor step(const Tensor& tokens, DecoderState& state, const Call& call) const;        // i32 (B,T) → (B,T,C)

 private:
  Call in_window(Call call) const;   // the call, under a mask with the window of the options
  Tensor embedded(const Tensor& tokens, const std::vector<int64_t>& lengths, const Call& call) const;   // (B,T,C)
  Tensor position_vectors(int64_t begin, int64_t length, DType type, Device device) const;              // (T,C)

  const char* kind_;
  Embedding& tokens_;
  Embedding* positions_;   // null: not learned
  Dropout& dropout_;
  Norm& norm_;
  Blocks* blocks_ = nullptr;
};

// The decoder alone, with a head to the vocabulary.
class LanguageModel : public TransformerStack {
 public:
  LanguageModel(const TransformerOptions& options, const MixerMaker& mixer);   // throws what TransformerStack does

  // Logits (B,T,V) of the next token. tokens i32 (B,T), T ≤ context. The call's mask is made causal.
  Tensor forward(const Tensor& tokens, const Call& call) const;

  // Token by token, without gradients: logits (B,V) after the last of the tokens i32 (B,T), which follow those of the state.
  // Equal to the last row of forward() over all of them. call.mask.keys, u8 (B,T): which are there, the first of each row and
  // at least one. Throws Error where a sample would exceed the context, but for unlimited() positions; where T > 1 and samples
  // of the state differ in length; and where the mechanism cannot do it (TokenMixer).
  using TransformerStack::state;   // empty, of so many samples
  Tensor step(const Tensor& tokens, DecoderState& state, const Call& call = {}) const;

 private:
  Linear& head_;
};

}  // namespace tapir::nn

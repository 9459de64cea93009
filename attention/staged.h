// Staged attention: multi-head attention (Vaswani et al. 2017) in four stages. A mechanism overrides the stage that its
// paper changes.
//
// Letters: B batch, H heads, G heads of keys, T queries, S keys, D head width, C = H·D.
#pragma once
#include <map>
#include <set>

#include "nn/fields.h"
#include "nn/layers/linear.h"
#include "nn/token_mixer.h"

namespace tapir {

enum class Projection { query, key, value, out };
const char* name_of(Projection projection);

struct MixerShape {
  int64_t width = 0;    // C
  int64_t heads = 0;    // H
  int64_t layer = 0;    // index of the block, from 0
  int64_t key_heads = 0;   // G, divides H; 0: H
  int64_t head_width() const { return width / heads; }   // D
  int64_t key_head_count() const { return key_heads ? key_heads : heads; }
  int64_t width_of(Projection which) const;   // G·D of keys and values, C of queries and results
};

// Of mechanisms that have both implementations.
struct StagedOptions : nn::Options {
  std::string implementation = "naive";

  bool fused() const { return implementation == "fused"; }

  void fields(nn::FieldVisitor& visit) override {
    visit("implementation", implementation, "naive: stage by stage, with T × S scores; fused: tile by tile, without them",
          {"naive", "fused"});
  }
};

class StagedAttention : public nn::TokenMixer {
 public:
  // Makes a linear layer for each projection but those in `replaced`, for which project() must be overridden.
  explicit StagedAttention(const MixerShape& shape, bool fused = false, const std::set<Projection>& replaced = {});

  Tensor forward(const Tensor& x, const Tensor& context, const nn::Call& call) final;

  // The stages on heads, without projections: Q (B,H,T,D), K and V (B,G,S,D) → (B,H,T,D). Query head h reads the heads
  // ⌊h G/H⌋ of K and V (Ainslie et al. 2023, grouped-query attention). A recorder, who wants the weights, gets them from the
  // stages, fused or not. What the mask hides is not read: nothing of a key that mask.keys hides, NaN included, reaches a
  // result or a gradient, and nothing of a later token a causal result. (The same goes for forward() and `context`.)
  Tensor attend(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;

  bool accepts(nn::Positions) const override { return true; }

 protected:
  virtual Tensor project(Projection which, const Tensor& x) const;                       // (B,T,C)     x Wᵀ, no bias
  virtual void prepare(Tensor& Q, Tensor& K, Tensor& V, const nn::Call& call) const;     // turns Q and K: rotary.h
  virtual Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const;   // (B,H,T,S)   Q Kᵀ / √D
  virtual Tensor weights(const Tensor& E, const nn::Call& call) const;                   // (B,H,T,S)   softmax, masked
  virtual Tensor mix(const Tensor& A, const Tensor& V, const nn::Call& call) const;      // (B,H,T,D)   A V

  // Scores, weights and mix in one op (fused_attention.h).
  virtual Tensor fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;

  const MixerShape shape_;

 private:
  Tensor stages(Tensor Q, Tensor K, Tensor V, const nn::Call& call) const;   // of keys without hidden ones

  const bool fused_;
  std::map<Projection, nn::Linear*> linear_;   // (C,C), keys and values (G·D,C); no bias
};

}  // namespace tapir

// Attention between its projections: Q, K and V of every head, and what becomes of their results.
//
// Letters: B batch, H heads, G heads of keys, T queries, S keys, D head width, C width: H·D unless D is chosen apart.
#pragma once
#include <map>
#include <set>

#include "nn/layers/linear.h"
#include "nn/token_mixer.h"

namespace tapir {

using nn::MixerShape;

enum class Projection { query, key, value, out };
const char* name_of(Projection projection);

struct Widths {
  int64_t in, out;
};
Widths widths_of(Projection which, const MixerShape& shape);   // C → H·D queries, C → G·D keys and values, H·D → C results

class ProjectedAttention : public nn::TokenMixer {
 public:
  // Makes a linear layer for each projection but those in `replaced`, for which project() must be overridden. Throws Error
  // unless there is a head width or the heads divide the width, and unless the heads of keys divide the heads.
  explicit ProjectedAttention(const MixerShape& shape, const std::set<Projection>& replaced = {});

  Tensor forward(const Tensor& x, const Tensor& context, const nn::Call& call) final;

  // On heads, without projections: Q (B,H,T,D), K and V (B,G,S,D), or as wide as project() makes them → (B,H,T,D). Query head h
  // reads the heads ⌊h G/H⌋ of K and V (Ainslie et al. 2023, grouped-query attention). What the mask hides is not read: nothing
  // of a key that mask.keys hides, NaN included, reaches a result or a gradient, and nothing of a later token a causal result.
  // (The same goes for forward() and `context`.)
  Tensor attend(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;

  bool accepts(nn::Positions) const override { return true; }

  std::unique_ptr<nn::MixerState> state(int64_t batch) const final;

 protected:
  virtual Tensor project(Projection which, const Tensor& x) const;   // (B,T,in) → (B,T,out)   x Wᵀ, + b where there are biases

  // Queries or keys, the first of which stands at `begin`: (B,…,T,D), turned where positions are rotary.
  virtual Tensor placed(const Tensor& x, int64_t begin, const nn::Call& call) const;
  Tensor placed(const Tensor& x, const std::vector<int64_t>& begins, const nn::Call& call) const;   // each sample at its own

  // Placed Q (B,H,T,D), K and V (B,H,S,D), 0 at the keys that mask.keys hides → (B,H,T,D).
  virtual Tensor attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const = 0;

  struct Heads {
    Tensor Q, K, V;   // (B,H,T,D), (B,G,S,D) twice; not placed
  };
  Heads projected(const Tensor& x, const Tensor& context, const nn::Call& call) const;

  // What heads, which come from x and the context (B,S,C), give in the end: (B,T,C). Here their attention, projected.
  virtual Tensor answered(const Heads& heads, const Tensor& context, const nn::Call& call) const;
  Tensor merged(const Tensor& heads) const;   // (B,H,T,D) → (B,T,C), projected

  // Null where there is none. What looks at all tokens is not asked.
  virtual std::unique_ptr<nn::MixerState> empty_state() const { return nullptr; }

  const MixerShape shape_;

 private:
  void require_mask(const Mask& mask) const;

  std::map<Projection, nn::Linear*> linear_;
};

}  // namespace tapir

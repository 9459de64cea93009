// Attention by recurrence: each token changes a state S by a linear map and writes into it, and a query reads it.
//
//   S_t = M_t S_{t−1} + k_tᵀ w_t,   y_t = q_t S_t
//
// M_t and what is written, w_t, are a mechanism's. Tokens go by chunks: within one pairs are computed, all before it is in S,
// so that time and memory grow with T alone. Query t reads the state behind the keys that it may see: without a causal mask it is
// the one behind all of them, in their order.
//
// Letters: B batch, H heads, T queries, S keys, L tokens, D head width, F features, E width of what is mixed.
#pragma once
#include "attention/mechanism.h"
#include "attention/state_attention.h"

namespace tapir {

class RecurrentAttention : public ProjectedAttention {
 public:
  // `chunk`: tokens whose pairs with each other are computed, if it is a power of two, else the next one. `replaced`: see
  // ProjectedAttention. Throws Error unless the chunk is positive.
  RecurrentAttention(const MixerShape& shape, int64_t chunk, const std::set<Projection>& replaced = {});

  bool accepts(nn::Positions positions) const override { return positions == nn::Positions::none; }

  nn::Needs needs() const override { return {.any_distance = true, .order = true}; }   // a state cannot forget one token

  Tensor step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths, const nn::Call& call) final;

 protected:
  // What L tokens, (B,N,L,·) each, make of the state S before them:
  //   y = reads S + pairs V,   and behind them S is   keeps S + writes V
  struct Tokens {
    Tensor pairs, reads, keeps, writes;   // (B,N,L,L) lower triangular, (B,N,L,F), (B,N,F,F), (B,N,F,L)
  };
  virtual Tokens tokens(const Tensor& queries, const Tensor& keys) const = 0;

  // Of placed Q and K (B,H,·,·), which may be wider than D: what tokens() takes of each. A key of zeros changes no state.
  virtual Tensor queries(const Tensor& Q) const = 0;
  virtual Tensor keys(const Tensor& K) const = 0;

  virtual Tensor values(const Tensor& V) const { return V; }   // (B,H,S,D) → (B,H,S,E)

  // y (B,H,T,E) of placed Q → (B,H,T,D)
  virtual Tensor result(const Tensor& y, const Tensor& Q) const = 0;

 private:
  std::unique_ptr<nn::MixerState> empty_state() const override;
  Tensor attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const final;

  // y (B,H,L,E) of tokens behind the state S (B,H,F,E), undefined: zeros; S becomes that behind them.
  Tensor advance(const Tensor& queries, const Tensor& keys, const Tensor& V, Tensor& S) const;

  const int64_t chunk_;
};

// Of mechanisms with such a state, which tell the order of the tokens, and weights of any sign.
inline constexpr Claims recurrent_claims{.exact = true,
                                         .causal = true,
                                         .padding_safe = true,
                                         .streaming = true,
                                         .linear = true,
                                         .batch_independent = true};

}  // namespace tapir

// Staged attention: multi-head attention (Vaswani et al. 2017) in stages. A mechanism overrides the stage that its paper
// changes.
//
// Letters: B batch, H heads, G heads of keys, T queries, S keys, D head width.
#pragma once
#include "attention/cache.h"
#include "attention/position_bias.h"
#include "attention/projected.h"
#include "nn/fields.h"

namespace tapir {

// Of mechanisms that have both implementations.
struct StagedOptions : nn::Options {
  std::string implementation = "naive";

  bool fused() const { return implementation == "fused"; }

  void fields(nn::FieldVisitor& visit) override {
    visit("implementation", implementation, "naive: stage by stage, with T × S scores; fused: tile by tile, without them",
          {"naive", "fused"});
  }
};

class StagedAttention : public ProjectedAttention {
 public:
  // `fused`: in one op, which has no bias of places but ALiBi's. Throws Error for another one.
  explicit StagedAttention(const MixerShape& shape, bool fused = false, const std::set<Projection>& replaced = {});

  bool accepts(nn::Positions positions) const override { return !fused_ || !nn::has_parameters(positions); }

  Tensor step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths, const nn::Call& call) final;

 protected:
  // The stages: Q (B,H,T,D), K and V (B,H,S,D) → (B,H,T,D). `cache`: of step(), where the queries are the last of the keys;
  // null in forward(). A recorder, who wants the weights, gets them from the stages, fused or not.
  virtual Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const;

  virtual Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const;   // (B,H,T,S)   tempered Q Kᵀ

  virtual Tensor tempered(const Tensor& Q, const nn::Call& call) const;   // (B,H,T,D)   Q / √D

  // (B,H,T,S): softmax of the scores and the bias of places (H,T,S), masked. Undefined: there is no bias.
  virtual Tensor weights(const Tensor& E, const Tensor& bias, const nn::Call& call) const;

  virtual Tensor mix(const Tensor& A, const Tensor& V, const nn::Call& call) const;      // (B,H,T,D)   A V

  // Scores, weights and mix in one op (fused_attention.h).
  virtual Tensor fused(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;

  // V → A V: by the stages, or in one op.
  std::function<Tensor(const Tensor& V)> smoother(const Tensor& Q, const Tensor& K, const nn::Call& call) const;

  // The first two stages; a recorder hears of it.
  Tensor recorded_weights(const Tensor& Q, const Tensor& K, const nn::Call& call) const;

  // For keys and values, as they were placed.
  std::unique_ptr<nn::MixerState> empty_state() const override;

  bool in_one_op(const nn::Call& call) const { return fused_ && !call.records("weights"); }

  bool has_alibi() const { return shape_.positions == nn::Positions::alibi; }

  static Tensor with_bias(const Tensor& E, const Tensor& bias);   // their sum, where there is a bias
  Tensor bias_of_places(const Tensor& E, const nn::Call& call) const;   // that of weights(), for scores like these

  // For mechanisms in which query i and key i are one token: throws an Error named after `mechanism` unless there are as many, the
  // first at the first; or a cache has what earlier ones left.
  static void require_whole(const char* mechanism, const Tensor& Q, const Tensor& K, const nn::Call& call, const Cache* cache);

  const bool fused_;

 private:
  Tensor attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const final;

  const PositionBias* const bias_;   // null: the positions are no bias
};

}  // namespace tapir

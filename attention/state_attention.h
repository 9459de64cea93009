// Attention by state: weights φ(q_t)·φ(k_s), whose sums over keys are kept in a matrix, so that time and memory grow with T
// alone.
//
//   y_t = φ(q_t) S_t / (φ(q_t)·z_t + ε),   S_t = Σ_s φ(k_s) v_sᵀ,   z_t = Σ_s φ(k_s)      over the keys s that query t may see
//
// Letters: B batch, H heads, T queries, S keys, D head width, F features.
#pragma once
#include "attention/projected.h"
#include "nn/fields.h"

namespace tapir {

struct StateOptions : nn::Options {
  int64_t chunk = 64;

  void fields(nn::FieldVisitor& visit) override {
    visit("chunk", chunk,
          "queries whose pairs are computed at once under a causal mask: time and memory change, results do not",
          nn::between(1, 65536));
  }
};

class StateAttention : public ProjectedAttention {
 public:
  // `chunk`: queries of the causal form whose pairs with each other are computed; all before them is in S and z.
  // Throws Error unless it is positive.
  StateAttention(const MixerShape& shape, int64_t chunk) : ProjectedAttention(shape), chunk_(chunk) {
    require(chunk > 0, "attention", [&] { return text("a chunk must have queries, got ", chunk); });
  }

  // A bias of places is a term of scores, and a sum over keys has none.
  bool accepts(nn::Positions positions) const override { return positions != nn::Positions::alibi; }

  std::unique_ptr<nn::MixerState> state(int64_t batch) const override;
  Tensor step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths, const nn::Call& call) final;

  // y as above by the (T,S) matrix of weights, which a recorder gets: the definition, and the tests' oracle.
  Tensor explicit_form(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;

 protected:
  // φ of queries and keys: (B,H,·,D) → (B,H,·,F). Features may have any sign: weights are a distribution where every product
  // φ(q)·φ(k) is ≥ 0. Where those that a query sees have the sum 0, all 0 or of both signs, it gets zeros.
  virtual Tensor query_features(const Tensor& Q, const nn::Call& call) const = 0;
  virtual Tensor key_features(const Tensor& K, const nn::Call& call) const = 0;

  // ε, which only features without signs may have: it must not meet a sum near −ε. At 0 a query that sees no key gets zeros.
  virtual double epsilon() const { return 0; }

 private:
  Tensor attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const final;

  const int64_t chunk_;
};

}  // namespace tapir

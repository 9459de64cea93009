// Attention by state: weights φ(q_t)·φ(k_s), whose sums over keys are kept in a matrix, so that time and memory grow with T
// alone.
//
//   y_t = φ(q_t) S_t / (φ(q_t)·z_t + ε),   S_t = Σ_s φ(k_s) v_sᵀ,   z_t = Σ_s φ(k_s)      over the keys s that query t may see
//
// or, with weights of any sign, a mean over the n_t keys that it sees: y_t = φ(q_t) S_t / n_t. A mechanism may add a term of
// the values next to the query.
//
// Letters: B batch, H heads, T queries, S keys, D head width, F features, E width of what is mixed.
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
  enum class Divisor { weights, mean_weight, keys };   // φ(q_t)·z_t + ε, φ(q_t)·z_t + n_t ε, or n_t

  // `chunk`: queries of the causal form whose pairs with each other are computed; all before them is in S and z.
  // `replaced`: projections, see ProjectedAttention. Throws Error unless the chunk is positive.
  StateAttention(const MixerShape& shape, int64_t chunk, Divisor divisor = Divisor::weights,
                 const std::set<Projection>& replaced = {})
      : ProjectedAttention(shape, replaced), chunk_(chunk), divisor_(divisor) {
    require(chunk > 0, "attention", [&] { return text("a chunk must have queries, got ", chunk); });
  }

  // A bias of places is a term of scores, and a sum over keys has none.
  bool accepts(nn::Positions positions) const override { return !nn::is_bias(positions); }

  nn::Needs needs() const override { return {.any_distance = true}; }   // a sum forgets no key

  Tensor step(const Tensor& x, nn::MixerState& state, const std::vector<int64_t>& lengths, const nn::Call& call) final;

  // y as above by the (T,S) matrix of weights, which a recorder gets: the definition, and the tests' oracle. Without the term
  // of neighbours.
  Tensor explicit_form(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;

 protected:
  // φ of queries, and, unless it is overridden, of keys: (B,H,·,D) → (B,H,·,F). Features may have any sign: weights are a
  // distribution where every product φ(q)·φ(k) is ≥ 0. Where those that a query sees have the sum 0, all 0 or of both signs, and
  // divide, it gets zeros.
  virtual Tensor query_features(const Tensor& Q, const nn::Call& call) const = 0;
  virtual Tensor key_features(const Tensor& K, const nn::Call& call) const { return query_features(K, call); }

  // What is mixed: (B,H,S,D) → (B,H,S,E), numbers also at keys that mask.keys hides, where V is 0.
  virtual Tensor values(const Tensor& V, const nn::Call&) const { return V; }

  // ε, which only features without signs may have: it must not meet a sum near −ε. Where it is 0, or for each key, a query that
  // sees no key gets zeros.
  virtual double epsilon() const { return 0; }

  // What is added to y, (B,H,T,D), for the values V (B,H,S,D) next to each of T queries, which is token mask.offset + t of
  // them; undefined: nothing. Under a causal mask it reads the query's own value and the `reach` before it.
  virtual Tensor of_neighbours(const Tensor&, int64_t /*queries*/, const nn::Call&) const { return {}; }
  virtual int64_t reach() const { return 0; }

 private:
  std::unique_ptr<nn::MixerState> empty_state() const override;
  Tensor attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const final;
  Tensor by_sums(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const;
  Tensor keys_seen(int64_t T, int64_t S, const Mask& mask, const Tensor& like) const;   // n_t; undefined where it has no part
  Tensor divided(const Tensor& numerator, const Tensor& total, const Tensor& n) const;   // total: Σ_s φ(q_t)·φ(k_s)

  const int64_t chunk_;
  const Divisor divisor_;
};

}  // namespace tapir

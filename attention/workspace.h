// A global workspace (Sun et al. 2023, arXiv 2309.12862): the tokens of a batch compete for a place in a small memory, which
// stays from batch to batch, and each of them is made anew from it.
//   write  A = q kᵀ/√m, q = γ W_q, k = ξ W_k, v = ξ W_v, in S heads;  G: softmax over the k largest of a row of A, else 0
//          r = LN([G v] W_o + γ),  γ' = rows of (1 − α) γ + α r, divided by their lengths
//   read   ξ ← Pᵀ softmax(β P ξ), T times,  P = γ' W_3 + b_3
// Letters: B batch, N tokens (of a sample, or all of a batch in one list), C width, M rows (slots) of the memory, m numbers in
// a row.
#pragma once
#include "nn/call.h"
#include "nn/fields.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"

namespace tapir {

struct WorkspaceOptions : nn::Options {
  int64_t slots = 32;
  int64_t slot_width = 32;
  int64_t memory_heads = 8;
  int64_t selected = 512;
  double memory_rate = 0.1;
  bool residual = true;
  double write_dropout = 0.1;
  double balance = 0.01;
  std::string gradient = "detached";
  std::string read = "new";
  double beta = 1;
  int64_t retrieval_steps = 1;

  void fields(nn::FieldVisitor& visit) override {
    visit("slots", slots, "M: rows of the memory", nn::between(1, 1 << 16));
    visit("slot_width", slot_width, "m: numbers in a row", nn::between(1, 1 << 12));
    visit("memory_heads", memory_heads, "heads of the attention that writes", nn::between(1, 1024));
    visit("selected", selected, "k: tokens of a batch that a row takes in, in each head", nn::between(1, 1 << 30));
    visit("memory_rate", memory_rate, "α: share of the new in the moving average that the memory is", nn::between(0, 1));
    visit("residual", residual, "the memory is added to what is written, before its norm; the paper's formula has it not");
    visit("write_dropout", write_dropout, "probability: on what is written", nn::between(0, 0.99));
    visit("balance", balance, "weight of the loss that wants all tokens of a batch to be taken in alike; 0: none",
          nn::between(0, 1e6));
    visit("gradient", gradient, "whether the loss reaches, through what is read, the write of its own batch",
          {"detached", "differentiable"});
    visit("read", read, "the memory with this batch in it, though under a causal mask that of before; or always that of before",
          {"new", "old"});
    visit.only(read == "new", "read = \"new\"", {"gradient"});
    visit("beta", beta, "β: sharpness of the retrieval", nn::between(1e-6, 1e6));
    visit("retrieval_steps", retrieval_steps, "T: how often a token is made anew", nn::between(1, 64));
  }
};

// (…,N) → (…,N): softmax over the `selected` largest scores of each row, all where there are no more; 0 elsewhere. Of equal
// ones the first are taken.
Tensor bottleneck(const Tensor& scores, int64_t selected);

// Unevenness of a row, N > 1: CV² = Σ (x − mean)²/(N − 1) / (mean² + 10⁻¹⁰), (…,N) → (…)
Tensor squared_variation(const Tensor& x);

// A step of a modern Hopfield network (Ramsauer et al. 2021): tokens (…,N,C), patterns (M,C) → (…,N,C)   Pᵀ softmax(β P ξ)
Tensor hopfield_step(const Tensor& tokens, const Tensor& patterns, double beta);

// Which no step raises, (…,N):  −log(Σ_j exp(β P_j·ξ))/β + ξ·ξ/2 + log(M)/β + max_j |P_j|²/2
Tensor hopfield_energy(const Tensor& tokens, const Tensor& patterns, double beta);

class Workspace : public nn::Module {
 public:
  Workspace(const WorkspaceOptions& options, int64_t width);

  // What the memory makes of tokens (B,N,C). In training it is written first, by all tokens that call.mask.keys, u8 (B,N), says
  // are there; the new one is read where the options say so and the call is not causal. Evaluation reads what the last step
  // left.
  // A recorder hears "energy" (B,N) of what was retrieved, and in training "write", G of all tokens that are there (1,S,M,·).
  Tensor forward(const Tensor& z, const nn::Call& call);

 private:
  Tensor written(const Tensor& tokens, const Tensor& before, const nn::Call& call) const;   // (N,C), (M,m) → (M,m)

  const WorkspaceOptions options_;
  nn::Linear &query_, &key_, &value_, &out_;
  nn::Dropout& dropout_;
  nn::Norm& norm_;
  nn::Linear& patterns_;
  nn::Buffer& memory_;   // γ (M,m)
};

}  // namespace tapir

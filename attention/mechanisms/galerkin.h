// Attention without softmax (Cao 2021, arXiv 2105.14995): sums over the n points of a grid, divided by n, are quadratures of
// integrals. The two factors that meet first get a layer norm in each head. Where tokens have coordinates p, of d numbers, they
// are joined to q, k and v of every head.
//   Fourier    y_i = 1/n Σ_j (LN(q_i), p_i)·(LN(k_j), p_j)/√(D + d) (v_j, p_j)    an integral operator, its kernel learnt
//   Galerkin   y_i = (q_i, p_i) · 1/n Σ_j (LN(k_j), p_j)ᵀ (LN(v_j), p_j)          a Petrov–Galerkin projection
// n: how many keys query i sees. Products are associative, so both are sums over keys, kept in place of the keys.
#pragma once
#include <memory>

#include "attention/mechanism.h"
#include "attention/state_attention.h"

namespace tapir {

struct GalerkinOptions : StateOptions {
  bool norm = true;
  double epsilon = 1e-5, gain = 1e-2, diagonal = 1e-2;

  void fields(nn::FieldVisitor& visit) override {
    visit("norm", norm, "layer norms in the heads");
    visit("epsilon", epsilon, "of the layer norms", nn::between(1e-12, 1));
    visit.only(norm, "norm = true", {"epsilon"});
    visit("gain", gain, "initial weights of the projections: Xavier's uniform ones times this", nn::between(0, 10));
    visit("diagonal", diagonal, "and this on their diagonal", nn::between(0, 10));
    StateOptions::fields(visit);
  }
};

struct FourierOptions : GalerkinOptions {
  bool scale = true;

  void fields(nn::FieldVisitor& visit) override {
    GalerkinOptions::fields(visit);
    visit("scale", scale,
          "products of queries and keys are divided by √(D + d), as in the authors' code; their formula has none");
  }
};

// Tokens have the coordinates that shape.places says, or none; the call brings them. Throw Error where a norm has one channel.
std::unique_ptr<StateAttention> make_galerkin(const GalerkinOptions& options, const MixerShape& shape);
std::unique_ptr<StateAttention> make_fourier(const FourierOptions& options, const MixerShape& shape);
Mechanism galerkin_row();
Mechanism fourier_row();

}  // namespace tapir

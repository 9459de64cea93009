// MLP-QKV (Zhang 2023, arXiv 2310.11398): a network of each token in place of the linear projections; scores, softmax and
// mix are those of the dot product.
//
//   t = W₁ x + b₁,  W₁ (mC,C)                     for each of q, k, v, o that has a network, over the full width C
//   norm before:  r = f(N(t));   after:  r = N(f(t));   none:  r = f(t)       N layer norm, f ReLU or mish
//   y = W₂ r + b₂,  W₂ (C,mC)                     then split into heads; the network of o comes after their merge
//
// Four known versions, as differences from the defaults:
//   paper's text   norm = "after"
//   Marian code    v = false, o = true
//   RoBERTa code   norm = "none"
//   Ceres          activation = "mish", hidden_mult = 1, norm_shared = true, output_bias = false
#pragma once
#include <memory>
#include <set>
#include <string>

#include "attention/mechanism.h"

namespace tapir {

struct MlpQkvOptions : StagedOptions {
  bool q = true, k = true, v = true, o = false;
  std::string norm = "before";
  bool norm_shared = false;
  std::string activation = "relu";
  int64_t hidden_mult = 2;
  bool output_bias = true;

  std::set<Projection> networks() const;   // those of q, k, v, o that are on

  void fields(nn::FieldVisitor& visit) override {
    visit("q", q, "queries come from a network");
    visit("k", k, "keys come from a network");
    visit("v", v, "values come from a network");
    visit("o", o, "the output comes from a network");
    visit("norm", norm, "layer norm of the hidden layer, before or after its activation", {"none", "before", "after"});
    visit("norm_shared", norm_shared, "one norm for all networks of a layer");
    visit("activation", activation, "of the hidden layer", {"relu", "mish"});
    visit("hidden_mult", hidden_mult, "hidden units as a multiple of the width", nn::between(1, 16));
    visit("output_bias", output_bias, "the second linear layer has a bias; the first one has always");
    StagedOptions::fields(visit);
  }
};

// Throws Error when no projection has a network, and for a shared norm without a norm.
std::unique_ptr<nn::TokenMixer> make_mlp_qkv(const MlpQkvOptions& options, const MixerShape& shape);

Mechanism mlp_qkv_row();

}  // namespace tapir

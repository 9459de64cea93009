// DAPE V2 (Zheng et al. 2024, arXiv 2410.04798): scores are a picture, (keys) wide with a channel for each head, and so is the
// static bias of places; two convolutions along the keys make a bias of the data of both.
//   U = [X, B], 0 at the keys that a query does not see,   X = Q Kᵀ/√D,  B the bias of places, if there is one
//   F = C₂(LeakyReLU(C₁(U))),   A = softmax(X + B + F)
// Each row of scores is read by itself, so what a query does not see stays out of it. One thing remains: C₁'s result is not 0
// at the keys just after the query's own, and C₂ reads them, unless the sequence ends there. So a token's weights depend on
// whether others follow. With `mask_hidden` they do not: what the query does not see is 0 before C₂ too. Nor do they where a
// kernel reads no later key: one of one or two keys, or any whose zeros all stand before the first key (`padding`).
#pragma once
#include <memory>
#include <string>

#include "attention/mechanism.h"

namespace tapir {

struct DapeOptions : nn::Options {
  int64_t kernel = 3;
  int64_t hidden = 32;
  std::string padding = "centred";
  bool mask_hidden = true;   // the authors' code: false

  // Later and earlier keys that a convolution reads beside a key, for which zeros stand beyond the last and the first one.
  int64_t behind() const { return padding == "centred" ? (kernel - 1) / 2 : 0; }
  int64_t before() const { return kernel - 1 - behind(); }

  // Whether outputs are those of the tokens so far alone, whatever the length of the sequence that they are computed in.
  bool streams() const { return mask_hidden || behind() == 0; }

  void fields(nn::FieldVisitor& visit) override {
    visit("kernel", kernel, "keys that a convolution reads; 1: DAPE (V1), a network across heads", nn::between(1, 7));
    visit("hidden", hidden, "channels between the convolutions", nn::between(1, 4096));
    visit("padding", padding, "centred: a kernel reads keys on both sides, with an even kernel one more before than behind; before: "
          "none behind", {"centred", "before"});
    visit("mask_hidden", mask_hidden, "hide later keys before the second convolution too; else there is no token by token");
    visit.only(kernel > 2, "kernel is above 2", {"padding"});
    visit.only(behind() > 0, "kernel is above 2 and padding = \"centred\"", {"mask_hidden"});
  }
};

std::unique_ptr<nn::TokenMixer> make_dape(const DapeOptions& options, const MixerShape& shape);
Mechanism dape_row();

}  // namespace tapir

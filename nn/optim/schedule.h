// Schedules of the learning rate: a pure function of the step.
#pragma once
#include "nn/fields.h"

namespace tapir::nn {

struct Schedule : Options {
  double rate = 3e-4;
  std::string shape = "cosine";
  int64_t warmup = 0;
  double floor = 0.1;
  double decay_share = 0.2;

  void fields(FieldVisitor& visit) override {
    visit("rate", rate, "highest learning rate", between(0, 100));
    visit("shape", shape, "after the warm-up: stays, or falls to floor × rate by the end of the run; wsd: warm-up, stable, "
          "then a linear decay; inverse_sqrt: as the root of the step, without a floor",
          {"constant", "cosine", "linear", "wsd", "inverse_sqrt"});
    visit("warmup", warmup, "steps in which the rate grows linearly from rate/warmup", between(0, 1e12));
    visit("floor", floor, "share of the rate that is left at the end", between(0, 1));
    visit("decay_share", decay_share, "share of the run, at its end, in which wsd falls", between(0, 1));
    visit.only(shape == "cosine" || shape == "linear" || shape == "wsd", "shape is cosine, linear or wsd", {"floor"});
    visit.only(shape == "wsd", "shape = \"wsd\"", {"decay_share"});
  }

  // The rate of step 0 … steps − 1, with warm-up W and f = floor:
  //   step < W:   rate (step + 1)/W
  //   cosine:     rate (f + (1 − f) (1 + cos πu)/2),   linear: rate (1 − (1 − f) u),   u = (step − W)/(steps − W)
  //   wsd:        rate (1 − (1 − f) max(0, 1 − (steps − step)/(d steps))),  d = decay_share      (Hu et al. 2024)
  //   inverse_sqrt: rate √(W/(step + 1)), W at least 1                                 (Vaswani et al. 2017, eq. 3)
  double at(int64_t step, int64_t steps) const;
};

}  // namespace tapir::nn

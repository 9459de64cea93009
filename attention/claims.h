// Claims: what a row of the zoo promises, put to the test in f64. Used by the tests and by `tapir check`.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "attention/zoo.h"

namespace tapir {

struct Proof {
  std::string claim;      // a name of Claims, "positions", "gradient" or "double_gradient"
  bool holds;
  std::string evidence;   // what was compared and how well it agreed, or what went wrong
  std::vector<std::pair<std::string, Tensor>> counter_example = {};   // where it does not hold: the tokens and parameters, by name
};

// Makes the mechanism's mixer with random parameters, large enough that attention is far from uniform and gates are partly
// open, and proves each claim that the row makes for these options but `exact`; then, for every row, the gradient and the
// double gradient through x, context and every parameter, for self-attention, masks, T ≠ S and T = 1, as far as the row's needs
// allow; for causal ones, positions. A proof that fails, also by an exception of the mixer, is returned with `holds` false.
// Equal arguments give equal proofs.
//
//   causal        random cotangent at token t: the gradient is exactly 0 at later tokens; changing these leaves the bits of
//                 outputs ≤ t; in training or not
//   distribution  every recorded row "weights" is ≥ 0 and sums to 1 within 1e-12, under every mask
//   equivariant   permuted tokens give permuted outputs within 1e-10
//   padding_safe  appended padded tokens, whatever (finite) they hold, change neither outputs nor gradients by more than
//                 1e-13; a batch row without keys gives exact zeros and zero gradients, but for the output projection's bias
//   streaming     a prefill of every length, then token by token, with all positions that the mixer accepts: outputs within
//                 1e-12 of those of the whole sequence
//   linear        from N to 2 N tokens the operations of a pass and its backward, and its memory, grow at most 2.1 times
//   batch_independent   other samples beside it change no bit of a sample's output, in training or not
//   positions     those that the mixer accepts have an effect, and the last tokens alone, at their offset, give within 1e-12
//                 what they give among all
//   gradient      within 1e-6 of differences (gradcheck.h); a gradient that is zero everywhere only where a large change of
//                 the parameter does not change the output either
//   double_gradient  within 1e-5
std::vector<Proof> prove(const Mechanism& mechanism, const nn::Options& options, uint64_t seed,
                         const MixerShape& shape = {.width = 8, .heads = 2});

}  // namespace tapir

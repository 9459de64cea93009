// A mechanism as a row of the zoo: what it is, what it promises, how it is made.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "attention/registry.h"
#include "attention/staged.h"
#include "nn/fields.h"

namespace tapir {

// What a row promises. Each is proved by tests and by `tapir check` (claims.h), but for `exact`, whose proof is the scalar-loop
// reference in tests/.
struct Claims {
  bool exact = false;        // equals the scalar-loop reference in double
  bool causal = false;       // causal mask: ∂out[t]/∂in[t′] = 0 for t′ > t; later tokens change no bit of earlier outputs
  bool distribution = false; // rows of A are ≥ 0 and sum to 1
  bool equivariant = false;  // permuting tokens permutes outputs
  bool padding_safe = false; // appended padded keys change nothing; a row without keys gives zeros and zero gradients, but
                             // for the bias of the output projection
  bool streaming = false;    // a prefill of any length, then token by token, gives what the whole sequence gives
  bool linear = false;       // operations and memory grow with T, not with T²
  bool batch_independent = false;   // no sample changes what another one gets
};

// What multi-head attention keeps, and a mechanism that changes one stage unless it breaks something.
inline constexpr Claims staged_claims{.causal = true,
                                      .distribution = true,
                                      .equivariant = true,
                                      .padding_safe = true,
                                      .streaming = true,
                                      .batch_independent = true};

// With `exact`: of a row whose scalar loops are in tests/.
constexpr Claims and_exact(Claims claims) {
  claims.exact = true;
  return claims;
}

// Of a mechanism that breaks one of them.
constexpr Claims without(Claims claims, bool Claims::*broken) {
  claims.*broken = false;
  return claims;
}

// Every claim by its name.
inline constexpr std::pair<const char*, bool Claims::*> all_claims[] = {
    {"exact", &Claims::exact},               {"causal", &Claims::causal},       {"distribution", &Claims::distribution},
    {"equivariant", &Claims::equivariant},   {"padding_safe", &Claims::padding_safe}, {"streaming", &Claims::streaming},
    {"linear", &Claims::linear},             {"batch_independent", &Claims::batch_independent}};

struct Mechanism {
  std::string name;       // in experiment files
  std::string title;
  std::string paper;      // authors, year, where
  std::string equation;   // of the score or of the stage that differs
  std::string cost;       // pairs, memory

  // A function of the options: what a value of one of them breaks is not claimed for it.
  std::function<Claims(const nn::Options&)> claims{};

  std::function<std::unique_ptr<nn::Options>()> options{};   // with the paper's defaults
  // Throws Error for options of another row.
  std::function<std::unique_ptr<nn::TokenMixer>(const nn::Options&, const MixerShape&)> make{};
};

// Of all options alike.
template <class T> auto always(const T& value) {
  return [value](const nn::Options&) { return value; };
}

// The row of a mechanism with options O of its own, behind the common signatures: claims, or a function of (const O&) that gives
// them, and make(const O&, const MixerShape&).
template <class O, class ClaimsOf, class Make>
Mechanism row_of(Mechanism row, ClaimsOf claims, Make make) {
  const auto own = [name = row.name](const nn::Options& options) -> const O& { return options_of<O>("zoo", name, options); };
  row.options = [] { return std::make_unique<O>(); };
  row.make = [=](const nn::Options& options, const MixerShape& shape) { return make(own(options), shape); };
  if constexpr (std::is_same_v<ClaimsOf, Claims>) row.claims = always(claims);
  else row.claims = [=](const nn::Options& options) { return claims(own(options)); };
  return row;
}

}  // namespace tapir

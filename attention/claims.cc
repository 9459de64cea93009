#include "attention/claims.h"

#include <map>
#include <optional>

#include "attention/claims/subject.h"

namespace tapir {
namespace {

using Evidence = std::string (*)(const evidence::Subject&);

Evidence evidence_of(const std::string& claim) {   // null: of `exact`
  static const std::map<std::string, Evidence> all{
      {"causal", evidence::causal},
      {"distribution", evidence::distribution},
      {"equivariant", evidence::equivariant},
      {"padding_safe", evidence::padding_safe},
      {"streaming", evidence::streaming},
      {"linear", evidence::linear},
      {"batch_independent", evidence::batch_independent}};
  const auto found = all.find(claim);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace

std::vector<Proof> prove(const Mechanism& mechanism, const nn::Options& options, uint64_t seed, const MixerShape& shape) {
  const auto proof = [&](const char* claim, Evidence found, int points = 1) {
    Proof result{claim, false, {}};
    for (int point = 0; point < points && !result.holds; ++point) {
      std::optional<evidence::Subject> subject;
      try {
        subject.emplace(mechanism, options, shape, seed + point);
        result.evidence = found(*subject);
        result.holds = true;
      } catch (const std::exception& error) {   // of a program's own mechanism it may be any
        result.evidence = error.what();
        if (subject) result.counter_example = subject->drawn();
      }
    }
    return result;
  };
  const Claims claims = mechanism.claims(options);
  std::vector<Proof> proofs;
  for (const auto& [name, made] : all_claims)
    if (claims.*made && evidence_of(name)) proofs.push_back(proof(name, evidence_of(name)));
  if (claims.causal) proofs.push_back(proof("positions", evidence::positions));
  // At some points a step straddles a kink, or a gate is open for all pairs, so that a parameter happens not to matter
  // there. Hence up to three points: a derivative that is wrong is so everywhere.
  proofs.push_back(proof("gradient", evidence::gradient, 3));
  proofs.push_back(proof("double_gradient", evidence::double_gradient, 3));
  return proofs;
}

}  // namespace tapir

// tapir zoo, tapir check
#include "attention/zoo.h"

#include <fmt/core.h>

#include <algorithm>

#include "attention/claims.h"
#include "attention/reproduce/program/check_ops.h"
#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/keys.h"
#include "attention/reproduce/program/streams.h"

namespace tapir {
namespace {

std::string listed(const Claims& claims, bool made) {
  std::string list;
  for (const auto& [name, claim] : all_claims)
    if (claims.*claim == made) list += (list.empty() ? "" : ", ") + std::string(name);
  return list.empty() ? "none" : list;
}

std::string needs_text(const nn::Needs& needs) {
  std::string list;
  const auto name = [&](bool needed, const char* what) {
    if (needed) list += (list.empty() ? "" : ", ") + std::string(what);
  };
  name(needs.self, "queries and keys of one sequence");
  name(needs.all_tokens, "no causal mask");
  name(needs.every_head, "as many heads of keys as of queries");
  name(needs.places == nn::Places::Kind::grid, "tokens on a grid");
  name(needs.places == nn::Places::Kind::coordinates, "tokens with coordinates");
  return list.empty() ? "nothing" : list;
}

}  // namespace

int run_zoo() {
  for (const Mechanism& row : zoo()) {
    const std::unique_ptr<nn::Options> options = row.options();
    const Claims claims = row.claims(*options);
    fmt::print("{}   {}, {}\n    {}\n    cost: {}\n    claims: {}\n    does not claim: {}\n    needs: {}\n", row.name,
               row.title, row.paper, row.equation, row.cost, listed(claims, true), listed(claims, false),
               needs_text(needs_of(row, *options)));
    for (const Key& key : keys_of(*options)) fmt::print("{}", text_of(key));
  }
  return 0;
}

int run_check(const std::vector<std::string>& names, bool all, uint64_t seed) {
  int failures = 0, proofs = 0;
  const auto show = [&](const std::string& name, const std::vector<Proof>& proved) {
    for (const Proof& proof : proved) {
      fmt::print("{}  {:<14} {:<16} {}\n", proof.holds ? "holds" : "FAILS", name, proof.claim, proof.evidence);
      ++proofs;
      failures += !proof.holds;
    }
    flush_output();
  };
  const auto wanted = [&](const std::string& name) {
    return all || std::find(names.begin(), names.end(), name) != names.end();
  };
  const std::vector<OpExamples> ops = examples_of_every_op();
  for (const std::string& name : names)
    if (std::none_of(ops.begin(), ops.end(), [&](const OpExamples& op) { return op.op == name; })) mechanism(name);
  for (const OpExamples& op : ops)
    if (wanted(op.op)) show(op.op, check_op(op, seed));
  for (const Mechanism& row : zoo())
    if (wanted(row.name) || names.empty()) show(row.name, prove(row, *row.options(), seed));
  fmt::print("{} of {} claims hold\n", proofs - failures, proofs);
  return failures ? 1 : 0;
}

}  // namespace tapir

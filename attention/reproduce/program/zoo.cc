// tapir zoo, tapir check
#include "attention/zoo.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "attention/claims.h"
#include "attention/reproduce/program/check_ops.h"
#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/keys.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/tasks/model.h"

namespace tapir {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

Words claims_of(const Claims& claims, bool made) {
  Words all;
  for (const auto& [name, claim] : all_claims)
    if (claims.*claim == made) all.emplace_back(name);
  return all;
}

Words needs_in_words(const nn::Needs& needs) {
  Words all;
  if (needs.self) all.emplace_back("queries and keys of one sequence");
  if (needs.all_tokens) all.emplace_back("no causal mask");
  if (needs.every_head) all.emplace_back("as many heads of keys as of queries");
  if (needs.whole_width) all.emplace_back("heads of the tokens' width together");
  if (needs.any_distance) all.emplace_back("no window");
  if (needs.order) all.emplace_back("tokens that follow each other");
  if (needs.sequence) all.emplace_back("tokens in a sequence");
  if (needs.heads > 1) all.push_back(fmt::format("at least {} heads", needs.heads));
  if (needs.feed_forward) all.emplace_back("a place behind the feed-forward layers");
  if (needs.places == nn::Places::Kind::grid) all.emplace_back("tokens on a grid");
  if (needs.places == nn::Places::Kind::coordinates) all.emplace_back("tokens with coordinates");
  return all;
}

Words models_without_attention() {
  Words all;
  for (const std::string& name : model_names())
    if (const ModelRow& row = model_row(name); !row.mixes) all.push_back(fmt::format("{}, {}", name, row.title));
  return all;
}

std::string listed(const Words& words, const char* none) {
  return words.empty() ? none : fmt::format("{}", fmt::join(words, ", "));
}

Json options_of(nn::Options& options) {
  std::ostringstream values;
  const toml::table table = section_of(options);
  values << toml::json_formatter(table);
  const Json defaults = Json::parse(values.str());
  Json all = Json::array();
  for (const Key& key : keys_of(options))
    all.push_back({{"key", key.name}, {"default", defaults.at(key.name)}, {"allowed", key.allowed}, {"meaning", key.meaning}});
  return all;
}

void require_known(const char* where, const char* what, const Words& names, const Words& known, const char* otherwise) {
  for (const std::string& name : names) {
    const std::string hint = meant(name, known);
    require(std::find(known.begin(), known.end(), name) != known.end(), where,
            [&] { return text("there is no ", what, " '", name, "'"); }, hint.empty() ? otherwise : hint);
  }
}

bool among(const Words& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

int run_zoo(const std::vector<std::string>& names, bool json) {
  require_known("zoo", "mechanism", names, mechanism_names(), "tapir zoo lists those that exist");
  Json all = Json::array();
  for (const Mechanism& row : zoo()) {
    if (!names.empty() && !among(names, row.name)) continue;
    const std::unique_ptr<nn::Options> options = row.options();
    const Claims claims = row.claims(*options);
    const Words claimed = claims_of(claims, true), not_claimed = claims_of(claims, false),
                needs = needs_in_words(needs_of(row, *options));
    if (json) {
      all.push_back({{"name", row.name}, {"title", row.title}, {"paper", row.paper}, {"equation", row.equation},
                     {"cost", row.cost}, {"claims", claimed}, {"does_not_claim", not_claimed}, {"needs", needs},
                     {"options", options_of(*options)}});
      continue;
    }
    fmt::print("{}   {}, {}\n    {}\n    cost: {}\n    claims: {}\n    does not claim: {}\n    needs: {}\n", row.name,
               row.title, row.paper, row.equation, row.cost, listed(claimed, "none"), listed(not_claimed, "none"),
               listed(needs, "nothing"));
    for (const Key& key : keys_of(*options)) fmt::print("{}", text_of(key));
  }
  if (json) print_json(all);
  else if (names.empty())
    fmt::print("Without attention, among the models (`tapir config model`): {}\n", fmt::join(models_without_attention(), "; "));
  return 0;
}

int run_check(const std::vector<std::string>& names, bool all, uint64_t seed, bool json) {
  const std::vector<OpExamples> ops = examples_of_every_op();
  Words known = mechanism_names();
  for (const OpExamples& op : ops) known.push_back(op.op);
  require_known("check", "mechanism or op", names, known, "tapir zoo lists the mechanisms, autograd/ops.h the ops");
  int failures = 0, proofs = 0;
  Json claims = Json::array();
  const auto show = [&](const std::string& name, const std::vector<Proof>& proved) {
    for (const Proof& proof : proved) {
      if (json) claims.push_back({{"of", name}, {"claim", proof.claim}, {"holds", proof.holds}, {"evidence", proof.evidence}});
      else fmt::print("{}  {:<14} {:<16} {}\n", proof.holds ? "holds" : "FAILS", name, proof.claim, proof.evidence);
      ++proofs;
      failures += !proof.holds;
    }
    flush_output();
  };
  for (const OpExamples& op : ops)
    if (all || among(names, op.op)) show(op.op, check_op(op, seed));
  for (const Mechanism& row : zoo())
    if (all || names.empty() || among(names, row.name)) show(row.name, prove(row, *row.options(), seed));
  if (json) print_json({{"seed", seed}, {"proved", proofs}, {"failed", failures}, {"claims", std::move(claims)}});
  else fmt::print("{} of {} claims hold\n", proofs - failures, proofs);
  return failures ? 1 : 0;
}

}  // namespace tapir

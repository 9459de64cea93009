// The rules of Attention-BN's options, which attention_sh has as well.
#pragma once
#include <iterator>
#include <string>
#include <vector>

#include "tests/mechanisms/oracle.h"

namespace tapir {

// These beside `rules`; `with`: the keys beside each of them.
inline std::vector<Rule> with_normalisation_rules(std::vector<Rule> rules, const std::string& with = "") {
  const auto number_in = [](const char* low, const char* high, const char* below, const char* above) {
    Refusals all;
    for (const char* value : {below, above, "'1'"})
      all.emplace_back(value, text("must be a number in ", low, " … ", high, ", found ", value));
    return all;
  };
  const std::vector<Rule> own{
      {"beta", {"0", "0.5", "1"}, {"-10", "10"}, number_in("-10", "10", "-11", "11"), with},
      truth("learned", with),
      {"deviation", {"'divide'", "'multiply'"}, {}, choice("divided", "divide, multiply", "divide"), with},
      {"epsilon", {"1e-5", "0.5"}, {"1e-12", "1"}, number_in("1e-12", "1", "0.0", "2.0"), with},
      // without a causal mask it counts nothing; with one, the variants are compared with the loops
      {"prior", {"0", "8"}, {"1000000"}, number_in("0", "1000000", "-1.0", "1000001.0"), with, 0, true}};
  rules.insert(rules.end(), own.begin(), own.end());
  return rules;
}

}  // namespace tapir

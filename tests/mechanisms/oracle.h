// What the tests know of a mechanism: each file test_<name>.cc registers it for its row, and the tests that go over the whole
// zoo read it (test_mechanisms.cc, test_references.cc, test_mechanism_options.cc).
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "tests/attention/attention_helpers.h"
#include "tests/mechanisms/reference_attention.h"

namespace tapir {

// Scalar loops for a mixer with these options and parameters: the output and the gradients of ⟨output, g⟩, by the names of the
// inputs ("q", "k", "v", or "x", "context", or "z") and of the parameters, those of a score without "score.".
//   of its heads: q (B,H,T,D), k and v (B,H,S,D)
using HeadsReference = std::function<reference::Attention(
    const nn::Options& options, const Parameters& parameters, const reference::Sizes& sizes, const reference::Values& q,
    const reference::Values& k, const reference::Values& v, const reference::Values& g)>;
//   of all of it: x (B,T,C), context (B,S,C)
using MixerReference = std::function<reference::Attention(
    const nn::Options& options, const Parameters& parameters, const reference::Sizes& sizes, const reference::Values& x,
    const reference::Values& context, const reference::Values& g)>;
//   of what stands behind the feed-forward network (nn/after_feed_forward.h): z (B,T,C), beside the buffers of the mixer
using Buffers = std::map<std::string, reference::Values>;
using LayerReference = std::function<reference::Attention(const nn::Options& options, const Parameters& parameters,
                                                          const Buffers& buffers, const reference::Sizes& sizes,
                                                          const reference::Values& z, const reference::Values& g)>;

using Words = std::vector<std::string>;
using Refusals = std::vector<std::pair<std::string, std::string>>;   // a value, and what is said of it

// Of an option.
struct Rule {
  std::string key;
  Words values;             // of TOML: each is built, proved, and differs from the others
  Words bounds = {};        // allowed too
  Refusals refused = {};
  std::string with = "";    // the keys beside it
  int64_t layer = 0;
  bool same = false;        // the values are ways to the same result
  std::string unrecorded = {};   // why PyTorch's recorded cases need not have all of them; empty: they must
};

struct Oracle {
  std::string mechanism;
  HeadsReference heads = {};     // one of the two, where the row claims `exact`
  MixerReference mixer = {};     // where linear maps are not what leads to the heads and from them
  LayerReference layer = {};     // where a mixer has this place too
  std::vector<Rule> rules = {};  // one for each option
  Words variants = {""};         // keys of [attention]: each is compared with the reference, every gradient too
  bool even = false;             // heads must have an even width
  std::string file = {};         // of tests/mechanisms/, known to its Registered

  bool has_reference() const { return heads || mixer; }
};

inline std::map<std::string, Oracle>& registered_oracles() {
  static std::map<std::string, Oracle> all;
  return all;
}
inline const std::map<std::string, Oracle>& oracles() { return registered_oracles(); }   // by mechanism

// Set by whoever wants to see some mechanisms alone (tests/mutation/run_zoo.cc).
inline std::function<bool(const std::string&)> takes_mechanism = [](const std::string&) { return true; };

struct Registered {   // a static of a test file
  explicit Registered(Oracle oracle, const std::source_location& where = std::source_location::current()) {
    oracle.file = std::filesystem::path(where.file_name()).filename();
    const bool first = registered_oracles().emplace(oracle.mechanism, oracle).second;
    require(first, "oracles", [&] { return oracle.mechanism + " has two"; });
  }
};

inline Buffers buffers_of(nn::Module& model) {
  Buffers all;
  model.each_buffer([&](const std::string& name, nn::Buffer& buffer) { all[name] = buffer.value.values<double>(); });
  return all;
}

// ---- rules

inline Refusals whole_number(int64_t low, int64_t high) {
  Refusals all;
  for (const std::string& value : {text(low - 1), text(high + 1), std::string("1.5"), std::string("'1'"), std::string("true")})
    all.emplace_back(value, text("must be a whole number in ", low, " … ", high, ", found ", value));
  return all;
}

inline Refusals choice(const std::string& wrong, const std::string& listed, const std::string& close) {
  return {{"1", "must be a string, found 1"},
          {"true", "must be a string, found true"},
          {'\'' + wrong + '\'', text('\'', wrong, "' is none of: ", listed, "; hint: did you mean '", close, "'?")}};
}

inline Rule truth(const std::string& key, const std::string& with = "") {
  const Refusals refused{{"1", "must be true or false, found 1"}, {"'true'", "must be true or false, found 'true'"}};
  return {key, {"false", "true"}, {}, refused, with};
}

inline Rule implementation_rule() {   // of StagedOptions
  return {"implementation", {"'naive'", "'fused'"}, {}, choice("naiv", "naive, fused", "naive"), "", 0, true, "one formula"};
}

inline Rule chunk_rule() {   // of StateOptions
  return {"chunk", {"1", "3", "64"}, {"65536"}, whole_number(1, 65536), "", 0, true, "one formula"};
}

}  // namespace tapir

// The options of every mechanism: each allowed value of an option has right gradients and does something of its own, each
// refusal says what is allowed.
#include <doctest/doctest.h>

#include <set>
#include <utility>

#include "attention/claims.h"
#include "attention/reproduce/program/config.h"
#include "tests/attention/attention_helpers.h"

using namespace tapir;

namespace {

using Refusals = std::vector<std::pair<std::string, std::string>>;   // a value, and what is said of it
using Words = std::vector<std::string>;

struct Rule {
  std::string mechanism, key;
  Words values;             // of TOML: each is built, proved, and differs from the others
  Words bounds;             // allowed too
  Refusals refused;
  std::string with = "";    // the keys beside it
  int64_t layer = 0;
  bool same = false;        // the values are ways to the same result
};

Refusals whole_number(int64_t low, int64_t high) {
  Refusals all;
  for (const std::string& value : {text(low - 1), text(high + 1), std::string("1.5"), std::string("'1'"), std::string("true")})
    all.emplace_back(value, text("must be a whole number in ", low, " … ", high, ", found ", value));
  return all;
}

const Refusals truth{{"1", "must be true or false, found 1"}, {"'true'", "must be true or false, found 'true'"}};

const std::vector<Rule>& rules() {
  static const Words both{"false", "true"};
  static const Refusals no_string{{"1", "must be a string, found 1"}, {"true", "must be a string, found true"}};
  const auto choice = [](const std::string& wrong, const std::string& listed, const std::string& close) {
    Refusals all = no_string;
    all.emplace_back('\'' + wrong + '\'', text('\'', wrong, "' is none of: ", listed, "; hint: did you mean '", close, "'?"));
    return all;
  };
  static const std::vector<Rule> all{
      {"dot_product", "implementation", {"'naive'", "'fused'"}, {}, choice("naif", "naive, fused", "naive"), "", 0, true},
      {"score_mlp", "implementation", {"'naive'", "'fused'"}, {}, choice("naif", "naive, fused", "naive"), "", 0, true},
      {"expressive", "implementation", {"'naive'", "'fused'"}, {}, choice("naif", "naive, fused", "naive"), "", 0, true},
      {"mlp_qkv", "implementation", {"'naive'", "'fused'"}, {}, choice("naif", "naive, fused", "naive"), "", 0, true},
      {"score_mlp", "form", {"'paper'", "'released'"}, {}, choice("papers", "paper, released", "paper")},
      {"score_mlp", "layers", {"'first'", "'all'"}, {}, choice("fist", "first, all", "first"), "", 1},
      {"score_mlp", "reduced", {"0", "2", "3"}, {"4096"}, whole_number(0, 4096)},
      {"score_mlp", "hidden", {"1", "2", "16"}, {"4096"}, whole_number(1, 4096), "form = 'paper'"},
      {"score_mlp", "scale", both, {}, truth, "form = 'paper'"},
      {"score_mlp", "shared", both, {}, truth},
      {"additive", "hidden", {"0", "1", "3"}, {"4096"}, whole_number(0, 4096)},
      {"additive", "bias", both, {}, truth},
      {"expressive", "beta", {"0", "1", "0.3"}, {"1e-300", "1e6"},
       {{"-1e-9", "must be a number in 0 … 1000000, found -1e-09"},
        {"1000001", "must be a number in 0 … 1000000, found 1000001"},
        {"nan", "must be a number in 0 … 1000000, found nan"}, {"inf", "must be a number in 0 … 1000000, found inf"},
        {"'1'", "must be a number in 0 … 1000000, found '1'"}, {"true", "must be a number in 0 … 1000000, found true"}}},
      {"expressive", "alibi", both, {}, truth},
      {"mlp_qkv", "q", both, {}, truth},
      {"mlp_qkv", "k", both, {}, truth},
      {"mlp_qkv", "v", both, {}, truth},
      {"mlp_qkv", "o", both, {}, truth},
      {"mlp_qkv", "norm", {"'none'", "'before'", "'after'"}, {}, choice("afte", "none, before, after", "after")},
      {"mlp_qkv", "norm_shared", both, {}, truth},
      {"mlp_qkv", "activation", {"'relu'", "'mish'"}, {}, choice("gelu", "relu, mish", "relu")},
      {"mlp_qkv", "hidden_mult", {"1", "2", "3"}, {"16"}, whole_number(1, 16)},
      {"mlp_qkv", "output_bias", both, {}, truth},
      {"twicing", "last", {"0", "1"}, {"1024"}, whole_number(0, 1024)},
      {"linear", "epsilon", {"0", "0.1", "1"}, {},
       {{"-1e-9", "must be a number in 0 … 1, found -1e-09"}, {"1.1", "must be a number in 0 … 1, found 1.1"},
        {"nan", "must be a number in 0 … 1, found nan"}, {"'1'", "must be a number in 0 … 1, found '1'"}}},
      {"linear", "chunk", {"1", "3", "64"}, {"65536"}, whole_number(1, 65536), "", 0, true},
  };
  return all;
}

std::unique_ptr<nn::Options> options_of(const std::string& mechanism_name, const std::string& toml) {
  std::unique_ptr<nn::Options> options = mechanism(mechanism_name).options();
  read_section(toml::parse("[attention]\n" + toml), "attention", *options);
  return options;
}

// The rule's options with this value.
std::unique_ptr<nn::Options> options_of(const Rule& rule, const std::string& value) {
  return options_of(rule.mechanism, rule.key + " = " + value + '\n' + rule.with);
}

struct KeysOf final : nn::FieldVisitor {
  void operator()(const char* key, int64_t&, const char*, const nn::Range&) override { keys.insert(key); }
  void operator()(const char* key, double&, const char*, const nn::Range&) override { keys.insert(key); }
  void operator()(const char* key, bool&, const char*) override { keys.insert(key); }
  void operator()(const char* key, std::string&, const char*, const nn::Choices&) override { keys.insert(key); }
  std::set<std::string> keys;
};

}  // namespace

TEST_CASE("options of mechanisms: each has its rule here") {
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    KeysOf found;
    row.options()->fields(found);
    std::set<std::string> ruled;
    for (const Rule& rule : rules())
      if (rule.mechanism == row.name) ruled.insert(rule.key);
    CHECK(found.keys == ruled);
  }
}

TEST_CASE("options of mechanisms: every value has right gradients, first and second, and does what it says") {
  const Tensor x = random_normal({2, 4, 8}, 1, "x"), context = random_normal({2, 5, 8}, 1, "context");
  for (const Rule& rule : rules()) {
    std::vector<std::vector<double>> outputs;
    for (const std::string& value : rule.values) {
      INFO(rule.mechanism, ".", rule.key, " = ", value);
      const std::unique_ptr<nn::Options> options = options_of(rule, value);
      const MixerShape shape{.width = 8, .heads = 2, .layer = rule.layer, .layers = 2};
      const Mechanism& row = mechanism(rule.mechanism);
      for (const Proof& proof : prove(row, *options, 1, shape)) {
        INFO(proof.claim, ": ", proof.evidence);
        CHECK(proof.holds);
      }
      const auto mixer = row.make(*options, shape);
      mixer->initialise(1, DType::f64);
      spread_parameters(*mixer, 1);
      outputs.push_back(mixer->forward(x, row.needs(*options).self ? x : context, {}).values<double>());
      for (size_t other = 0; other + 1 < outputs.size(); ++other)
        CHECK((rule.same ? frobenius_error(outputs[other], outputs.back()) < 1e-13
                         : frobenius_error(outputs[other], outputs.back()) > 1e-3));
    }
  }
}

TEST_CASE("options of mechanisms: the bounds are allowed, what lies beside them and other types are refused") {
  for (const Rule& rule : rules()) {
    for (const std::string& value : rule.bounds) {
      INFO(rule.mechanism, ".", rule.key, " = ", value);
      CHECK(mechanism(rule.mechanism).make(*options_of(rule, value), {.width = 8, .heads = 2}) != nullptr);
    }
    for (const auto& refusal : rule.refused) {
      const auto& value = refusal.first;
      INFO(rule.mechanism, ".", rule.key, " = ", value);
      CHECK(message_of([&] { options_of(rule, value); }) == text("config: attention.", rule.key, ": ", refusal.second));
    }
  }
}

TEST_CASE("options of mechanisms: a mechanism does not take those of another") {
  CHECK(message_of([] { mechanism("dot_product").make(nn::Options(), {.width = 8, .heads = 2}); }) ==
        "zoo: these are not the options of 'dot_product'; hint: take those that the row's options() makes");
}

TEST_CASE("options of mechanisms: an unknown one is refused with the nearest, where there is any") {
  const auto refused = [](const char* name, const char* toml) { return message_of([=] { options_of(name, toml); }); };
  CHECK(refused("dot_product", "fused = 1") ==
        "config: there is no key 'fused' in [attention]; hint: did you mean 'implementation'?");
  CHECK(refused("score_mlp", "share = true") ==
        "config: there is no key 'share' in [attention]; hint: did you mean 'shared'?");
  CHECK(refused("additive", "units = 4") == "config: there is no key 'units' in [attention]; hint: did you mean 'bias'?");
  CHECK(refused("additive", "Bias = true") == "config: there is no key 'Bias' in [attention]; hint: did you mean 'bias'?");
  CHECK(refused("expressive", "bata = 1") == "config: there is no key 'bata' in [attention]; hint: did you mean 'beta'?");
  CHECK(refused("mlp_qkv", "norms = 'none'") == "config: there is no key 'norms' in [attention]; hint: did you mean 'norm'?");
}

// The options of every mechanism: each allowed value of an option has right gradients and does something of its own, each
// refusal says what is allowed. The rules stand in the files of the mechanisms.
#include <doctest/doctest.h>

#include <set>

#include "tests/field_names.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;

namespace {

// The rule's options with this value.
std::unique_ptr<nn::Options> options_with(const std::string& mechanism_name, const Rule& rule, const std::string& value) {
  return options_of(mechanism_name, rule.key + " = " + value + '\n' + rule.with);
}

template <class Judge>
void each_rule(const Judge& judge) {
  for (const auto& [name, oracle] : oracles())
    for (const Rule& rule : oracle.rules)
      if (takes_mechanism(name)) judge(name, rule);
}

}  // namespace

TEST_CASE("options of mechanisms: each has its rule, and each rule its option") {
  for (const Mechanism& row : zoo()) {
    testing::FieldNames found;
    row.options()->fields(found);
    std::set<std::string> ruled;
    if (oracles().contains(row.name))
      for (const Rule& rule : oracles().at(row.name).rules) ruled.insert(rule.key);
    for (const std::string& key : found.keys)
      if (!ruled.contains(key)) FAIL_CHECK("tests/mechanisms/test_", row.name, ".cc has no rule for the option ", key);
    for (const std::string& key : ruled)
      if (!found.keys.contains(key)) FAIL_CHECK("tests/mechanisms/test_", row.name, ".cc has a rule for no option: ", key);
  }
}

TEST_CASE("options of mechanisms: every value has right gradients, first and second, and does what it says") {
  const Tensor x = random_normal({2, 4, 8}, 1, "x"), context = random_normal({2, 5, 8}, 1, "context");
  each_rule([&](const std::string& name, const Rule& rule) {
    std::vector<std::vector<double>> outputs;
    for (const std::string& value : rule.values) {
      INFO(name, ".", rule.key, " = ", value);
      const std::unique_ptr<nn::Options> options = options_with(name, rule, value);
      const MixerShape shape{.width = 8, .heads = 2, .layer = rule.layer, .biases = true, .layers = 2};
      const Mechanism& row = mechanism(name);
      for (const Proof& proof : prove(row, *options, 1, shape)) {
        INFO(proof.claim, ": ", proof.evidence);
        CHECK(proof.holds);
      }
      const auto mixer = row.make(*options, shape);
      mixer->initialise(1, DType::f64);
      spread_parameters(*mixer, 1);
      const Tensor mixed = mixer->forward(x, needs_of(row, *options).self ? x : context, {});
      outputs.push_back(nn::after_feed_forward(*mixer, mixed, {}).values<double>());
      for (size_t other = 0; other + 1 < outputs.size(); ++other)
        CHECK((rule.same ? frobenius_error(outputs[other], outputs.back()) < 1e-13
                         : frobenius_error(outputs[other], outputs.back()) > 1e-3));
    }
  });
}

// Every pair of options that make a difference in one evaluation without a mask: where one has a value that leaves another unread,
// the other is refused.
TEST_CASE("options of mechanisms: one that does nothing beside a value of another is refused there") {
  const Tensor x = random_normal({2, 4, 8}, 1, "x");
  const std::set<std::string> degenerate{
      "associative: beta beside slots = 1", "associative: retrieval_steps beside slots = 1",   // shares of one row are 1
      "attention_bn: beta beside learned = true", "attention_sh: beta beside learned = true"};   // an initial value
  each_rule([&](const std::string& name, const Rule& rule) {
    if (rule.same) return;
    for (const Rule& beside : oracles().at(name).rules)
      for (const std::string& other : beside.values) {
        const std::string pair = text(name, ": ", rule.key, " beside ", beside.key, " = ", other);
        if (beside.key == rule.key || contains_text(rule.with, beside.key) || degenerate.contains(pair)) continue;
        std::vector<std::vector<double>> outputs;
        for (const std::string& value : rule.values) {
          INFO(pair, "; ", rule.key, " = ", value);
          const std::string keys = beside.key + " = " + other + '\n' + rule.key + " = " + value + '\n' + rule.with;
          const MixerShape shape{.width = 8, .heads = 2, .layer = rule.layer, .biases = true, .layers = 2};
          const std::string refusal = message_of([&] {
            const auto mixer = mechanism(name).make(*options_of(name, keys), shape);
            mixer->initialise(1, DType::f64);
            spread_parameters(*mixer, 1);
            const Tensor mixed = mixer->forward(x, x, {});
            outputs.push_back(nn::after_feed_forward(*mixer, mixed, {}).values<double>());
          });
          if (refusal != "no error") {
            CHECK((contains_text(refusal, "is read only where") || refusal.starts_with("mlp_qkv: norm")));
            continue;
          }
          for (size_t one = 0; one + 1 < outputs.size(); ++one) CHECK(frobenius_error(outputs[one], outputs.back()) > 1e-9);
        }
      }
  });
}

TEST_CASE("options of mechanisms: what looks at all tokens takes no causal mask and has no state, whatever the option") {
  const Tensor x = random_normal({1, 3, 8}, 1, "x");
  std::set<std::string> looking;
  each_rule([&](const std::string& name, const Rule& rule) {
    for (const std::string& value : rule.values) {
      INFO(name, ".", rule.key, " = ", value);
      for (const nn::Places& places : {nn::Places{}, nn::Places{.kind = nn::Places::Kind::grid, .rows = 1, .columns = 3}}) {
        const MixerShape shape{.width = 8, .heads = 2, .places = places};
        const auto mixer = mechanism(name).make(*options_with(name, rule, value), shape);
        if (!mixer->needs().all_tokens) continue;
        looking.insert(name);
        CHECK(message_of([&] { mixer->forward(x, x, call_with({.causal = true})); }) ==
              "attention: this mechanism looks at all tokens, and the mask is causal");
        CHECK(message_of([&] { mixer->state(1); }) ==
              "state: this attention cannot go on token by token; hint: give it the whole sequence");
      }
    }
  });
  for (const char* name : {"attention_sh", "dnas", "fast", "flatten", "laplacian"})
    CHECK(looking.contains(name) == takes_mechanism(name));
}

TEST_CASE("options of mechanisms: the bounds are allowed, what lies beside them and other types are refused") {
  each_rule([](const std::string& name, const Rule& rule) {
    for (const std::string& value : rule.bounds) {
      INFO(name, ".", rule.key, " = ", value);
      CHECK(mechanism(name).make(*options_with(name, rule, value), {.width = 8, .heads = 2}) != nullptr);
    }
    for (const auto& refusal : rule.refused) {
      const auto& value = refusal.first;
      INFO(name, ".", rule.key, " = ", value);
      CHECK(message_of([&] { options_with(name, rule, value); }) == text("config: attention.", rule.key, ": ", refusal.second));
    }
  });
}

TEST_CASE("options of mechanisms: a mechanism does not take those of another") {
  CHECK(message_of([] { mechanism("dot_product").make(nn::Options(), {.width = 8, .heads = 2}); }) ==
        "zoo: these are not the options of 'dot_product'; hint: take those that the row's options() makes");
}

TEST_CASE("options of mechanisms: an unknown one is refused with the nearest, where there is any") {
  const auto refused = [](const char* name, const char* toml) { return message_of([=] { options_of(name, toml); }); };
  CHECK(refused("score_mlp", "share = true") ==
        "config: there is no key 'share' in [attention]; hint: did you mean 'shared'?");
  for (const char* far : {"fused = 1", "units = 4"}) CHECK_FALSE(contains_text(refused("additive", far), "did you mean"));
  CHECK(refused("additive", "Bias = true") == "config: there is no key 'Bias' in [attention]; hint: did you mean 'bias'?");
  CHECK(refused("expressive", "bata = 1") == "config: there is no key 'bata' in [attention]; hint: did you mean 'beta'?");
  CHECK(refused("mlp_qkv", "norms = 'none'") == "config: there is no key 'norms' in [attention]; hint: did you mean 'norm'?");
}

// Each mechanism, with every gradient, against the scalar loops of its oracle and against an independent float64 PyTorch
// script.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/golden_file.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;
using reference::Sizes;
using reference::Values;

namespace {

void check_bounds(const Distance& distance) {
  INFO(distance.forward.where);
  CHECK(distance.forward.error <= Distance::forward_bound);
  INFO(distance.gradient.where);
  CHECK(distance.gradient.error <= Distance::gradient_bound);
  CHECK(distance.comparisons > 0);
}

using Cases = std::vector<nlohmann::json>;
using Had = std::map<std::string, std::set<nlohmann::json>>;   // values of options, by key

// What is not among the values of options, which say themselves what they allow: of truth values and choices each is asked for,
// of numbers two, 0 among them where it is allowed, for it often is a form of its own.
class Missing final : public nn::FieldVisitor {
 public:
  explicit Missing(Had had) : had_(std::move(had)) {}

  void operator()(const char* key, int64_t&, const char*, const nn::Range& range) override { two(key, range.contains(0)); }
  void operator()(const char* key, double&, const char*, const nn::Range& range) override { two(key, range.contains(0)); }
  void operator()(const char* key, bool&, const char*) override { each(key, {false, true}); }
  void operator()(const char* key, std::string&, const char*, const nn::Choices& choices) override {
    each(key, {choices.begin(), choices.end()});
  }
  void operator()(const char* key, nn::Numbers&, const char*, const nn::Range&) override { two(key, false); }

  std::map<std::string, Words> of;   // by key

 private:
  void each(const char* key, const std::vector<nlohmann::json>& values) {
    for (const nlohmann::json& value : values)
      if (!had_[key].contains(value)) of[key].push_back(value.dump());
  }
  void two(const char* key, bool zero) {
    if (zero) each(key, {0});
    if (had_[key].size() < 2) of[key].push_back("two numbers");
  }

  Had had_;
};

class Shown final : public nn::FieldVisitor {   // what options have
 public:
  void operator()(const char* key, int64_t& x, const char*, const nn::Range&) override { had[key].insert(x); }
  void operator()(const char* key, double& x, const char*, const nn::Range&) override { had[key].insert(x); }
  void operator()(const char* key, bool& x, const char*) override { had[key].insert(x); }
  void operator()(const char* key, std::string& x, const char*, const nn::Choices&) override { had[key].insert(x); }
  void operator()(const char* key, nn::Numbers& x, const char*, const nn::Range&) override { had[key].insert(x); }

  Had had;
};

const Cases& cases_of(const std::string& name) {
  static std::map<std::string, Cases> all = [] {
    std::map<std::string, Cases> by_name;
    const nlohmann::json golden = golden_file("mechanisms.json");
    for (const nlohmann::json& one : golden["cases"]) by_name[one["mechanism"]].push_back(one);
    return by_name;
  }();
  return all[name];
}

Missing missing_of(const Mechanism& row, const Had& had) {
  Missing missing(had);
  row.options()->fields(missing);
  return missing;
}

std::unique_ptr<nn::TokenMixer> mixer_of(const Mechanism& row, MixerShape shape) {
  shape.width = 8, shape.heads = 2;
  auto mixer = row.make(*row.options(), shape);
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  return mixer;
}

// Whether 6 tokens that stand there give something else than in a sequence.
bool tells_apart(const Mechanism& row, const nn::Places& places) {
  const Tensor x = random_normal({1, 6, 8}, 1, "x");
  nn::Call call;
  if (places.dimensions > 0) call.places = call.context_places = random_normal({1, 6, places.dimensions}, 1, "places");
  const auto answer = [&](const nn::Places& own) {
    return mixer_of(row, {.places = own})->forward(x, x, call).values<double>();
  };
  return answer(places) != answer({});
}

// Whether parameters other than the bias's own have another shape beside it.
bool makes_room_for(const Mechanism& row, nn::Positions bias) {
  const auto shapes = [&](nn::Positions positions) {
    const auto mixer = mixer_of(row, {.positions = positions});
    std::map<std::string, Shape> all;
    for (const auto& [name, parameter] : parameters_of(*mixer))
      if (!name.starts_with("positions.")) all[name] = parameter->shape;
    return all;
  };
  return mixer_of(row, {})->accepts(bias) && shapes(bias) != shapes(nn::Positions::none);
}

}  // namespace

TEST_CASE("mechanisms: all equal scalar loops, with every gradient") {
  for (const auto& named : oracles()) {
    const Oracle& oracle = named.second;
    if (!oracle.has_reference() || !takes_mechanism(oracle.mechanism)) continue;
    for (const std::string& keys : oracle.variants) {
      INFO(oracle.mechanism, ": ", keys);
      check_bounds(from_scalar_loops(oracle, *options_of(oracle.mechanism, keys)));
    }
  }
}

TEST_CASE("mechanisms: all equal independent PyTorch values in float64") {
  const nlohmann::json golden = golden_file("mechanisms.json");
  std::set<std::string> recorded;
  for (const nlohmann::json& one : golden["cases"]) {
    recorded.insert(one["mechanism"]);
    if (!takes_mechanism(one["mechanism"])) continue;
    CAPTURE(one["name"].get<std::string>());
    check_bounds(from_recorded(one));
  }
  for (const Mechanism& row : zoo())
    if (row.claims(*row.options()).exact && !recorded.contains(row.name)) FAIL_CHECK("there are no recorded values of ", row.name);
}

TEST_CASE("mechanisms: PyTorch's values are of every option, or its rule says why not") {
  for (const Mechanism& row : zoo()) {
    Had named;
    for (const nlohmann::json& one : cases_of(row.name))
      for (const auto& [key, value] : one["options"].items()) named[key].insert(value);
    Missing missing = missing_of(row, named);
    for (const Rule& rule : oracles().at(row.name).rules) {
      INFO(row.name, ".", rule.key);
      if (!rule.unrecorded.empty()) {
        CHECK_MESSAGE(missing.of.contains(rule.key), "all are in tests/golden/mechanisms.json, and its rule says why they are not");
      } else {
        for (const std::string& value : missing.of[rule.key]) FAIL_CHECK("no case of tests/golden/mechanisms.json has ", value);
      }
    }
  }
  const Missing all = missing_of(mechanism("fourier"), {});
  CHECK(all.of.at("norm") == Words{"false", "true"});
  CHECK(all.of.at("gain") == Words{"0", "two numbers"});
  CHECK(all.of.at("epsilon") == Words{"two numbers"});
}

TEST_CASE("mechanisms: every option has a variant, which scalar loops judge with all gradients, unless it is one formula") {
  // A variant is the only layer of its model, and its tokens are a sequence; the files of these rows compare them.
  const std::set<std::string> elsewhere{"flatten.key_positions", "score_mlp.layers", "twicing.last"};
  for (const Mechanism& row : zoo()) {
    const Oracle& oracle = oracles().at(row.name);
    Shown shown;
    for (const std::string& keys : oracle.variants) options_of(row.name, keys)->fields(shown);
    Missing missing = missing_of(row, shown.had);
    for (const Rule& rule : oracle.rules) {
      INFO(row.name, ".", rule.key);
      if (elsewhere.contains(row.name + '.' + rule.key)) CHECK(missing.of.contains(rule.key));
      else if (rule.unrecorded.empty())
        for (const std::string& value : missing.of[rule.key]) FAIL_CHECK("no variant of the row's oracle has ", value);
    }
  }
}

TEST_CASE("mechanisms: PyTorch's values are of every situation in which a row has a form: masks, another context, places") {
  const nn::Places grid{.kind = nn::Places::Kind::grid, .rows = 2, .columns = 3},
      points{.kind = nn::Places::Kind::coordinates, .dimensions = 1};
  for (const Mechanism& row : zoo()) {
    std::vector<Subject> cases;
    for (const nlohmann::json& one : cases_of(row.name)) cases.push_back(subject_of(one));
    const auto need = [&](bool needed, const std::string& what, const auto& has) {
      if (needed && std::none_of(cases.begin(), cases.end(), has)) FAIL_CHECK("no recorded case of ", row.name, " has ", what);
    };
    need(true, "no mask", [](const Subject& one) { return !one.sizes.causal; });
    need(row.claims(*row.options()).causal, "a causal mask", [](const Subject& one) { return one.sizes.causal; });
    if (!needs_of(row, *row.options()).self) {
      need(true, "another context", [](const Subject& one) { return one.sizes.T != one.sizes.S; });
      need(row.claims(*row.options()).padding_safe, "padding", [](const Subject& one) { return !one.sizes.present.empty(); });
    }
    for (const nn::Places& places : {grid, points})
      need(tells_apart(row, places), places.dimensions > 0 ? "coordinates" : "a grid",
           [&](const Subject& one) { return one.shape.places.kind == places.kind; });
    for (const auto& bias : nn::all_positions)
      need(makes_room_for(row, bias.first), bias.second,
           [&](const Subject& one) { return one.shape.positions == bias.first; });
  }
  const auto count = [](const auto& is) { return std::count_if(zoo().begin(), zoo().end(), is); };
  CHECK(count([&](const Mechanism& row) { return tells_apart(row, grid); }) == 3);     // attention_sh, flatten, laplacian
  CHECK(count([&](const Mechanism& row) { return tells_apart(row, points); }) == 2);   // galerkin, fourier
  CHECK(count([](const Mechanism& row) { return makes_room_for(row, nn::Positions::alibi); }) == 1);   // dape
}

TEST_CASE("mechanisms: f32 agrees with f64") {
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const std::unique_ptr<nn::Options> options = row.options();
    const Sizes sizes{.B = 2, .H = 2, .T = needs_of(row, *options).self ? 33 : 17, .S = 33, .D = 8};
    const auto found = oracles().find(row.name);
    const bool whole = found != oracles().end() && found->second.mixer;
    Subject subject(row.name, *options, sizes, 7, whole ? Reach::mixer : Reach::heads);
    const Values wide = subject.output().values<double>();
    for (auto& [key, parameter] : subject.parameters) parameter->value = parameter->value.detach().to(DType::f32);
    for (auto& [key, input] : subject.inputs) input = input.detach().to(DType::f32);
    const double error = frobenius_error(subject.output().detach().to(DType::f64).values<double>(), wide);
    CHECK(error <= 1e-5);
    CHECK(error > 0);
  }
}

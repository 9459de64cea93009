// Arms that are made to cost the same.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "attention/reproduce/program/match.h"
#include "attention/zoo.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

using namespace testing;

constexpr const char* small = R"(
[task]
name = "copy"
size = 5
[model]
context = 16
width = 16
layers = 2
heads = 2
hidden = 200
[attention]
mechanism = "dot_product"
[train]
steps = 40
batch = 4
)";

struct Place {
  TemporaryFolder folder;
  std::filesystem::path experiment = folder.write("small.toml", small), out = folder.path() / "out";
  Experiment of(const std::string& mechanism, std::vector<std::string> assignments = {}) const {
    assignments.push_back("attention.mechanism=" + mechanism);
    return read_experiment(experiment, assignments);
  }
  std::string line(const std::string& rest) const {
    return "compare " + in_quotes(experiment) + " --attention dot_product,mlp_qkv --seeds 2 --out " + in_quotes(out) + ' ' + rest;
  }
};

}  // namespace

TEST_CASE("match: every mechanism of the zoo comes within 2 % of the parameters and operations of the first") {
  const Place place;
  const std::vector<std::string> other_parts{"model.head_width=12", "model.attention_bias=true", "model.tied_head=true"};
  for (const std::string by : {"parameters", "operations"})
    for (const Mechanism& row : zoo()) {
      CAPTURE(by);
      CAPTURE(row.name);
      if (needs_of(row, *row.options()).all_tokens) continue;   // it models no language
      Experiment to = place.of("dot_product", {"model.hidden=2000"}), own = place.of(row.name, other_parts);
      const Costs wanted = costs_of(to);
      match_width(own, to, by);
      const Costs reached = costs_of(own);
      const auto ratio = by == "parameters" ? static_cast<double>(reached.parameters) / static_cast<double>(wanted.parameters)
                                            : static_cast<double>(reached.operations) / static_cast<double>(wanted.operations);
      CHECK(ratio == doctest::Approx(1).epsilon(0.02));
    }
}

TEST_CASE("match: what cannot be reached, or adjusted, is said") {
  const Place place;
  Experiment to = place.of("dot_product", {"model.hidden=1"}), own = place.of("mlp_qkv");
  CHECK(contains_text(message_of([&] { match_width(own, to, "parameters"); }),
                      "cannot be reached by mlp_qkv: with model.hidden = 1 there are "));
  Experiment mlp = read_experiment(place.folder.write("mlp.toml", "[task]\nname = 'function'\n[model]\nname = 'mlp'\n"), {});
  CHECK(message_of([&] { match_width(mlp, mlp, "parameters"); }) ==
        "match: the model 'mlp' has no key 'hidden', whose width could be adjusted");
}

TEST_CASE("compare --match: says what it did, and goes on with what it measured") {
  const Place place;
  const Outcome plain = tapir(place.line("--set train.steps=2"));
  CHECK(contains_text(plain.out, " times the parameters, "));
  std::filesystem::remove_all(place.out);

  const Outcome parameters = tapir(place.line("--match parameters --set train.steps=2"));
  CHECK(parameters.status == 0);
  CHECK(contains_text(parameters.out, "\nmatched: mlp_qkv has model.hidden = "));
  CHECK(contains_text(refusal(place.line("--match operations --set train.steps=2")), "belongs to another experiment"));
  CHECK(contains_text(refusal(place.line("--match luck")), "luck"));
  std::filesystem::remove_all(place.out);

  CHECK(tapir(place.line("--match time")).status == 0);
  const std::string measured = contents(place.out / "match.json");
  const auto seconds = nlohmann::json::parse(measured).at("seconds_of_step");
  const Experiment longer = read_experiment(place.out / "mlp_qkv/seed-1/experiment.toml", {});
  CHECK(longer.train.steps ==
        std::llround(40 * seconds["dot_product"]["seconds"].get<double>() / seconds["mlp_qkv"]["seconds"].get<double>()));
  const Outcome again = tapir(place.line("--match time"));   // measured anew, the steps would be others
  CHECK(contains_text(again.err, "mlp_qkv/seed-2: finished before"));
  CHECK(contains_text(again.out, "\nmatched: mlp_qkv takes "));
  CHECK(contents(place.out / "match.json") == measured);
  for (const char* wrong : {"{}", "{\"seconds_of_step\": {\"mlp_qkv\": \"fast\"}}", "no"}) {
    place.folder.write("out/match.json", wrong);
    CHECK(contains_text(refusal(place.line("--match time")), "match.json: is malformed: "));
  }
  place.folder.write("out/match.json", "{\"seconds_of_step\": {\"dot_product\": 1, \"mlp_qkv\": -1}}");
  CHECK(contains_text(refusal(place.line("--match time")), "match.json: a step of mlp_qkv cannot take -1 seconds"));
}

TEST_CASE("compare --match time: with the threads that runs have, and with no time of others") {
  const Place place;
  const std::string few = "--match time --set train.steps=2 ", file = (place.out / "match.json").string();
  const auto times = [&] { return nlohmann::json::parse(contents(file)).at("seconds_of_step"); };
  REQUIRE(tapir(place.line(few + "--jobs 2")).status == 0);
  const auto measured = times();
  for (const char* arm : {"dot_product", "mlp_qkv"}) {
    CHECK(measured[arm]["threads"] == 1);
    CHECK(measured[arm]["experiment"].get<std::string>().size() == 64);
  }
  const std::string hint = "; hint: go on with the --threads, --jobs and settings of then, or give another folder with --out";
  CHECK(refusal(place.line(few), "", "--threads 2") ==
        "tapir: " + file + ": a step of dot_product was measured with 1 thread, and a run has 2" + hint);
  CHECK(refusal(place.line(few + "--set train.batch=2")) ==
        "tapir: " + file + ": a step of dot_product was measured with other settings" + hint);
  CHECK(tapir(place.line(few + "--set run.seed=5")).status == 0);   // more seeds take as long
  CHECK(times() == measured);

  std::filesystem::remove_all(place.out);
  const std::string earlier = "{\"seconds_of_step\": {\"dot_product\": 2, \"mlp_qkv\": 1}}";   // as a version before kept them
  place.folder.write("out/match.json", earlier);
  std::filesystem::create_directory(place.out / "mlp_qkv");
  const Outcome before = tapir(place.line(few));
  CHECK(before.status == 0);
  CHECK(contains_text(before.err, file + ": an earlier version measured these times, and did not say with how many threads; "
                                         "they stand, as runs that are matched in time have begun\n"));
  CHECK(contains_text(before.out, "\nmatched: mlp_qkv takes 4 steps of 1e+03 ms, as long as 2 of 2e+03 ms of dot_product\n"));
  CHECK(times()["mlp_qkv"] == 1);
  place.folder.write("out/match.json", "{\"seconds_of_step\": {\"mlp_qkv\": {\"seconds\": 1}}}");
  CHECK(contains_text(refusal(place.line(few)), "match.json: is malformed: "));

  std::filesystem::remove_all(place.out);
  place.folder.write("out/match.json", earlier);
  CHECK(tapir(place.line(few)).status == 0);   // nothing has begun with these
  CHECK(times()["mlp_qkv"]["threads"] == 1);
}

}  // namespace tapir

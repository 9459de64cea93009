// --json: one JSON document on standard output, with numbers as numbers, of every command that has the option.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <utility>

#include "attention/zoo.h"
#include "nn/train/metrics.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

using namespace testing;
using Json = nlohmann::json;

// No text that is a number, but labels of runs.
void check_numbers(const Json& value, const std::string& key = "") {
  static const std::regex number("-?[0-9]+(\\.[0-9]*)?(e[-+]?[0-9]+)?");
  for (const auto& item : value.items())
    if (item.value().is_structured()) check_numbers(item.value(), item.key());
    else if (item.value().is_string())
      CHECK_MESSAGE(!std::regex_match(item.value().get<std::string>(), number), key << '.' << item.key() << " is a string");
}

Json document(const std::string& arguments, int status = 0) {
  const Outcome outcome = tapir(arguments);
  CAPTURE(arguments);
  CAPTURE(outcome.out);
  CAPTURE(outcome.err);
  CHECK(outcome.status == status);
  REQUIRE(Json::accept(outcome.out));   // all of it
  CHECK(outcome.out.ends_with("\n"));
  const Json json = Json::parse(outcome.out);
  check_numbers(json);
  return json;
}

const std::string& comparison() {   // of two mechanisms and two seeds
  static const TemporaryFolder folder;
  static const std::string out = [] {
    const std::string path = in_quotes(folder.path() / "both");
    tapir("compare " + in_quotes(trained().experiment) + " --attention dot_product,twicing --seeds 2 --out " + path +
          " --set train.steps=4");
    return path;
  }();
  return out;
}

const std::string& learned_images() {   // a run of one step, and a file
  static const TemporaryFolder folder;
  static const std::string words = [] {
    const auto experiment = folder.write("images.toml",
                                         "[task]\nname = 'image'\n[data]\nkind = 'synthetic-shapes'\nsize = 16\ntrain_images = 20\n"
                                         "valid_images = 5\ntest_images = 5\n[model]\nname = 'resnet'\ndepth = 8\nwidth = 2\n[train]\n"
                                         "steps = 1\nbatch = 4\n");
    const std::string run = in_quotes(folder.path() / "run");
    tapir("train " + in_quotes(experiment) + " --out " + run);
    return run + " '" TAPIR_SOURCE_DIR "/tests/golden/images/rgb.png'";
  }();
  return words;
}

}  // namespace

TEST_CASE("every command that has --json prints one document") {
  const std::string experiment = in_quotes(trained().experiment);
  const std::map<std::string, std::string> lines{
      {"eval", in_quotes(trained().run)},
      {"predict", learned_images()},
      {"compare", experiment + " --attention dot_product,twicing --seeds 2 --set train.steps=4 --out " + comparison()},
      {"zoo", ""},
      {"check", "softmax"},
      {"summary", experiment}};
  std::set<std::string> with, listed;
  for (const std::string& command : all_commands())
    if (contains_text(tapir(command + " --help").out, "--json ")) with.insert(command);
  for (const auto& [command, rest] : lines) {
    listed.insert(command);
    CHECK_FALSE(document(command + " --json " + rest).empty());
  }
  CHECK(with == listed);
}

TEST_CASE("eval --json: results as the table has them, of every run") {
  const Json json = document("eval --json --part test " + in_quotes(trained().run));
  CHECK(json["part"] == "test");
  REQUIRE(json["runs"].size() == 1);
  const Json& run = json["runs"][0];
  CHECK(run["folder"] == trained().run.string());
  CHECK(run["attention"] == "dot_product");
  CHECK(run["weights"].get<std::string>().starts_with("best on validation, step "));
  CHECK(run["signature"]["part"] == "test");
  const std::string table = tapir("eval --part test " + in_quotes(trained().run)).out;
  for (const char* number : {"tokens", "perplexity", "nats"}) {
    CHECK(run["results"][number].is_number());
    CHECK(contains_text(table, ' ' + run["results"][number].dump()));
  }
  CHECK(contains_text(table, ' ' + run["parameters"].dump() + ' '));
}

TEST_CASE("eval takes the folder of a comparison for its runs, as report does") {
  const Outcome outcome = tapir("eval " + comparison() + ' ' + in_quotes(trained().run));
  CHECK(outcome.status == 0);
  CHECK(outcome.out.starts_with("run                      attention       parameters      tokens  perplexity        nats"));
  size_t at = 0;
  for (const char* run : {"dot_product/seed-1", "dot_product/seed-2", "twicing/seed-1", "twicing/seed-2", "run"}) {
    const size_t found = outcome.out.find(std::string("\n") + run + ' ', at);
    CAPTURE(run);
    REQUIRE(found != std::string::npos);
    CHECK(contains_text(outcome.out, std::string("\n") + run + ": task language, part valid, data generated"));
    at = found;
  }
  CHECK(document("eval --json " + comparison())["runs"].size() == 4);
}

TEST_CASE("eval names what stands in its column: the mechanism, or the model where there is none") {
  const TemporaryFolder folder;
  const auto toml = folder.write("f.toml", "[task]\nname = 'function'\n[model]\nname = 'mlp'\n[train]\nsteps = 1\n");
  const std::string run = in_quotes(folder.path() / "f");
  REQUIRE(tapir("train " + in_quotes(toml) + " --out " + run).status == 0);
  const Outcome outcome = tapir("eval " + run + ' ' + in_quotes(trained().run));
  CHECK(outcome.out.starts_with("run                      model           parameters      points         mse"));
  CHECK(contains_text(outcome.out, "\nf                        mlp "));
  CHECK(contains_text(outcome.out, "\nrun                      attention       parameters      tokens"));
  const Json json = document("eval --json " + run);
  CHECK(json["runs"][0]["model"] == "mlp");
  CHECK(json["runs"][0]["results"]["mse"].is_number());
}

TEST_CASE("compare --json prints what compare.json has") {
  const Json json = document("compare --json " + in_quotes(trained().experiment) +
                             " --attention dot_product,twicing --seeds 2 --set train.steps=4 --out " + comparison());
  const std::string folder = comparison().substr(1, comparison().size() - 2);
  CHECK(json == Json::parse(contents(folder + "/compare.json")));
}

TEST_CASE("zoo shows those that are named, as text and as JSON") {
  const Outcome two = tapir("zoo linear twicing");
  CHECK(two.status == 0);
  for (const Mechanism& row : zoo())
    CHECK(contains_text(two.out, row.name + "   " + row.title) == (row.name == "linear" || row.name == "twicing"));
  CHECK(contains_text(tapir("zoo").out, two.out.substr(0, two.out.find("\nlinear"))));
  const Json json = document("zoo --json");
  REQUIRE(json.size() == zoo().size());
  for (size_t k = 0; k < json.size(); ++k) {
    CHECK(json[k]["name"] == zoo()[k].name);
    const nn::Needs needs = needs_of(zoo()[k], *zoo()[k].options());
    const std::pair<const char*, bool> words[] = {{"queries and keys of one sequence", needs.self},
                                                  {"no causal mask", needs.all_tokens},
                                                  {"as many heads of keys as of queries", needs.every_head},
                                                  {"heads of the tokens' width together", needs.whole_width},
                                                  {"no window", needs.any_distance}};
    for (const auto& [said, needed] : words)
      CHECK(std::count(json[k]["needs"].begin(), json[k]["needs"].end(), said) == (needed ? 1 : 0));
  }
  const Json mlp = document("zoo --json score_mlp")[0];
  CHECK(mlp["paper"].get<std::string>().starts_with("DiGiugno"));
  for (const Json& option : mlp["options"]) {
    if (option["key"] == "hidden") CHECK(option["default"] == 16);
    if (option["key"] == "shared") CHECK(option["default"] == true);
    if (option["key"] == "form") CHECK(option["default"] == "released");
  }
  CHECK(refusal("zoo twicng") == "tapir: zoo: there is no mechanism 'twicng'; hint: did you mean 'twicing'?");
  CHECK(refusal("zoo linear convolution") ==
        "tapir: zoo: there is no mechanism 'convolution'; hint: tapir zoo lists those that exist");
}

TEST_CASE("check --json: claims with their evidence; unknown names are answered from mechanisms and ops") {
  const Json json = document("check --json softmax --seed 2");
  CHECK(json["seed"] == 2);
  CHECK(json["failed"] == 0);
  CHECK(json["proved"] == json["claims"].size());
  CHECK(json["claims"][0]["of"] == "softmax");
  CHECK(json["claims"][0]["holds"] == true);
  CHECK(json["claims"][0]["evidence"].get<std::string>().starts_with("worst relative error "));
  CHECK(refusal("check sofmax") == "tapir: check: there is no mechanism or op 'sofmax'; hint: did you mean 'softmax'?");
  CHECK(refusal("check dotproduct") ==
        "tapir: check: there is no mechanism or op 'dotproduct'; hint: did you mean 'dot_product'?");
  CHECK(refusal("check xyzzy --json") ==
        "tapir: check: there is no mechanism or op 'xyzzy'; hint: tapir zoo lists the mechanisms, autograd/ops.h the ops");
}

TEST_CASE("summary --json: modules add up to the total") {
  const Json json = document("summary --json " + in_quotes(trained().experiment));
  int64_t parameters = 0, operations = 0;
  for (const Json& module : json["modules"]) {
    parameters += module["parameters"].get<int64_t>();
    operations += module["operations"].get<int64_t>();
  }
  CHECK(json["parameters"] == parameters);
  CHECK(json["operations"] == operations);
  CHECK(parameters == document("eval --json " + in_quotes(trained().run))["runs"][0]["parameters"]);
  CHECK(json["unit"] == "token");
  CHECK(json["units"] == 16);
  CHECK(json["fitting_batch"] == 4);
  CHECK(json["peak_bytes"].get<int64_t>() > 4 * parameters);
  CHECK(json["machine_bytes"].is_number_integer());
}

}  // namespace tapir

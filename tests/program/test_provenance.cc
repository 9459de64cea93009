// What made a run: its data by digest, its settings by name, and what its folder needs once it has been moved.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/tasks/language.h"
#include "datasets/text/tokenizer.h"
#include "tensor/blas.h"
#include "tensor/sha256.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

std::string lines_of(int from, int to) {
  std::string lines;
  for (int k = from; k < to; ++k) lines += text("the ", k % 7, " otters met ", k % 5, " herons at the river ", k % 3, "\n");
  return lines;
}

// An experiment on a text of its own, of which each part may be changed alone.
struct Place {
  Place() {
    folder.write("data/train.txt", lines_of(0, 200));
    folder.write("data/valid.txt", lines_of(200, 260));
    folder.write("data/test.txt", lines_of(261, 320));
    experiment = folder.write("small.toml", R"(
[data]
kind = "file"
path = "data"
[model]
context = 8
width = 8
layers = 1
heads = 2
dropout = 0.1
[train]
steps = 8
batch = 4
evaluate_every = 4
save_every = 2
)");
  }
  fs::path path(const std::string& name) const { return folder.path() / name; }
  Outcome train(const std::string& out, const std::string& rest = "") const {
    return tapir("train " + in_quotes(experiment) + " --out " + in_quotes(path(out)) + ' ' + rest);
  }
  std::string resume(const std::string& run, const std::string& rest = "") const {
    return "train --resume " + in_quotes(path(run)) + ' ' + rest;
  }
  void change(const std::string& file, const std::string& from, const std::string& to) const {
    std::string bytes = contents(path(file));
    REQUIRE(bytes.find(from) != std::string::npos);
    folder.write(file, bytes.replace(bytes.find(from), from.size(), to));
  }
  nlohmann::json facts(const std::string& run) const { return nlohmann::json::parse(contents(path(run) / "run.json")); }

  TemporaryFolder folder;
  fs::path experiment;
};

std::string sha256_of(const std::vector<int32_t>& ids) { return sha256_hex(std::as_bytes(std::span(ids))); }

}  // namespace

TEST_CASE("provenance: a run keeps the digests of its tokenizer, of the ids of each part, and of its initial weights") {
  const Place place;
  REQUIRE(place.train("run").status == 0);
  const auto tokenizer = load_tokenizer(place.path("run") / "tokenizer.json");
  auto digests = place.facts("run")["digests"];
  CHECK(digests.size() == 4);
  CHECK(digests["tokenizer"] == tokenizer->digest());
  for (const std::string part : {"train", "valid", "test"})
    CHECK(digests[part] == sha256_of(tokenizer->encode(contents(place.path("data/" + part + ".txt")))));
  const fs::path weights = place.path("run") / "model.safetensors";
  REQUIRE(place.train("more", "--set run.initial=" + in_quotes(weights)).status == 0);
  CHECK(place.facts("more")["digests"]["initial"] == sha256_hex(contents(weights)));
}

TEST_CASE("provenance: a run goes on with no other data, and names the parts that differ") {
  const Place place;
  REQUIRE(place.train("run", "--stop-after 4").status == 0);
  const auto refused = [&](const char* part) {
    const std::string said = refusal(place.resume("run"));
    CHECK(contains_text(said, "run: was trained with other data, by SHA-256: " + std::string(part) + " is "));
    CHECK(contains_text(said, "; hint: a run goes on with the data that it was begun with"));
    CHECK(std::count(said.begin(), said.end(), ',') == 2);   // this part alone
  };
  const std::string before = contents(place.path("run") / "metrics.jsonl"), was = place.facts("run").dump();
  for (const char* part : {"train", "valid", "test"}) {
    const std::string file = text("data/", part, ".txt"), whole = contents(place.path(file));
    place.change(file, "otters met 1", "otters met 2");   // one byte
    refused(part);
    std::string lines = whole;   // the first two lines change places
    const size_t first = lines.find('\n') + 1, second = lines.find('\n', first) + 1;
    place.folder.write(file, lines.substr(first, second - first) + lines.substr(0, first) + lines.substr(second));
    refused(part);
    place.folder.write(file, whole + "the\n");
    refused(part);
    place.folder.write(file, whole);
  }
  CHECK(contents(place.path("run") / "metrics.jsonl") == before);
  CHECK(place.facts("run").dump() == was);
  CHECK(tapir(place.resume("run")).status == 0);
}

TEST_CASE("provenance: another tokenizer file is refused by every command that opens the run") {
  const Place place;
  REQUIRE(place.train("run", "--stop-after 4").status == 0);
  const fs::path file = place.path("run") / "tokenizer.json";
  std::vector<std::string> entries = load_tokenizer(file)->vocabulary().entries();
  std::swap(entries[0], entries[1]);
  place.folder.write("run/tokenizer.json", tokenizer_text(WordTokenizer(entries)));   // sound in itself
  const std::string run = in_quotes(place.path("run"));
  for (const std::string& line : {place.resume("run"), "eval " + run, "generate " + run})
    CHECK(contains_text(refusal(line), "run: was trained with other data, by SHA-256: tokenizer is "));
  CHECK(contains_text(refusal("eval " + run), "hint: put back the file that the training wrote into the folder"));
}

TEST_CASE("provenance: settings that differ are named when a run is to go on, whichever they are") {
  const Place place;
  REQUIRE(place.train("run", "--stop-after 4").status == 0);
  const auto refused = [&](const std::string& rest) { return refusal(place.resume("run", rest)); };
  const std::string words = "run: was begun with other settings: ";
  CHECK(contains_text(refused("--precision bf16"), words + "run.precision is 'bf16', was 'f32'; hint: a run goes on with"));
  CHECK(contains_text(refused("--set train.batch=2 --seed 3"), words + "run.seed is 3, was 1, train.batch is 2, was 4; hint"));
  CHECK(contains_text(refused("--set attention.mechanism=score_mlp"),
                      words + "attention.mechanism is 'score_mlp', was 'dot_product'; hint"));
  CHECK(tapir(place.resume("run", "--set run.name=other")).status == 0);
}

TEST_CASE("provenance: eval prints the digest of what it read, and refuses other data unless they are asked for") {
  const Place place;
  REQUIRE(place.train("run").status == 0);
  const std::string run = in_quotes(place.path("run")), whole = contents(place.path("data/valid.txt"));
  const auto digest = [&](const char* part) { return place.facts("run")["digests"][part].get<std::string>().substr(0, 12); };
  const Outcome own = tapir("eval " + run);
  CHECK(contains_text(own.out, ", valid sha256 " + digest("valid") + "\n"));
  CHECK(contains_text(tapir("eval --part test " + run).out, ", test sha256 " + digest("test") + "\n"));

  place.folder.write("data/valid.txt", whole + "the herons\n");
  const std::string said = refusal("eval " + run);
  CHECK(contains_text(said, "run: was trained with other data, by SHA-256: valid is "));
  CHECK(contains_text(said, ", was " + digest("valid") + "; hint: put back the data of the training, or evaluate others"));
  CHECK(tapir("eval --part test " + run).status == 0);   // which is the same still

  const Outcome report = tapir("report " + run + " --out " + in_quotes(place.path("page.html")));
  CHECK(report.status == 0);
  CHECK(contains_text(report.err, "no attention maps: " + place.path("run").string() +
                                      ": was trained with other data, by SHA-256: valid is "));

  const Outcome other = tapir("eval " + run + " --data " + in_quotes(place.path("data")));
  CHECK(other.status == 0);
  CHECK(contains_text(other.out, ", NOT the run's own data: valid is "));
  place.folder.write("elsewhere/valid.txt", whole);
  for (const char* part : {"train", "test"})
    fs::copy_file(place.path(text("data/", part, ".txt")), place.path(text("elsewhere/", part, ".txt")));
  const Outcome moved = tapir("eval " + run + " --data elsewhere", "cd " + in_quotes(place.folder.path()) + ';');
  CHECK(moved.out == own.out);
  CHECK(!contains_text(own.out, ", of "));

  const std::string changed = "its settings are not those that the checkpoint of step 8 was trained with, or another version of "
                              "tapir trained it: results may not be the run's own";
  place.folder.write("data/valid.txt", whole);
  CHECK(!contains_text(own.err, changed));
  place.change("run/experiment.toml", "'gelu'", "'relu'");
  for (const std::string& line : {"eval " + run, "generate " + run, "report " + run + " --out " + in_quotes(place.path("page.html"))})
    CHECK(contains_text(tapir(line).err, changed));

  REQUIRE(place.train("limited", "--set data.valid_tokens=40").status == 0);
  const std::string limited = in_quotes(place.path("limited"));
  CHECK(contains_text(tapir("eval " + limited).out, ", of 660 tokens"));   // a limit of the run holds for other texts too
  CHECK(contains_text(tapir("eval " + limited + " --data " + in_quotes(place.path("data"))).out, ", of 660 tokens"));
}

TEST_CASE("provenance: runs that were trained on other data have no mean and no difference with one another") {
  const Place place;
  REQUIRE(place.train("one").status == 0);
  REQUIRE(place.train("two", "--seed 2 --set run.initial=" + in_quotes(place.path("one/model.safetensors"))).status == 0);
  const auto groups = [&](const std::vector<std::string>& names) {
    std::vector<RunRecord> runs;
    for (const std::string& name : names) runs.push_back(read_record(place.path(name)));
    return groups_of(std::move(runs));
  };
  CHECK(groups({"one", "two"}).size() == 1);   // other initial weights are a setting
  const std::string whole = contents(place.path("data/train.txt")), late = lines_of(190, 191) + lines_of(191, 192);
  const size_t at = whole.rfind(late);
  REQUIRE(at != std::string::npos);
  place.folder.write("data/train.txt", std::string(whole).replace(at, late.size(), lines_of(191, 192) + lines_of(190, 191)));
  REQUIRE(place.train("three", "--seed 3").status == 0);
  CHECK(place.facts("three")["digests"]["tokenizer"] == place.facts("one")["digests"]["tokenizer"]);
  const std::vector<Group> apart = groups({"one", "three"});
  REQUIRE(apart.size() == 2);
  for (size_t k : {0, 1}) {
    const std::string digest = place.facts(k == 0 ? "one" : "three")["digests"]["train"];
    CHECK(apart[k].title == "trained on sha256 " + digest.substr(0, 12));
    CHECK(apart[k].arms.size() == 1);
  }
  CHECK(joint_statements(apart).empty());
}

TEST_CASE("provenance: logs stand for a run as long as its data are the same") {
  const Place place;
  const fs::path file = place.folder.write("arms.toml", "extends = \"small.toml\"\n[attention]\nmechanism = \"dot_product\"\n"),
                 run = place.path("out/dot_product/seed-1");
  const std::string compare = "compare " + in_quotes(file) + " --attention dot_product --out " + in_quotes(place.path("out"));
  REQUIRE(tapir(compare + " --seeds 1").status == 0);
  for (const char* name : {"checkpoints", "model.safetensors", "tokenizer.json"}) fs::remove_all(run / name);
  const Outcome same = tapir(compare + " --seeds 2");
  CHECK(same.status == 0);
  CHECK(contains_text(same.err, "seed-1: ended before, as its logs say\n"));
  place.change("data/train.txt", "otters met 1", "otters met 2");
  CHECK(contains_text(refusal(compare + " --seeds 3"), "seed-1: was trained with other data, by SHA-256: "));
}

TEST_CASE("provenance: a folder of an earlier version, without digests, works, and it is said that nobody can tell") {
  const Place place;
  REQUIRE(place.train("run", "--stop-after 4").status == 0);
  auto facts = place.facts("run");
  facts.erase("digests");
  place.folder.write("run/run.json", facts.dump());
  const std::string run = in_quotes(place.path("run"));
  const std::string words = "run: began with an earlier version, so nobody can tell whether its data are still the same\n";
  for (const std::string& line : {"eval " + run, place.resume("run")}) {
    const Outcome outcome = tapir(line);
    CHECK(outcome.status == 0);
    CHECK(contains_text(outcome.err, words));
  }
  CHECK(place.facts("run")["digests"].empty());   // nobody knows those of its beginning
  CHECK_FALSE(contains_text(tapir("generate " + run).err, words));
  place.folder.write("run/run.json", "{\"digests\": 3}");
  CHECK(contains_text(refusal("eval " + run), "run.json: is malformed: "));
}

TEST_CASE("provenance: a run that was moved, its data gone, generates; eval and resume say what they need") {
  const Place place;
  const TemporaryFolder other;
  REQUIRE(place.train("run", "--stop-after 4").status == 0);
  const std::string generate = " --prompt 'the otters' --tokens 8";
  const Outcome before = tapir("generate " + in_quotes(place.path("run")) + generate);
  const fs::path moved = other.path() / "moved";
  fs::rename(place.path("run"), moved);
  fs::rename(place.path("data"), other.path() / "text");
  fs::remove(place.experiment);
  const Outcome after = tapir("generate moved" + generate, "cd " + in_quotes(other.path()) + "; TAPIR_DATA=/nowhere");
  CHECK(after.status == 0);
  CHECK(after.out == before.out);

  const std::string needs =
      "config: data.path: there is no " + place.path("data").string() + ", the text that the run needs; hint: ";
  CHECK(contains_text(refusal("eval " + in_quotes(moved)), needs + "`tapir eval --data PATH` and `tapir train --resume RUN "));
  CHECK(contains_text(refusal("train --resume " + in_quotes(moved)), needs));
  const Outcome resumed = tapir("train --resume moved --set data.path=text", "cd " + in_quotes(other.path()) + ';');
  CHECK(resumed.status == 0);
  CHECK(tapir("eval moved --data text", "cd " + in_quotes(other.path()) + ';').status == 0);
}

TEST_CASE("provenance: every task of a text generates without it; known data sets say where they are looked for") {
  const Place place;
  REQUIRE(place.train("run").status == 0);
  place.change("run/experiment.toml", "kind = 'file'", "kind = 'wikitext-2'");
  place.change("run/experiment.toml", "path = '" + place.path("data").string() + "'", "path = ''");
  const std::string run = in_quotes(place.path("run"));
  CHECK(tapir("generate " + run, "TAPIR_DATA=/nowhere").status == 0);
  const Outcome eval = tapir("eval " + run, "TAPIR_DATA=/nowhere");
  CHECK(eval.status == 1);
  CHECK(contains_text(eval.err, "/nowhere/wikitext-2/wiki.train.tokens is missing; hint: put "));
}

TEST_CASE("provenance: each start and each resume says what computes, from the source of `tapir --version`") {
  const Place place;
  const Outcome version = tapir("--version");
  REQUIRE(place.train("run", "--stop-after 4 --set run.name=\"it's one\"").status == 0);
  const fs::path file = place.path("run") / environment_file;
  place.folder.write("run/environment.jsonl", contents(file) + "{\"step\": 4, \"ti");   // as a killed process leaves it
  REQUIRE(tapir(place.resume("run", "--set train.steps=8")).status == 0);
  const std::vector<MetricsLine> lines = read_environment(place.path("run"));
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].step == 0);
  CHECK(lines[1].step == 4);
  const std::string program = TAPIR_PROGRAM, run = place.path("run").string();
  CHECK(fact(lines[0], "command") == program + " --threads 1 train " + place.experiment.string() + " --out " + run +
                                         " --stop-after 4 --set 'run.name=it'\\''s one'");
  CHECK(fact(lines[1], "command") == program + " --threads 1 train --resume " + run + " --set train.steps=8");
  for (const MetricsLine& line : lines) {
    for (const char* name : {"tapir", "commit", "compiler", "flags", "blas", "devices", "precisions"})
      CHECK(contains_text('\n' + version.out, text('\n', name, ' ', fact(line, name), '\n')));
    CHECK(fact(line, "threads").starts_with("1 ("));
    for (const char* name : {"processor", "system"}) CHECK(!fact(line, name).empty());
    CHECK(fact(line, "device") == "cpu");
    CHECK(fact(line, "precision") == "f32");
    const std::string time = fact(line, "time");
    CHECK(time.size() == 20);
    CHECK((time[4] == '-' && time[10] == 'T' && time[19] == 'Z'));
  }
  CHECK(fact(lines[0], "nothing") == "unknown");
  CHECK(fact(lines[0], "blas") == "OpenBLAS, core " + blas_core());

  const Outcome again = place.train("run2", "--stop-after 4");
  fs::remove_all(place.path("run2") / "checkpoints");   // begun, and to be begun again
  fs::resize_file(place.path("run2") / "metrics.jsonl", 0);
  REQUIRE(place.train("run2").status == 0);
  CHECK(read_environment(place.path("run2")).size() == 1);
}

TEST_CASE("provenance: the report names what made its runs") {
  const Place place;
  REQUIRE(place.train("run").status == 0);
  const fs::path run = place.path("run");
  const MetricsLine line = read_environment(run).front();
  const std::string made = text("Made by tapir ", fact(line, "tapir"), ", commit ", fact(line, "commit"), " on ",
                                fact(line, "processor"), ", ", fact(line, "time").substr(0, 10), '.');
  CHECK(makers_of({run, run}) == made);
  place.folder.write("other/environment.jsonl",
                     "{\"step\": 0, \"time\": \"2025-01-02T00:00:00Z\", \"tapir\": \"0.0\", \"processor\": \"Z80\"}\n");
  CHECK(contains_text(makers_of({run, place.path("other")}), "Made by tapir 0.0, commit unknown and tapir "));
  CHECK(contains_text(makers_of({run, place.path("other")}), ", 2025-01-02 to " + fact(line, "time").substr(0, 10) + "."));
  const auto page = [&] {
    REQUIRE(tapir("report " + in_quotes(run) + " --out " + in_quotes(place.path("page.html"))).status == 0);
    return contents(place.path("page.html"));
  };
  CHECK(contains_text(page(), "\"made\":\"" + made + "\""));
  fs::remove(run / environment_file);   // as an earlier version leaves it
  CHECK(contains_text(page(), "\"made\":\"Nothing is known of what made these runs.\""));
  place.folder.write("run/environment.jsonl", "{\n");
  CHECK(contains_text(refusal("report " + in_quotes(run) + " --out " + in_quotes(place.path("page.html"))),
                      "environment.jsonl:1: is not a line of metrics: "));
}

TEST_CASE("paths are relative to the file that says them, through `extends` too, or to the folder of --set") {
  const TemporaryFolder folder;
  const auto spec = [](const Experiment& experiment) {
    return dynamic_cast<const DataOptions&>(*experiment.task.data).spec.path;
  };
  folder.write("below/base.toml", "[run]\ninitial = 'weights'\n[data]\nkind = 'file'\npath = '../text'\n");
  const fs::path top = folder.write("top.toml", "extends = 'below/base.toml'\n[run]\ninitial = 'own'\n"),
                 plain = folder.write("sub/plain.toml", "extends = '../below/base.toml'\n");
  CHECK(spec(read_experiment(top, {})) == folder.path() / "text");
  CHECK(read_experiment(top, {}).run.initial == (folder.path() / "own").string());
  CHECK(read_experiment(plain, {}).run.initial == (folder.path() / "below/weights").string());
  CHECK(spec(read_experiment(plain, {"data.path=here"})) == fs::current_path() / "here");
  CHECK(spec(read_experiment(plain, {"data.path=/there/../here"})) == "/here");
  CHECK(spec(read_experiment(plain, {"data.path=''"})).empty());

  folder.write("\xff/odd.toml", "[data]\nkind = 'file'\npath = 'text'\n");
  CHECK(contains_text(message_of([&] { read_experiment(folder.path() / "\xff/odd.toml", {}); }),
                      "config: data.path: expected UTF-8, found "));
}

TEST_CASE("a run can be begun, gone on with and evaluated from any folder") {
  const Place place;
  const TemporaryFolder other;
  const std::string there = "cd " + in_quotes(other.path()) + ';';
  const Outcome whole = place.train("whole");
  REQUIRE(whole.status == 0);
  CHECK(tapir("train " + in_quotes(place.experiment) + " --out run --stop-after 4", there).status == 0);
  CHECK(contains_text(contents(other.path() / "run/experiment.toml"), "path = '" + place.path("data").string() + "'"));
  const Outcome resumed = tapir("train --resume run", there), eval = tapir("eval run", there);
  CHECK(resumed.out.substr(resumed.out.find("weights ")) == whole.out.substr(whole.out.find("weights ")));
  CHECK(eval.status == 0);
  fs::rename(other.path() / "run", place.path("run"));
  CHECK(tapir("eval " + in_quotes(place.path("run")), "cd /;").out == eval.out);
}

}  // namespace tapir

// Every command meets every kind of folder: what it does there, or how it refuses, and that a refusal writes nothing.
#include <doctest/doctest.h>
#include <unistd.h>

#include <map>

#include "attention/reproduce/program/folder_kind.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr const char* shorter = "--set train.steps=4 --set train.evaluate_every=2 --set train.save_every=2";

std::string train_out(const fs::path& out) { return train_line(std::string(shorter) + " --out " + in_quotes(out)); }

fs::path experiment_with_attention(const TemporaryFolder& folder) {
  return folder.write("tiny.toml", std::string(tiny) + "[attention]\nmechanism = \"dot_product\"\n");
}

std::string compare_out(const TemporaryFolder& folder, const fs::path& out,
                        const std::string& mechanisms = "dot_product,score_mlp") {
  return "compare " + in_quotes(experiment_with_attention(folder)) + " --attention " + mechanisms + " --seeds 1 " + shorter +
         " --out " + in_quotes(out);
}

// All files below a path with their contents.
std::map<std::string, std::string> state_of(const fs::path& path) {
  std::map<std::string, std::string> files;
  if (fs::is_regular_file(path)) files[""] = contents(path);
  if (!fs::is_directory(path)) return files;
  for (const auto& item : fs::recursive_directory_iterator(path))
    files[item.path().lexically_relative(path).string()] = item.is_directory() ? "folder" : contents(item.path());
  return files;
}

void duplicate(const fs::path& from, const fs::path& to) { fs::copy(from, to, fs::copy_options::recursive); }

// Where permissions hold for root as well.
const std::string as_user = ::geteuid() == 0 ? "setpriv --bounding-set -dac_override --inh-caps -dac_override" : "";

void set_writable(const fs::path& path, bool may) {
  const auto how = may ? fs::perm_options::add : fs::perm_options::remove;
  if (!fs::exists(path)) return;
  fs::permissions(path, fs::perms::owner_write, how);
  for (const auto& item : fs::recursive_directory_iterator(path))
    if (item.is_directory()) fs::permissions(item.path(), fs::perms::owner_write, how);
}

}  // namespace

TEST_CASE("every command in every kind of folder") {
  const TemporaryFolder place;
  const fs::path run = place.path() / "run", comparison = place.path() / "comparison", at = place.path() / "at";
  REQUIRE(tapir(train_out(run)).status == 0);
  REQUIRE(tapir(compare_out(place, comparison)).status == 0);
  CHECK(kind_of(run) == FolderKind::run);
  CHECK(kind_of(comparison) == FolderKind::comparison);

  const auto damaged = [&](const fs::path& to) {
    duplicate(run, to);
    place.write((to.filename() / "checkpoints/manifest.json").string(), "{");
  };
  const auto logs = [&](const fs::path& to) {
    duplicate(run, to);
    fs::remove_all(to / "checkpoints");
    fs::remove(to / "model.safetensors");
  };
  const auto begun = [&](const fs::path& to) {
    logs(to);
    fs::remove(to / "metrics.jsonl");
  };
  const std::string commands[] = {"train", "resume", "compare", "eval", "generate", "report", "replay"};
  const auto line = [&](const std::string& command) {
    return command == "train"     ? train_out(at)
           : command == "resume"  ? "train --resume " + in_quotes(at)
           : command == "compare" ? compare_out(place, at)
           : command == "replay"  ? "replay " + in_quotes(at) + " --step 4"
           : command == "report"  ? "report " + in_quotes(at) + " --out " + in_quotes(place.path() / "page.html")
                                  : command + ' ' + in_quotes(at);
  };
  const std::string ok, own_run = "; hint: give a folder of its own to a run", already = "has a run already; hint: ",
                        own_comparison = "; hint: give a folder of its own to a comparison", no_run = "is no run: it ",
                        no_experiment = no_run + "has no experiment.toml", denied = "Permission denied; hint: choose a folder ",
                        no_log = "metrics.jsonl: opening failed", logs_alone = "has the logs of a run without its checkpoints",
                        inside = no_run + "is the folder of a comparison; hint: give a run in it, MECHANISM/seed-N";
  const struct {
    const char* name;
    std::function<void(const fs::path&)> make;
    std::string expected[7];   // of the commands, in their order
    bool read_only = false;
  } states[] = {
      {"absent", [](const fs::path&) {}, {ok, no_run + "is not there", ok, no_run + "is not there", no_run, no_run, no_run}},
      {"empty", [](const fs::path& to) { fs::create_directory(to); },
       {ok, no_experiment, ok, no_experiment, no_experiment, no_experiment, no_experiment}},
      {"only a lock", [&](const fs::path&) { place.write("at/lock", "process 1 on\n"); },
       {ok, no_experiment, ok, no_experiment, no_experiment, no_experiment, no_experiment}},
      {"only an empty folder, as of a mechanism", [](const fs::path& to) { fs::create_directories(to / "dot_product"); },
       {ok, no_experiment, ok, no_experiment, no_experiment, no_experiment, no_experiment}},
      {"killed before the experiment had its name", [&](const fs::path&) { place.write("at/experiment.toml.tmp0", "[ru"); },
       {ok, no_experiment, ok, no_experiment, no_experiment, no_experiment, no_experiment}},
      {"a run", [&](const fs::path& to) { duplicate(run, to); },
       {already + "go on with --resume", ok, already + "give a folder of its own to a comparison", ok, ok, ok, ok}},
      {"a run without a checkpoint", begun,
       {ok, "has no checkpoint; hint: the `tapir train` that began the run begins it again",
        "has a run without a checkpoint" + own_comparison, "has no checkpoint", "has no checkpoint", no_log, no_log}},
      {"logs without their run", logs,
       {logs_alone + "; hint: they would be lost: give another folder with --out", "has no checkpoint; hint: there are its logs alone",
        logs_alone + own_comparison, "has no checkpoint", "has no checkpoint", ok, ok}},
      {"a run with a damaged manifest", damaged, {already, ok, already, ok, ok, ok, ok}},
      {"a run of an earlier version", [&](const fs::path& to) { duplicate(run, to); fs::remove(to / "lock"); },
       {already, ok, already, ok, ok, ok, ok}},
      {"a comparison", [&](const fs::path& to) { duplicate(comparison, to); },
       {"is the folder of a comparison" + own_run, inside, ok, ok, inside, ok, inside}},
      {"a comparison that has not ended",
       [&](const fs::path& to) {
         duplicate(comparison, to);
         for (const char* late : {"compare.json", "score_mlp"}) fs::remove_all(to / late);
       },
       {"is the folder of a comparison" + own_run, inside, ok, "is a comparison that has not ended; hint: ", inside,
        "is a comparison that has not ended; hint: ", inside}},
      {"other files", [&](const fs::path&) { place.write("at/notes.txt", "mine"); },
       {"has other files, such as 'notes.txt'" + own_run, no_experiment, "has other files, such as 'notes.txt'" + own_comparison,
        no_experiment, no_experiment, no_experiment, no_experiment}},
      {"an experiment that no run wrote", [&](const fs::path&) { place.write("at/experiment.toml", tiny); },
       {"has other files, such as 'experiment.toml'" + own_run, "has no checkpoint",
        "has other files, such as 'experiment.toml'" + own_comparison, "has no checkpoint", "has no checkpoint",
        "experiment.toml: has no run.seed", no_log}},
      {"a file", [&](const fs::path&) { place.write("at", "mine"); },
       {"is a file, not a folder" + own_run, no_run + "is a file", "is a file, not a folder" + own_comparison,
        no_run + "is a file", no_run + "is a file", no_run + "is a file", no_run + "is a file"}},
      {"empty, read-only", [](const fs::path& to) { fs::create_directory(to); },
       {denied, no_experiment, denied, no_experiment, no_experiment, no_experiment, no_experiment}, true},
      {"a run, read-only", [&](const fs::path& to) { duplicate(run, to); },
       {already, denied, already, ok, ok, ok, ok}, true},
  };
  for (const auto& state : states)
    for (size_t k = 0; k < std::size(commands); ++k) {
      CAPTURE(state.name);
      CAPTURE(commands[k]);
      state.make(at);
      if (state.read_only) set_writable(at, false);
      const auto before = state_of(at);
      const std::string& expected = state.expected[k];
      if (expected.empty()) {
        const Outcome outcome = tapir(line(commands[k]), as_user);
        CAPTURE(outcome.err);
        CHECK(outcome.status == 0);
      } else {
        const Outcome outcome = tapir(line(commands[k]), as_user);
        CAPTURE(outcome.err);
        CHECK(outcome.status == 1);
        CHECK(contains_text(outcome.err, "tapir: " + at.string()));
        CHECK(contains_text(outcome.err, expected));
        if (!state.read_only) CHECK(state_of(at) == before);
      }
      if (commands[k] == "train" && expected.empty())
        for (const char* file : {"metrics.jsonl", "model.safetensors", "experiment.toml"})
          CHECK(contents(at / file) == contents(run / file));
      if (k > 2 && expected.empty()) CHECK(state_of(at) == before);   // readers leave it as it was
      if (state.read_only) set_writable(at, true);
      fs::remove_all(at);
    }
}

TEST_CASE("a run of a comparison whose place is taken, or that is of another kind, is refused before any is trained") {
  const TemporaryFolder place;
  const fs::path out = place.path() / "out", member = out / "score_mlp" / "seed-1";
  const auto refused = [&](const std::string& words) {
    const auto before = state_of(out);
    CHECK(contains_text(refusal(compare_out(place, out)), member.string() + ": " + words));
    CHECK(state_of(out) == before);
  };
  place.write("out/score_mlp/seed-1/notes.txt", "mine");
  refused("has other files, such as 'notes.txt'");
  fs::remove_all(out);
  CHECK(tapir(train_out(member)).status == 0);   // of dot_product
  refused("belongs to another experiment: attention.mechanism is 'score_mlp', was 'dot_product'; hint: give another folder");
}

TEST_CASE("what cannot be trained is refused before anything is written") {
  const TemporaryFolder place;
  const fs::path out = place.path() / "out";
  for (const std::string settings : {"data.kind=wikitext-2", "run.initial=nowhere", "model.heads=3", "train.batch=1000",
                                     "model.positions=rotary --set model.width=6"}) {   // an odd width of heads: seen in a forward pass
    CAPTURE(settings);
    for (const std::string& command : {train_out(out), compare_out(place, out)}) {
      CHECK(tapir(command + " --set " + settings, "TAPIR_DATA=/nowhere").status == 1);
      CHECK_FALSE(fs::exists(out));
    }
  }
}

TEST_CASE("the command that began a run which failed before its first checkpoint begins it again") {
  const TemporaryFolder place;
  const fs::path whole = place.path() / "whole", run = place.path() / "run";
  const Outcome uncut = tapir(train_out(whole));
  const Outcome full = tapir(train_out(run), "ulimit -f 20;");
  CHECK(full.status == 1);
  CHECK(contains_text(full.err, "File too large"));
  CHECK(contains_text(refusal("train --resume " + in_quotes(run)), "has no checkpoint; hint: the `tapir train` that began"));
  const Outcome again = tapir(train_out(run));
  CHECK(again.status == 0);
  CHECK(digest_in(again.out) == digest_in(uncut.out));
  for (const char* file : {"metrics.jsonl", "model.safetensors"}) CHECK(contents(run / file) == contents(whole / file));
}

TEST_CASE("a run goes on from its checkpoint of step 0") {
  const TemporaryFolder place;
  const fs::path whole = place.path() / "whole", run = place.path() / "run";
  const Outcome uncut = tapir(train_out(whole));
  CHECK(tapir(train_out(run) + " --stop-after 1").status == 0);
  fs::remove(run / "checkpoints/step-00000001.safetensors");   // what follows it was never saved
  const Outcome resumed = tapir("train --resume " + in_quotes(run));
  CHECK(contains_text(resumed.err, "resumed after step 0\n"));
  CHECK(digest_in(resumed.out) == digest_in(uncut.out));
  CHECK(contents(run / "metrics.jsonl") == contents(whole / "metrics.jsonl"));
}

}  // namespace tapir

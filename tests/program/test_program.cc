// The program itself, as a user meets it: what it prints and leaves, and one line for bad input.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/run_folder.h"
#include "attention/zoo.h"
#include "datasets/catalog.h"
#include "datasets/text/bpe.h"
#include "nn/train/metrics.h"
#include "tensor/cuda.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

}  // namespace

TEST_CASE("a run reports its result, on lines without escapes, and leaves the files that are promised") {
  const Outcome& outcome = trained().outcome;
  CHECK(outcome.status == 0);
  CHECK(contains_text(outcome.out, "30 steps of 30, "));
  CHECK(contains_text(outcome.out, "\nvalidation_loss "));
  CHECK(digest_in(outcome.out).find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(contains_text(outcome.err, "step 30/30  loss "));
  CHECK(outcome.err.find_first_of("\r\x1b") == std::string::npos);
  for (const char* file :
       {"experiment.toml", "tokenizer.json", "metrics.jsonl", "model.safetensors", "checkpoints/manifest.json"})
    CHECK(fs::exists(trained().run / file));
  const Outcome again = tapir(train_line("--out " + in_quotes(trained().folder.path() / "again")));
  CHECK(digest_in(again.out) == digest_in(outcome.out));
  CHECK(contents(trained().folder.path() / "again" / "metrics.jsonl") == contents(trained().run / "metrics.jsonl"));
}

TEST_CASE("a command line that is wrong gets one line") {
  CHECK(contains_text(refusal(""), "A subcommand is required; hint: tapir --help"));
  CHECK(contains_text(refusal("trian"), "there is no command or option 'trian' here"));
  CHECK(contains_text(refusal("data lst"), "there is no command or option 'lst' here"));
  CHECK(contains_text(refusal("zoo --fast"), "there is no command or option '--fast' here"));
  CHECK(contains_text(refusal("train"), "train: needs an experiment file or --resume RUN"));
  CHECK(contains_text(refusal(train_line("--resume x")), "experiment excludes --resume"));
  CHECK(contains_text(refusal("eval"), "runs is required"));
  CHECK(contains_text(refusal("eval x --part train"), "--part: train not in {valid,test}"));
  CHECK(contains_text(refusal("generate x --tokens 0"), "--tokens: must be a whole number in 1 … 100000, found 0"));
  CHECK(contains_text(refusal("generate x --temperature -1"), "--temperature: must be a number in 0 … 100, found -1"));
  CHECK(contains_text(refusal("generate " + in_quotes(trained().run) + " --seed 1.5"),
                      "--seed: must be a whole number in 0 … 9223372036854775807, found 1.5"));
  CHECK(contains_text(refusal("zoo --threads 0", "", ""), "--threads: must be a whole number in 1 … 1024, found 0"));
  CHECK(contains_text(refusal(train_line("--stop-after -1")),
                      "--stop-after: must be a whole number in 1 … 1000000000000, found -1"));
  CHECK(contains_text(refusal(train_line("--minutes soon")), "--minutes: must be a number in 0 … 1000000, found 'soon'"));
  CHECK(contains_text(refusal("check --all softmax"), "names excludes --all"));
  for (const std::string command : {"eval ", "generate ", "report "})
    CHECK(contains_text(refusal(command + in_quotes(trained().run) + " --device tpu"), "--device: tpu not in {cpu,cuda}"));
}

TEST_CASE("every command refuses the options of others, which are of no use there") {
  const std::map<std::string, std::string> values{{"--seed", "3"},        {"--dtype", "f64"},   {"--device", "cpu"},
                                                  {"--precision", "f32"}, {"--set", "a.b=1"}, {"--out", "x"},
                                                  {"--part", "test"}};
  const std::map<std::string, std::set<std::string>> taken{
      {"", {}},
      {"train", {"--seed", "--dtype", "--device", "--precision", "--set", "--out"}},
      {"compare", {"--seed", "--dtype", "--device", "--precision", "--set", "--out"}},
      {"trial", {"--seed", "--dtype", "--device", "--precision", "--set", "--out"}},
      {"dossier", {"--out"}},
      {"replay", {"--device"}},
      {"bisect", {"--device"}},
      {"summary", {"--dtype", "--device", "--precision", "--set"}},
      {"completion", {}},
      {"config", {"--set"}},
      {"eval", {"--part", "--device"}},
      {"generate", {"--seed", "--device"}},
      {"predict", {"--device"}},
      {"report", {"--device", "--out"}},
      {"check", {"--seed"}},
      {"zoo", {}},
      {"data", {}},
      {"data list", {}},
      {"data verify", {}}};
  for (const std::string& command : all_commands()) {
    REQUIRE_MESSAGE(taken.contains(command), command);
    const std::string help = tapir(command + " --help").out;
    for (const auto& [name, value] : values) {
      const std::string option = name;   // bindings are not captured
      const bool takes = taken.at(command).contains(option);
      CAPTURE(command);
      CAPTURE(option);
      CHECK(contains_text(help, "  " + option + ' ') == takes);
      if (!takes)
        CHECK(contains_text(refusal(command + ' ' + option + ' ' + value),
                            "there is no command or option '" + option + "' here"));
    }
  }
}

TEST_CASE("an experiment that is wrong gets one line, and no folder is made") {
  const fs::path out = trained().folder.path() / "never";
  const auto refused = [&](const std::string& rest) { return refusal(train_line("--out " + in_quotes(out) + ' ' + rest)); };
  CHECK(contains_text(refused("--set model.widht=3"), "there is no key 'widht' in [model]; hint: did you mean 'width'?"));
  CHECK(contains_text(refused("--set model.width=wide"), "model.width: must be a whole number in 1 … 65536, found 'wide'"));
  CHECK(contains_text(refused("--set train.steps=-1"), "train.steps: must be a whole number in 1 … 1000000000000, found -1"));
  CHECK(contains_text(refused("--set train.steps"), "--set: expected section.key=value, found 'train.steps'"));
  CHECK(contains_text(refused("--set attention.mechanism=none"),
                      "attention.mechanism: 'none' is none of: dot_product, "));
  CHECK(contains_text(refused("--set model.heads=3"), "the width 16 is not a multiple of the 3 heads"));
  CHECK(contains_text(refused("--set train.batch=1000"), "1000 rows of 16 columns need at least 16001 tokens, found 3000"));
  CHECK(contains_text(refused("--set model.context=1000"), "4 rows of 1000 columns need at least 4001 tokens, found 3000"));
  CHECK(contains_text(refused("--set data.valid_tokens=5"), "need at least 8 tokens, found 5"));
  CHECK(contains_text(refused("--set run.initial=nowhere"), "nowhere: opening failed: No such file or directory"));
  CHECK(contains_text(refused("--dtype f16"), "run.dtype: 'f16' is none of: f32, f64"));
  CHECK(contains_text(refused("--dtype \"$(printf 'a\\nb')\""),
                      "run.dtype: must be one line without control characters, found "));
  CHECK(contains_text(refused("--precision f16"), "run.precision: 'f16' is none of: f32, tf32, bf16"));
  CHECK(contains_text(refused("--dtype f64 --precision bf16"), "run.precision: products in f64 are not rounded, found 'bf16'"));
  if (const std::string message = message_of(cuda::require_device); message != "no error")
    CHECK(contains_text(refused("--device cuda"), message));
  CHECK(contains_text(refused("--seed -5"), "--seed: must be a whole number in 0 … 9223372036854775807, found -5"));
  CHECK(contains_text(refused("--seed luck"), "--seed: must be a whole number in 0 … 9223372036854775807, found 'luck'"));
  CHECK_FALSE(fs::exists(out));
  CHECK(contains_text(refusal("train nowhere.toml"), "nowhere.toml: there is no such file"));
  const std::string piped = "cat " + in_quotes(trained().experiment) + " | ";   // its name and place count
  CHECK(contains_text(refusal("train /dev/stdin --out " + in_quotes(out), "", "--threads 1"), "is no regular file"));
  for (const std::string command : {"train", "summary", "compare --attention dot_product"}) {
    const fs::path err = trained().folder.path() / "err";
    const std::string line = piped + "'" TAPIR_PROGRAM "' " + command + " /dev/stdin 2>" + in_quotes(err);
    CHECK(WEXITSTATUS(std::system(line.c_str())) == 1);
    CHECK(contents(err) ==
          "tapir: /dev/stdin: is no regular file; hint: save the experiment as a file: its name and place count\n");
  }
  CHECK(contains_text(refused("--set \"$(printf 'train.steps=3\\nmodel.width=8')\""),
                      "train.steps: must be a whole number in "));
  CHECK(contains_text(refused("--set run.seed=2 --seed 3"), "--set: run.seed is given twice"));
  CHECK(contains_text(refusal("train " + in_quotes(trained().folder.path())), ": is no regular file; hint: save"));
  const fs::path broken = trained().folder.write("broken.toml", "[data]\nkind = generated\n");
  CHECK(contains_text(refusal("train " + in_quotes(broken)), "broken.toml: line 2, column "));
  CHECK(contains_text(refusal(train_line("--out " + in_quotes(broken))),
                      "broken.toml: is a file, not a folder; hint: give a folder of its own to a run, with --out"));
}

TEST_CASE("data that are missing or damaged get one line that says what to put where") {
  const TemporaryFolder folder;
  const std::string here = in_quotes(folder.path()), none = "TAPIR_DATA=" + here;
  const auto refused = [&](const std::string& rest) {
    return refusal(train_line("--out " + in_quotes(folder.path() / "run") + ' ' + rest), none);
  };
  const std::string missing = refused("--set data.kind=wikitext-2");
  CHECK(contains_text(missing, (folder.path() / "wikitext-2" / "wiki.train.tokens").string() + " is missing; hint: put "));
  folder.write("wikitext-2/wiki.train.tokens", " = cut = \n words\n");
  CHECK(contains_text(refused("--set data.kind=wikitext-2"), "wiki.train.tokens, found 6; hint: is the file truncated?"));
  const auto refused_file = [&](const std::string& name) {
    return refused("--set data.kind=file --set data.path=" + in_quotes(folder.path() / name));
  };
  folder.write("bytes.txt", "fine\nnot \xff fine\n");
  CHECK(contains_text(refused_file("bytes.txt"), "UTF-8"));
  folder.write("empty.txt", "");
  CHECK(contains_text(refused_file("empty.txt"), "empty"));
  folder.write("short.txt", "one line\n");
  CHECK(contains_text(refused_file("short.txt"), "expected at least 20 lines to cut 90 : 5 : 5, found 1"));
  CHECK(contains_text(refused_file("nowhere.txt"), "no such file"));
  CHECK(contains_text(refused_file("wikitext-2"), "train.txt is missing; hint: a folder has the parts"));
  const std::string weights = contents(trained().run / "model.safetensors");
  const fs::path torn = folder.write("torn.safetensors", weights.substr(0, weights.size() / 2));
  CHECK(contains_text(refused("--set run.initial=" + in_quotes(torn)), "torn.safetensors: "));
  CHECK(contains_text(refused("--set model.layers=2 --set run.initial=" + in_quotes(trained().run / "model.safetensors")),
                      "there is no 'blocks.1."));
  CHECK_FALSE(fs::exists(folder.path() / "run"));
}

TEST_CASE("data sets that are not there are listed as missing") {
  const TemporaryFolder folder;
  const std::string none = "TAPIR_DATA=" + in_quotes(folder.path());
  const Outcome list = tapir("data list", none), verify = tapir("data verify", none);
  CHECK(list.status == 0);
  CHECK(contains_text(list.out, "data sets under " + folder.path().string()));
  for (const char* row : {"wikitext-2       missing", "wikitext-103     missing", "tinyshakespeare  missing",
                          "cifar-10         missing", "cifar-100        missing"})
    CHECK(contains_text(list.out, row));
  CHECK_FALSE(contains_text(list.out, "present"));
  CHECK(contains_text(verify.out, "wikitext-2/wiki.train.tokens            missing"));
  CHECK_FALSE(contains_text(verify.out, "exact"));
  const std::string nothing = "tapir: data verify: there is no whole data set under " + folder.path().string() +
                              "; hint: put the files where they are expected, or set TAPIR_DATA to the folder that has "
                              "wikitext-2/\n";
  CHECK(verify.status == 1);
  CHECK(verify.err == nothing);
  folder.write("wikitext-2/wiki.train.tokens", " = cut = \n");
  const Outcome cut = tapir("data verify", none);
  CHECK(cut.status == 1);
  CHECK(cut.err.empty());
  CHECK(contains_text(cut.out, "wikitext-2/wiki.train.tokens            different"));
  CHECK(contains_text(cut.out, "wikitext-2/wiki.valid.tokens            missing"));
  if (data_sets()[0].is_present()) {
    const TemporaryFolder exact;   // other sets of this machine may differ
    fs::create_directory_symlink(data_sets()[0].folder(), exact.path() / "wikitext-2");
    CHECK(tapir("data verify", "TAPIR_DATA=" + in_quotes(exact.path())).status == 0);
  }
  CHECK(contains_text(refusal("data list", "unset TAPIR_DATA HOME;"), "neither TAPIR_DATA nor HOME is set"));
}

TEST_CASE("a folder that is no run, has no checkpoint, or has a run already gets one line") {
  const std::string folder = trained().folder.path().string();
  for (const std::string command : {"eval ", "generate ", "train --resume "})
    CHECK(contains_text(refusal(command + in_quotes(folder)), folder + ": is no run: it has no experiment.toml"));
  CHECK(contains_text(refusal(train_line("--out " + in_quotes(trained().run))),
                      "has a run already; hint: go on with --resume"));
  const fs::path fresh = trained().folder.path() / "fresh";
  fs::create_directories(fresh);
  for (const char* file : {"experiment.toml", "tokenizer.json"}) fs::copy_file(trained().run / file, fresh / file);
  CHECK(contains_text(refusal("eval " + in_quotes(fresh)), "has no checkpoint"));
  CHECK(contains_text(refusal("train --resume " + in_quotes(fresh)),
                      fresh.string() + ": has no checkpoint; hint: the `tapir train` that began the run begins it again"));
  const Outcome changed = tapir("train --resume " + in_quotes(trained().run) + " --set schedule.rate=1");
  CHECK(changed.status == 1);
  CHECK(contains_text(changed.err, ": was begun with other settings: schedule.rate is 1.0, was "));
}

TEST_CASE("--set takes one value and leaves the experiment to the next word") {
  const fs::path run = trained().folder.path() / "set";
  const Outcome outcome = tapir("train --set train.steps=3 --set train.batch=2 " + in_quotes(trained().experiment) +
                                " --out " + in_quotes(run));
  CHECK(outcome.status == 0);
  CHECK(contains_text(outcome.out, "3 steps of 3, "));
  CHECK(contains_text(contents(run / "experiment.toml"), "batch = 2\n"));
}

TEST_CASE("output that cannot be written is an error of every command") {
  const TemporaryFolder folder;
  const fs::path err = folder.path() / "err";
  const std::string run = in_quotes(trained().run), experiment = in_quotes(trained().experiment);
  for (const std::string& line : std::vector<std::string>{
           "--version", "--help", "train --help", "data list --help", "zoo", "data list", "check softmax", "eval " + run,
           "generate " + run, "completion bash", "config", "config " + experiment, "summary " + experiment,
           "report " + run + " --out /dev/stdout",
           "train --out " + in_quotes(folder.path() / "train-RUN") + " --set train.steps=1 " + experiment,
           "compare --out " + in_quotes(folder.path() / "compare-RUN") +
               " --set train.steps=1 --attention dot_product --seeds 1 " + experiment}) {
    CAPTURE(line);
    const auto ends_with = [&](const std::string& place, const std::string& reason, const std::string& before) {
      std::string own = line;
      if (const size_t at = own.find("RUN"); at != std::string::npos) own.replace(at, 3, reason);
      const std::string command = before + "'" TAPIR_PROGRAM "' " + own + " 2>" + in_quotes(err) + ' ' + place;
      const int status = WEXITSTATUS(std::system(command.c_str()));
      const std::string last = contents(err);
      CAPTURE(last);
      CHECK(status == 1);
      CHECK(contains_text(last, reason));
      CHECK(last.ends_with("\n"));
    };
    ends_with(">/dev/full", "No space left on device", "");
    if (!line.starts_with("report")) ends_with(">&-", "Bad file descriptor", "");   // there is no /dev/stdout then
    ends_with(">&3", line.starts_with("report") ? "No such device or address" : "Broken pipe",
              "pipe='" + (folder.path() / "pipe").string() + "'; rm -f \"$pipe\"; mkfifo \"$pipe\"; "
              "(exec <\"$pipe\"; sleep 0.05) & exec 3>\"$pipe\"; wait; ");
  }
}

TEST_CASE("version and zoo say what is in the program") {
  const Outcome version = tapir("--version"), list = tapir("zoo"), help = tapir("train --help");
  CHECK(version.status == 0);
  CHECK(version.out.starts_with("tapir 0."));
  for (const char* line : {"\ncompiler ", "\nflags ", "\nthreads ", "\nblas OpenBLAS, core ", "\ndevices cpu",
                           "\nprecisions f32 tf32 bf16"})
    CHECK(contains_text(version.out, line));
  for (const Mechanism& row : zoo()) CHECK(contains_text(list.out, row.name + "   "));
  CHECK(help.status == 0);
  CHECK(contains_text(help.out, "--resume"));
}

TEST_CASE("a summary lists modules, their sum, and the memory of a step") {
  const Outcome outcome = tapir("summary " + in_quotes(trained().experiment) + " --set model.key_heads=1");
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  for (const char* words : {"\ntokens ", "\nblocks.0.attention.key ", "weight [8,16]\n", "\nhead ", "\ntotal ",
                            " MiB at the peak of a training step: 4 × 16 tokens in 1 part, f32, products in f32, adamw\n"})
    CHECK(contains_text(outcome.out, words));
}

TEST_CASE("eval prints every run, with the loss of its best checkpoint, and what the numbers are of") {
  const fs::path other = trained().folder.path() / "mlp";
  const std::string settings = "--set attention.mechanism=score_mlp --set train.steps=10 --set train.ema=0.5 --out ";
  CHECK(tapir(train_line(settings + in_quotes(other))).status == 0);
  const Outcome outcome = tapir("eval " + in_quotes(trained().run) + ' ' + in_quotes(other));
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  for (const fs::path& run : {trained().run, other}) {
    double best = HUGE_VAL;
    for (const MetricsLine& line : read_metrics(run / "metrics.jsonl"))
      if (line.values.front().first == "validation_loss") best = std::min(best, line.number("validation_loss"));
    char nats[32];
    std::snprintf(nats, sizeof nats, " %.5f ", best);
    const size_t row = outcome.out.find('\n' + run.filename().string() + ' ');
    REQUIRE(row != std::string::npos);
    CHECK(contains_text(outcome.out.substr(row, outcome.out.find('\n', row + 1) - row), nats));
    CHECK(contains_text(outcome.out, '\n' + run.filename().string() + ": task language, part valid, data generated, text "));
  }
  const Outcome test = tapir("eval --part test " + in_quotes(trained().run));
  CHECK(contains_text(test.out, "run: task language, part test, data generated"));
}

TEST_CASE("tapir check takes the names of ops beside those of mechanisms") {
  const Outcome outcome = tapir("check softmax tanh --seed 2");
  CAPTURE(outcome.out);
  CHECK(outcome.status == 0);
  CHECK(contains_text(outcome.out, "holds  softmax        double_gradient  worst relative error "));
  CHECK(contains_text(outcome.out, "4 of 4 claims hold\n"));
}

TEST_CASE("a run that diverges names step, op and module under --anomaly") {
  const TemporaryFolder folder;
  const Outcome outcome = tapir(train_line("--anomaly --set schedule.rate=100 --set optimiser.decay=10 "
                                           "--set train.steps=40 --set train.evaluate_every=0 --set train.save_every=0 --out " +
                                           in_quotes(folder.path() / "run")));
  CAPTURE(outcome.err);
  CHECK(outcome.status == 1);
  CHECK(contains_text(outcome.err, "tapir: train: step "));
  CHECK(contains_text(outcome.err, " gives f32["));
  CHECK(contains_text(outcome.err, "(in "));
}

TEST_CASE("a run may start from weights of a file; to go on it needs that file no more") {
  const TemporaryFolder folder;
  const fs::path initial = folder.path() / "initial.safetensors", run = folder.path() / "run",
                 whole = folder.path() / "whole";
  fs::copy_file(trained().run / "model.safetensors", initial);
  const std::string start = "--set run.initial=" + in_quotes(initial) + " --set train.steps=8 --out ";
  const Outcome uncut = tapir(train_line(start + in_quotes(whole)));
  CHECK(tapir(train_line(start + in_quotes(run) + " --stop-after 4")).status == 0);
  const fs::path checkpoint = trained().run / "checkpoints" / "step-00000030.safetensors";
  const Outcome of_checkpoint = tapir(train_line("--set train.steps=8 --set run.initial=" + in_quotes(checkpoint) + " --out " +
                                                 in_quotes(folder.path() / "of-checkpoint")));
  CHECK(digest_in(of_checkpoint.out) == digest_in(uncut.out));   // which has the state of an optimiser, too
  fs::remove(initial);
  const Outcome resumed = tapir("train --resume " + in_quotes(run));
  CHECK(resumed.status == 0);
  CHECK(digest_in(resumed.out) == digest_in(uncut.out));
  CHECK(tapir("eval " + in_quotes(run)).status == 0);
}

TEST_CASE("a run folder of before data.order means contiguous") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  fs::copy(trained().run, run, fs::copy_options::recursive);
  std::string toml = contents(run / "experiment.toml");
  const std::string line = "order = 'shuffled'\n";
  REQUIRE(contains_text(toml, line));
  CHECK(contains_text(read_run(run).toml(), line));
  toml.erase(toml.find(line), line.size());
  folder.write("run/experiment.toml", toml);
  CHECK(contains_text(read_run(run).toml(), "order = 'contiguous'\n"));
}

TEST_CASE("sequence tasks are trained, resumed exactly, and judged by accuracy") {
  const TemporaryFolder folder;
  const std::string model = "\n[model]\ncontext = 24\nwidth = 16\nlayers = 1\nheads = 2\n[train]\nsteps = 12\nbatch = 4\n";
  for (const std::string options :
       {"name = 'nt'\nsymbols = 3\ndelay = 2\nlonger = 20", "name = 'recall'\nsymbols = 4\nsize = 4",
        "name = 'copy'\nsize = 5", "name = 'induction'", "name = 'parity'\nevaluated = 9"}) {
    CAPTURE(options);
    const std::string experiment = in_quotes(folder.write("task.toml", "[task]\n" + options + model));
    const fs::path whole = folder.path() / "whole", cut = folder.path() / "cut";
    const Outcome uncut = tapir("train " + experiment + " --out " + in_quotes(whole));
    CHECK(uncut.status == 0);
    CHECK(contains_text(uncut.out, "\nvalidation_loss "));
    CHECK(contains_text(uncut.out, "\nvalidation_accuracy "));
    CHECK(contains_text(uncut.out, "\nlonger_accuracy ") == contains_text(options, "longer"));
    tapir("train " + experiment + " --stop-after 5 --out " + in_quotes(cut));
    CHECK(digest_in(tapir("train --resume " + in_quotes(cut)).out) == digest_in(uncut.out));
    CHECK(contents(cut / "metrics.jsonl") == contents(whole / "metrics.jsonl"));
    const Outcome eval = tapir("eval " + in_quotes(whole) + " " + in_quotes(trained().run) + " --part test");
    CHECK(eval.status == 0);
    CHECK(contains_text(eval.out, "parameters      judged    accuracy        nats"));
    CHECK(contains_text(eval.out, "parameters      tokens  perplexity        nats"));
    CHECK(contains_text(eval.out, ", part test, "));
    fs::remove_all(whole);
    fs::remove_all(cut);
  }
}

TEST_CASE("a sequence task that is wrong gets one line, and has no text") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& toml, const std::string& rest = "") {
    return refusal("train " + in_quotes(folder.write("task.toml", toml)) + " --out " + in_quotes(folder.path() / "run") +
                   rest);
  };
  CHECK(contains_text(refused("[task]\nname = 'sort'"), "task.name: 'sort' is none of: language, nt, recall, copy"));
  CHECK(contains_text(refused("[task]\nname = 'copy'\ndelay = 2"), "there is no key 'delay' in [task]"));
  CHECK(contains_text(refused("[task]\nname = 'nt'\n[data]\nkind = 'generated'"), "there is no section [data]"));
  CHECK(contains_text(refused("[task]\nsize = 4"), "there is no key 'size' in [task]"));
  CHECK(contains_text(refused("[task]\nname = 'nt'\ndelay = 20"), "nt: expected a delay in [1, 16], the size, found 20"));
  CHECK(contains_text(refused("[task]\nname = 'copy'\nsize = 12\nlonger = 20\n[model]\ncontext = 32"),
                      "copy: sequences of 40 tokens exceed model.context = 32"));
  const std::string tiny_parity =
      "[task]\nname = 'parity'\n[model]\nwidth = 8\nheads = 1\nlayers = 1\n[train]\nsteps = 1\n";
  const fs::path run = folder.path() / "parity";
  tapir("train " + in_quotes(folder.write("task.toml", tiny_parity)) + " --out " + in_quotes(run));
  CHECK(contains_text(refusal("generate " + in_quotes(run)), "parity has learned the task 'parity', not a text"));
}

TEST_CASE("byte pairs, learned or GPT-2's, are saved with the run: it needs their files no more") {
  const TemporaryFolder folder;
  nlohmann::ordered_json encoder;
  for (const std::string& entry : byte_entries()) encoder[entry] = encoder.size();
  encoder["he"] = 256;
  encoder["the"] = 257;
  folder.write("gpt2-bpe/encoder.json", encoder.dump());
  folder.write("gpt2-bpe/vocab.bpe", "#version: 0.2\nh e\nt he\n");
  const std::string here = "TAPIR_DATA=" + in_quotes(folder.path());
  for (const std::string options : {"--set data.tokens=gpt2", "--set data.tokens=bpe --set data.max_types=300"}) {
    const fs::path run = folder.path() / "run";
    CHECK(tapir(train_line(options + " --out " + in_quotes(run)), here).status == 0);
    const Outcome eval = tapir("eval " + in_quotes(run), "TAPIR_DATA=/nowhere");
    CHECK(eval.status == 0);
    CHECK(contains_text(eval.out, ", tokenizer bpe "));
    const Outcome text = tapir("generate " + in_quotes(run) + " --prompt 'The naïve €' --tokens 4", "TAPIR_DATA=/nowhere");
    CHECK(text.status == 0);
    CHECK(text.out.starts_with("The naïve €"));
    fs::remove_all(run);
  }
  CHECK(contains_text(
      refusal(train_line("--set data.tokens=gpt2 --out " + in_quotes(folder.path() / "no")), "TAPIR_DATA=/nowhere"),
      "gpt2: /nowhere/gpt2-bpe/encoder.json is missing; hint: put the files encoder.json and vocab.bpe"));
}

}  // namespace tapir

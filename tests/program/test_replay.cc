// Steps of a run, computed again: the logged bits, from whichever checkpoint, or what differs.
#include <doctest/doctest.h>

#include <random>

#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/replay.h"
#include "attention/reproduce/program/state_difference.h"
#include "nn/train/weights.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

// With everything that a step may depend on: dropout, parts of a batch, averages, a rate that changes.
constexpr const char* rich =
    " --set train.accumulate=2 --set train.ema=0.9 --set train.log_every=1 --set train.save_every=7"
    " --set train.evaluate_every=5 --set schedule.warmup=3 ";

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& item : fs::recursive_directory_iterator(folder))
    if (item.is_regular_file()) files[item.path().string()] = contents(item.path());
  return files;
}

Outcome replay(const fs::path& run, int64_t step) {
  return tapir("replay " + in_quotes(run) + " --step " + std::to_string(step));
}

void replace_in(const TemporaryFolder& folder, const std::string& file, const std::string& from, const std::string& to) {
  std::string bytes = contents(folder.path() / file);
  REQUIRE(bytes.find(from) != std::string::npos);
  folder.write(file, bytes.replace(bytes.find(from), from.size(), to));
}

}  // namespace

TEST_CASE("replay: ten random steps of a run with dropout, accumulation and averages have the logged bits; none is written") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  REQUIRE(tapir(train_line(rich + ("--out " + in_quotes(run)))).status == 0);
  const auto before = files_of(run);
  std::mt19937 random(1);
  for (int k = 0; k < 10; ++k) {
    const int64_t step = std::uniform_int_distribution<int64_t>(1, 30)(random);
    const Outcome outcome = replay(run, step);
    CAPTURE(outcome.out);
    CHECK(outcome.status == 0);
    CHECK(outcome.out.ends_with("reproduced to the bit\n"));
    for (const MetricsLine& line : read_metrics(run / "metrics.jsonl"))
      for (const auto& [name, value] : line.values)
        if (line.step == step) CHECK(contains_text(outcome.out, '\n' + name + ' '));
  }
  CHECK(files_of(run) == before);
}

TEST_CASE("replay: every step of every optimiser and task, from the start and from each checkpoint that is kept") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  const std::string small = "\n[train]\nsteps = 12\nbatch = 4\naccumulate = 2\nema = 0.5\nlog_every = 1\n"
                            "evaluate_every = 4\nsave_every = 3\n";
  const std::string transformer = "\n[model]\ncontext = 24\nwidth = 16\nlayers = 1\nheads = 2\ndropout = 0.1\n";
  const std::string tasks[] = {"[task]\nname = 'recall'\nsymbols = 4\nsize = 4\n" + transformer,
                               "[task]\nname = 'function'\nnoise = 0.1\n[model]\nname = 'mlp'\nwidth = 8\n",
                               "[data]\nkind = 'generated'\ntrain_tokens = 3000\nvalid_tokens = 600\n" + transformer};
  for (const std::string& task : tasks)
    for (const std::string optimiser : {"adamw", "sgd", "lion", "muon"}) {
      CAPTURE(task);
      CAPTURE(optimiser);
      const fs::path experiment = folder.write("task.toml", task + small);
      REQUIRE(tapir("train " + in_quotes(experiment) + " --set optimiser.name=" + optimiser + " --stop-after 8 --out " +
                    in_quotes(run)).status == 0);
      REQUIRE(tapir("train --resume " + in_quotes(run)).status == 0);
      const std::vector<int64_t> kept = CheckpointFolder(run / "checkpoints").steps();
      CHECK(kept.size() > 1);
      const std::vector<MetricsLine> log = read_metrics(run / "metrics.jsonl");
      for (const int64_t last : {int64_t{0}, kept.front(), kept.back() - 1}) {
        ReplayedRun again(run, last);
        CHECK(again.start() == (last == 0 ? 0 : last == kept.front() ? kept.front() : kept[kept.size() - 2]));
        while (again.steps() < 12) {
          const MetricsLine line = again.step();
          for (const MetricsLine& was : log)
            if (was.step == line.step && was.values.front().first == "loss") CHECK(was.values == line.values);
            else if (was.step == line.step)
              for (const auto& [name, value] : again.evaluate())
                if (name == was.values.front().first) CHECK(was.number(name) == value);
        }
        const auto end = CheckpointFolder(run / "checkpoints");
        std::vector<std::string> notes;
        CHECK(state_differences(end.load_latest(notes)->tensors, again.state(), 0).empty());
      }
      fs::remove_all(run);
    }
}

TEST_CASE("replay: a number that the log has otherwise is shown, to the bit; other kernels are told, and given 1e-5") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  REQUIRE(tapir(train_line(rich + ("--set train.steps=12 --out " + in_quotes(run)))).status == 0);
  const std::vector<MetricsLine> log = read_metrics(run / "metrics.jsonl");
  const auto lines_at = [&](int64_t step) {
    std::string line;
    for (const MetricsLine& one : log)
      if (one.step == step && one.values.front().first == "loss") line = text(one.number("loss"));
    return line;
  };
  CHECK(lines_at(3) != lines_at(4));
  std::string bytes = contents(run / "metrics.jsonl");
  const size_t at = bytes.find("\"step\":3,\"loss\":") + 16, end = bytes.find(',', at);
  const double loss = std::strtod(bytes.c_str() + at, nullptr);
  char nearly[40];
  std::snprintf(nearly, sizeof nearly, "%.17g", loss * (1 + 1e-6));
  folder.write("run/metrics.jsonl", bytes.substr(0, at) + nearly + bytes.substr(end));
  const Outcome differs = replay(run, 3), holds = replay(run, 4);
  CHECK(differs.status == 1);
  const size_t marked = differs.out.find("  differs\n");
  REQUIRE(marked != std::string::npos);
  CHECK(differs.out.find("  differs\n", marked + 1) == std::string::npos);   // the loss alone
  CHECK(differs.out.rfind("\nloss ", marked) == differs.out.rfind('\n', marked));
  CHECK(std::count(differs.out.begin(), differs.out.end(), '\n') == 6);
  CHECK(differs.out.ends_with("not reproduced\n"));
  CHECK(holds.status == 0);

  const std::string blas = fact(read_environment(run).front(), "blas");
  replace_in(folder, "run/environment.jsonl", blas, "OpenBLAS, core Z80");
  const Outcome other = replay(run, 3);
  CHECK(other.status == 0);
  CHECK(contains_text(other.out, "was computed otherwise: blas OpenBLAS, core Z80, not " + blas +
                                     "; compared to 1e-05, not to the bit\n"));
  CHECK(other.out.ends_with("reproduced to 1e-05\n"));
  std::snprintf(nearly, sizeof nearly, "%.17g", loss * (1 + 1e-4));
  folder.write("run/metrics.jsonl", bytes.substr(0, at) + nearly + bytes.substr(end));
  CHECK(replay(run, 3).status == 1);
  folder.write("run/metrics.jsonl", bytes.substr(0, end) + ",\"auxiliary\":1.5" + bytes.substr(end));
  const Outcome lacking = replay(run, 3);   // what is not computed any more is a difference, too
  CHECK(lacking.status == 1);
  CHECK(contains_text(lacking.out, "\nauxiliary "));
  CHECK(fact(read_environment(run).front(), "device") == "cpu");
  replace_in(folder, "run/environment.jsonl", "\"device\":\"cpu\"", "\"device\":\"cuda\"");
  CHECK(contains_text(replay(run, 4).out, "device cuda, not cpu"));
  fs::remove(run / environment_file);   // of an earlier version: nobody knows, so to the bit
  CHECK(replay(run, 4).status == 0);
  CHECK(replay(run, 3).status == 1);
}

TEST_CASE("replay: what computed a step is what the last line says that was begun before it") {
  const TemporaryFolder folder;
  const auto line = [](int64_t step, const char* core) {
    return text("{\"step\": ", step, ", \"blas\": \"", core, "\", \"device\": \"cpu\"}\n");
  };
  Experiment experiment;
  const std::string here = fact(environment(experiment, 0), "blas");
  folder.write("environment.jsonl", line(0, here.c_str()) + line(20, "B") + line(10, "C") + line(15, here.c_str()));
  const auto others = [&](int64_t start, int64_t last) { return other_arithmetic(folder.path(), experiment, start, last); };
  CHECK(others(0, 10).empty());
  CHECK(others(0, 11) == "blas C, not " + here);
  CHECK(others(10, 15) == "blas C, not " + here);
  CHECK(others(15, 30).empty());   // what B computed was computed again
}

TEST_CASE("replay: steps that are not there, or were not logged, and runs that cannot be replayed") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run", initial = folder.path() / "initial.safetensors";
  fs::copy_file(trained().run / "model.safetensors", initial);
  REQUIRE(tapir(train_line("--set train.steps=8 --set train.log_every=4 --set run.initial=" + in_quotes(initial) +
                           " --out " + in_quotes(run))).status == 0);
  const std::string command = "replay " + in_quotes(run);
  CHECK(contains_text(refusal(command), "--step is required"));
  CHECK(contains_text(refusal(command + " --step 0"), "--step: must be a whole number in 1 … 1000000000000, found 0"));
  CHECK(contains_text(refusal(command + " --step 9"), "--step: the run has 8 steps, found 9"));
  CHECK(contains_text(refusal("replay " + in_quotes(folder.path() / "none") + " --step 1"),
                      "none: is no run: it is not there"));
  const Outcome between = replay(run, 3);
  CHECK(between.status == 1);   // nothing was shown to be right
  CHECK(contains_text(between.out, "step 3 was not logged, so there is nothing to compare with; logged were 1 and 4\n"));

  CHECK(replay(run, 4).status == 0);   // from the start, with the initial weights
  fs::remove_all(run / "checkpoints");
  CHECK(replay(run, 8).status == 0);
  fs::remove(initial);
  CHECK(contains_text(refusal(command + " --step 8"), "initial.safetensors: opening failed"));
  std::string bytes = contents(trained().run / "model.safetensors");
  bytes.back() ^= 1;
  folder.write("initial.safetensors", bytes);
  CHECK(contains_text(refusal(command + " --step 8"), "run: was trained with other data, by SHA-256: initial is "));
}

}  // namespace tapir

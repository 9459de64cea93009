// Trials: a criterion that is whole before the first run, rulings by hand, and the command from nothing to its page.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/match.h"
#include "attention/reproduce/program/ruling.h"
#include "nn/files/folder_lock.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr const char* experiment = R"(
[task]
name = "copy"
size = 4
evaluated = 16
[model]
context = 16
width = 16
layers = 1
heads = 2
hidden = 200
[attention]
mechanism = "dot_product"
[train]
steps = 9
batch = 4
log_every = 3
)";

constexpr const char* criterion = R"(
[trial]
claim = "A learns more than B"
source = "nobody"
metric = "validation_accuracy"
difference = 0.5
reason = "half"
seeds = 2
rates = "1e-2, 1e-3"
refuted_by = "less than half"
limits = "all of them"
[[trial.arm]]
name = "plain"
[[trial.arm]]
name = "expressive"
attention.mechanism = "expressive"
[[trial.arm]]
name = "larger"
attention.mechanism = "mlp_qkv"
match = "plain"
)";

struct Place {
  TemporaryFolder folder;
  fs::path file = folder.write("small.toml", text(experiment, criterion)), out = folder.path() / "out";

  std::string line(const std::string& rest = "") const {
    return "trial " + in_quotes(file) + " --out " + in_quotes(out) + ' ' + rest;
  }
  std::string refused(const std::string& find, const std::string& put) const {
    std::string changed = text(experiment, criterion);
    REQUIRE(contains_text(changed, find));
    changed.replace(changed.find(find), find.size(), put);
    return message_of([&] { read_trial(folder.write("changed.toml", changed), {}); });
  }
};

RunRecord run_of(int64_t seed, double result, bool diverged = false) {
  RunRecord run;
  run.seed = seed;
  run.steps = run.evaluated = 9;
  run.judged.result = result;
  if (diverged) run.diverged = "loss is nan";
  return run;
}

std::vector<RunRecord> runs_of(const std::vector<double>& results) {
  std::vector<RunRecord> runs;
  for (size_t k = 0; k < results.size(); ++k) runs.push_back(run_of(static_cast<int64_t>(k), results[k]));
  return runs;
}

Ruling ruling_of(const std::vector<double>& baseline, const std::vector<double>& subject, const std::string& expects,
                 double difference, bool higher_is_better = true) {
  TrialOptions options;
  options.expects = expects;
  options.difference = difference;
  return rulings(options, {"m", higher_is_better}, {runs_of(baseline), runs_of(subject)}, {"a", "b"}).at(0);
}

}  // namespace

TEST_CASE("rulings by hand: what the interval of the gain says of the difference that counts") {
  // gains 0.1, 0.15, 0.1: 0.11667 ± 0.07171
  const std::vector<double> a{1.0, 1.2, 1.1}, b{1.1, 1.35, 1.2};
  const Ruling shown = ruling_of(a, b, "better", 0.1);
  CHECK(shown.kind == Ruling::holds);
  CHECK(shown.interval.mean == doctest::Approx(0.35 / 3));
  CHECK(shown.interval.half_width == doctest::Approx(0.0717109).epsilon(1e-5));
  CHECK(shown.seeds_needed == 0);
  CHECK(ruling_of(a, b, "better", 0.2).kind == Ruling::fails);        // 0.188 is too small to count
  CHECK(ruling_of(b, a, "better", 0.1).kind == Ruling::fails);
  CHECK(ruling_of(a, b, "better", 0.1, false).kind == Ruling::fails);   // lower is better
  CHECK(ruling_of(b, a, "better", 0.1, false).kind == Ruling::holds);
  CHECK(ruling_of(a, b, "better", 0.15).kind == Ruling::undecided);   // above 0, perhaps too small
  CHECK(ruling_of(a, b, "not_worse", 0.05).kind == Ruling::holds);
  CHECK(ruling_of(b, a, "not_worse", 0.04).kind == Ruling::fails);    // −0.188 … −0.045
  CHECK(ruling_of(b, a, "not_worse", 0.1).kind == Ruling::undecided);
  CHECK(ruling_of(b, a, "not_worse", 0.19).kind == Ruling::holds);

  // s = 0.028868, and the interval must end within 0.15 − 0.11667 of its middle: t(n − 1) s / √n, n = 6 is the first
  CHECK(ruling_of(a, b, "better", 0.15).seeds_needed == 6);
}

TEST_CASE("rulings: a run that diverged counts as the worst of all; several arms are corrected together") {
  TrialOptions options;
  options.difference = 0.1;
  std::vector<RunRecord> subject = runs_of({0.9, 0.9, 0.9});
  subject[1] = run_of(1, 0.95, true);
  const std::vector<Ruling> all =
      rulings(options, {"m", true}, {runs_of({0.5, 0.6, 0.7}), subject, runs_of({0.2, 0.3, 0.4})}, {"a", "b", "c"});
  REQUIRE(all.size() == 2);
  CHECK(all[0].against == "a");
  CHECK(all[1].against == "c");
  CHECK(all[0].gains[1] == doctest::Approx(0.2 - 0.6));
  CHECK(all[1].gains[1] == doctest::Approx(0.2 - 0.3));
  const auto ruled = [](Ruling::Kind kind) { return Ruling{.against = "", .gains = {}, .interval = {}, .kind = kind}; };
  CHECK(verdict_of({ruled(Ruling::holds), ruled(Ruling::holds)}) == Ruling::holds);
  CHECK(verdict_of({ruled(Ruling::holds), ruled(Ruling::undecided)}) == Ruling::undecided);
  CHECK(verdict_of({ruled(Ruling::fails), ruled(Ruling::undecided)}) == Ruling::fails);
}

TEST_CASE("a criterion leaves nothing open") {
  const Place place;
  for (const std::string key : {"claim", "source", "reason", "refuted_by", "limits"}) {
    const std::string whole = criterion;
    const size_t begin = whole.find(key + " = "), end = whole.find('\n', begin);
    CHECK(place.refused(whole.substr(begin, end - begin), "") ==
          text("config: trial.", key, ": must be said before the first run"));
  }
  CHECK(place.refused("metric = \"validation_accuracy\"", "metric = \"validation_loss\"") ==
        "config: trial.metric: must be that of the task, validation_accuracy, found 'validation_loss'");
  CHECK(place.refused("difference = 0.5", "") == "config: trial.difference: must be above 0: the difference that would count");
  CHECK(place.refused("1e-2, 1e-3", "1e-2; 1e-3") ==
        "config: trial.rates: must be numbers above 0 with commas between, found '1e-2; 1e-3'");
  CHECK(contains_text(place.refused("1e-2, 1e-3", "-1"), "must be numbers above 0"));
  CHECK(place.refused("1e-2, 1e-3", "1e-2, 0.01") == "config: trial.rates: 0.01 is given twice");
  CHECK(contains_text(place.refused("seeds = 2", "seeds = 1"), "trial.seeds: must be a whole number in 2 … 1000, found 1"));
  CHECK(contains_text(place.refused("limits = ", "limit = "), "there is no key 'limit' in [trial]"));
  CHECK(place.refused("name = \"larger\"", "name = \"../x\"") ==
        "config: trial.arm 3: name: must be made of a … z, 0 … 9 and _, found '../x'");
  CHECK(place.refused("name = \"larger\"", "") == "config: trial.arm 3: name: must be made of a … z, 0 … 9 and _, found ''");
  CHECK(place.refused("name = \"larger\"", "name = 3") == "config: trial.arm 3: name: must be a string");
  CHECK(place.refused("name = \"larger\"", "name = \"plain\"") == "config: trial.arm: 'plain' is named twice");
  CHECK(place.refused("match = \"plain\"", "match = \"none\"") ==
        "config: trial.arm larger: match: must be the name of an arm that is matched with none, found 'none'");
  CHECK(contains_text(place.refused("attention.mechanism = \"mlp_qkv\"", "attention.mechanism = \"dotty\""),
                      "trial.arm larger: "));
  CHECK(contains_text(message_of([&] { read_trial(place.folder.write("none.toml", experiment), {}); }),
                      "none.toml: has no section [trial]; hint: docs/trials.md says what it needs"));
  const std::string all = criterion, one = text(experiment, all.substr(0, all.find("[[trial.arm]]\nname = \"exp"))),
                    odd = text(experiment, all.substr(0, all.find("[[trial.arm]]")), "arm = [1, 2]\n");
  CHECK(message_of([&] { read_trial(place.folder.write("one.toml", one), {}); }) ==
        "config: trial.arm: there must be a baseline and a subject, [[trial.arm]] twice, found 1");
  CHECK(message_of([&] { read_trial(place.folder.write("odd.toml", odd), {}); }) ==
        "config: trial.arm: must be tables, [[trial.arm]]");
}

TEST_CASE("every trial that is shipped reads; other commands say who takes it") {
  size_t trials = 0;
  for (const auto& file : fs::directory_iterator(TAPIR_SOURCE_DIR "/attention/reproduce/trials")) {
    CAPTURE(file.path());
    CHECK(read_trial(file.path(), {}).arms.size() >= 2);
    ++trials;
  }
  CHECK(trials >= 1);
  const Place place;
  for (const std::string command : {"train ", "summary ", "config "})
    CHECK(contains_text(refusal(command + in_quotes(place.file)), "has a section [trial]; hint: `tapir trial` takes it"));
}

TEST_CASE("a run is of a clean commit where every start of it was") {
  const TemporaryFolder folder;
  const auto clean = [&](const std::string& lines) {
    folder.write("environment.jsonl", lines);
    return is_of_clean_commit(folder.path());
  };
  CHECK(!is_of_clean_commit(folder.path()));   // nobody knows
  CHECK(clean("{\"step\": 0, \"commit\": \"abc\"}\n"));
  CHECK(!clean("{\"step\": 0, \"commit\": \"unknown\"}\n"));
  CHECK(!clean("{\"step\": 0, \"commit\": \"abc\"}\n{\"step\": 3, \"commit\": \"abc, with changes\"}\n"));
}

TEST_CASE("the digest of a trial is that of what is asked and of every arm") {
  const Place place;
  const std::string own = read_trial(place.file, {}).digest;
  CHECK(read_trial(place.file, {}).digest == own);
  CHECK(read_trial(place.file, {"run.name=other", "run.device=cpu"}).digest == own);
  for (const char* change : {"trial.difference=0.4", "trial.limits=none", "train.steps=10", "run.seed=2", "trial.rates='1e-2'"})
    CHECK(read_trial(place.file, {change}).digest != own);
}

TEST_CASE("arms: the same experiment but for their keys; matched ones have the parameters of another") {
  const Place place;
  Trial trial = read_trial(place.file, {});
  REQUIRE(trial.arms.size() == 3);
  const Costs plain = costs_of(trial.arms[0].experiment), larger = costs_of(trial.arms[2].experiment);
  CHECK(static_cast<double>(larger.parameters) / static_cast<double>(plain.parameters) == doctest::Approx(1).epsilon(0.02));
  Experiment second = counted_run(trial.arms[1], 1, 0.25);
  CHECK(second.run.seed == 2);
  CHECK(second.schedule.rate == 0.25);
  CHECK(second.attention.mechanism == "expressive");
  Experiment grid = grid_run(trial, trial.arms[1], 0.25);
  CHECK(grid.run.seed == 3);   // which no counted run has
  CHECK(grid.train.steps == 3);
}

TEST_CASE("tapir trial: from nothing to its page, the same after a stop and with two jobs") {
  const Place place;
  const Outcome whole = tapir(place.line());
  CAPTURE(whole.err);
  REQUIRE(whole.status == 0);
  CHECK(whole.out.starts_with("small: "));
  CHECK(contains_text(whole.err, "small: 3 arms with 2 seeds and 2 rates: training takes about "));
  const std::string page = contents(place.out / "trial.md");
  for (const char* part : {"# A learns more than B\n", "**Verdict: ", "## Criterion, fixed before the runs\n", "## Results\n",
                           "## Every run under this name\n", "## Limits\n\nall of them\n", "| refuted by | less than half |",
                           "| plain/rate-0.01 | 3 | 3 of 3 |", "| expressive/seed-2 | 2 | 9 of 9 |",
                           "at the edge of the grid"})
    CHECK_MESSAGE(contains_text(page, part), part);
  const std::string digest = read_trial(place.file, {}).digest;
  CHECK(contains_text(page, digest));
  CHECK(contains_text(contents(place.out / "larger/seed-1/run.json"), digest));

  const auto timeless = [](std::string text) {   // without the column of times
    std::string out;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      if (const std::string line = text.substr(begin, end - begin); !contains_text(line, " ms | ")) out += line + '\n';
    return out;
  };
  CHECK(contains_text(page, "\nMade by tapir "));
  CHECK(contains_text(page, "Not all of these runs come from a build of a clean commit") ==
        !is_of_clean_commit(place.out / "plain/seed-1"));
  const Outcome report = tapir("report " + in_quotes(place.out / "plain/seed-1") + " --out /dev/stdout");
  CHECK(contains_text(report.out, "\"criterion\":\"" + digest.substr(0, 12) + '"'));

  const Outcome again = tapir(place.line());
  CHECK(contains_text(again.err, "expressive/seed-2: finished before"));
  CHECK(contents(place.out / "trial.md") == page);   // measured times are those of the logs

  const Place other;
  CHECK(tapir(other.line("--jobs 2")).status == 0);
  CHECK(timeless(contents(other.out / "trial.md")) == timeless(page));
  fs::remove_all(other.out / "expressive/seed-1");
  fs::remove_all(other.out / "larger/rate-0.001");
  fs::remove(other.out / "trial.md");
  CHECK(tapir(other.line("--jobs 3")).status == 0);
  CHECK(timeless(contents(other.out / "trial.md")) == timeless(page));

  fs::rename(other.out / "expressive/seed-1", other.out / "expressive/seed-1-unwanted");   // a discarded run stays in sight
  fs::rename(other.out / "plain/rate-0.01", other.out / "plain/rate-0.01-unwanted");
  CHECK(tapir(other.line()).status == 0);
  CHECK(contains_text(contents(other.out / "trial.md"), "| expressive/seed-1-unwanted | 1 | 9 of 9 |"));
  for (const char* run : {"expressive/seed-1-unwanted | 1 | 9 of 9 | ", "plain/rate-0.01-unwanted | 3 | 3 of 3 | "}) {
    const std::string discarded = contents(other.out / "trial.md");
    const size_t at = discarded.find(run);
    REQUIRE(at != std::string::npos);
    CHECK(discarded.substr(at, discarded.find('\n', at) - at).ends_with("| nothing: discarded |"));
  }
}

TEST_CASE("tapir trial: another criterion after the runs, and runs without one, are refused") {
  const Place place;
  const std::string quick = "--set \"trial.rates='1e-2'\" --set train.steps=2";
  CHECK(tapir(place.line(quick)).status == 0);
  const std::string said = refusal(place.line(quick + " --set trial.difference=0.1"));
  CHECK(contains_text(said, "/seed-1: was made under another criterion, "));
  CHECK(contains_text(said, "hint: a criterion that changes after the runs makes another trial, in another folder: give --out"));
  fs::remove_all(place.out);
  CHECK(tapir("train " + in_quotes(place.folder.write("plain.toml", experiment)) + " --out " + in_quotes(place.out / "plain/seed-1"))
            .status == 0);
  CHECK(contains_text(refusal(place.line(quick)), "plain/seed-1: was made under no criterion, not under "));
}

TEST_CASE("tapir trial: resuming a run by hand keeps its criterion; a published effect that cannot be seen opens the page") {
  const Place place;
  const std::string quick = "--set \"trial.rates='1e-2'\" --set trial.published=1e-9";
  CHECK(tapir(place.line(quick)).status == 0);
  CHECK(contains_text(contents(place.out / "trial.md"), "**Not detectable here.** The paper reports a difference of 1e-09; "));
  const std::string facts = contents(place.out / "plain/seed-1/run.json");
  CHECK(tapir("train --resume " + in_quotes(place.out / "plain/seed-1")).status == 0);
  CHECK(contents(place.out / "plain/seed-1/run.json") == facts);
}

TEST_CASE("tapir trial: a signal stops all jobs, and the same command goes on; a job that fails is named") {
  const Place place;
  const fs::path said = place.folder.path() / "said", begun = place.out / "plain/seed-1/checkpoints/manifest.json";
  const std::string endless = "--set \"trial.rates='1e-2'\" --set train.steps=100000 --jobs 2";
  const int status = std::system(("'" TAPIR_PROGRAM "' --threads 1 " + place.line(endless) + " >" + in_quotes(said) +
                                  " 2>&1 & pid=$!; while kill -0 $pid && ! [ -e " + in_quotes(begun) +
                                  " ]; do sleep 0.02; done; kill -TERM $pid; wait $pid")
                                     .c_str());
  CHECK(WEXITSTATUS(status) == 143);
  CHECK(contents(said).ends_with("\nstopped; the same command goes on\n"));
  CHECK(fs::exists(begun));
  CHECK(std::system(("'" TAPIR_PROGRAM "' eval " + in_quotes(place.out / "plain/seed-1") + " >/dev/null").c_str()) == 0);

  const Place bad;
  const FolderLock taken(bad.out / "expressive/seed-2");   // as if another process trained it
  const Outcome outcome = tapir(bad.line("--set \"trial.rates='1e-2'\" --set train.steps=2 --jobs 2"));
  CHECK(outcome.status == 1);
  CHECK(contains_text(outcome.err, "expressive/seed-2: has failed; " + (bad.out / "jobs.log").string() + " says why\n"));
  CHECK(contains_text(contents(bad.out / "jobs.log"), "expressive/seed-2"));
  CHECK(contains_text(outcome.err, "larger/seed-2: done in "));   // the others are trained all the same
}

}  // namespace tapir

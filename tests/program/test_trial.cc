// Trials: a criterion that is whole before the first run, and the commands from nothing to a page.
#include <doctest/doctest.h>

#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/match.h"
#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/program/trial_page.h"
#include "nn/files/folder_lock.h"
#include "tensor/sha256.h"
#include "tensor/threads.h"
#include "tests/program/small_trial.h"

namespace tapir {

namespace fs = std::filesystem;
using namespace testing;

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
  CHECK(place.refused("name = \"larger\"", "name = \"plain\"") == "config: trial.arm 3: name: 'plain' is taken");
  CHECK(place.refused("match = \"plain\"", "role = \"judge\"") ==
        "config: trial.arm 3: role: must be one of subject, control, found 'judge'");
  CHECK(place.refused("match = \"plain\"", "match_in = \"time\"") == "config: trial.arm 3: match_in: there is no match");
  CHECK(place.refused("match = \"plain\"", "match = \"plain\"\nmatch_in = \"money\"") ==
        "config: trial.arm 3: match_in: must be one of parameters, operations, time, found 'money'");
  CHECK(place.refused("name = \"plain\"", "name = \"plain\"\nrole = \"control\"") ==
        "config: trial.arm 1: role: the first arm is the baseline");
  CHECK(place.refused("name = \"expressive\"", "name = \"expressive\"\nrole = \"control\"") ==
        "config: trial.arm: none is a subject");
  CHECK(place.refused("metric = \"validation_accuracy\"", "metric = \"steps_until_solved\"") ==
        "config: trial.metric: steps_until_solved needs train.solved, which plain has not");
  const auto with = [&](const std::string& tables) {
    return place.refused("limits = \"all of them\"\n", "limits = \"all of them\"\n" + tables);
  };
  CHECK(with("[[trial.set_up]]\nwhat = \"text\"\npaper = \"books\"\n") ==
        "config: trial.set_up 1: must say what, paper and ours");
  CHECK(contains_text(with("[[trial.set_up]]\nwhere = \"x\"\n"), "there is no key 'where' in [trial.set_up]"));
  CHECK(with("set_up = 3\n") == "config: trial.set_up: must be tables, [[trial.set_up]]");
  CHECK(with("[[trial.cell]]\n") == "config: trial.cell 1: name: must be made of a … z, 0 … 9 and _, found ''");
  CHECK(with("[[trial.cell]]\nname = \"a\"\n[[trial.cell]]\nname = \"a\"\n") == "config: trial.cell 2: name: 'a' is taken");
  CHECK(with("[[trial.cell]]\nname = \"a\"\narms = \"plain, nobody\"\n") ==
        "config: trial.cell 1: arms: there is no arm 'nobody'");
  CHECK(with("[[trial.cell]]\nname = \"a\"\narms = \"plain, larger\"\n") ==
        "config: trial.cell 1: arms: must have the baseline and a subject");
  CHECK(with("[[trial.cell]]\nname = \"a\"\nseeds = 1\n") ==
        "config: trial.cell 1: seeds: must be a whole number in 2 … 1000, found 1");
  CHECK(contains_text(with("[[trial.cell]]\nname = \"a\"\ntask.sizes = 1\n"),
                      "trial.arm a/plain: config: there is no key 'sizes' in [task]"));
  CHECK(place.refused("match = \"plain\"", "match = \"none\"") ==
        "config: trial.arm larger: match: must be the name of an arm that is matched with none, found 'none'");
  CHECK(contains_text(place.refused("attention.mechanism = \"mlp_qkv\"", "attention.mechanism = \"dotty\""),
                      "trial.arm larger: "));
  CHECK(place.refused("[task]", "[run]\nseed = 9223372036854775806\n[task]") ==   // two and that of the grid
        "config: trial.seeds: there are no 3 seeds from 9223372036854775806 on");
  CHECK(place.refused("match = \"plain\"", "match = \"plain\"\nrun.seed = 5") ==
        "config: trial.arm larger: run.seed: must be 1, as in the baseline, found 5; hint: gains are paired by seed");
  CHECK(place.refused("match = \"plain\"", "match = \"plain\"\nschedule.rate = 1") ==
        "config: trial.arm larger: schedule.rate: is chosen by trial.rates, for each arm; hint: leave it out");
  std::string many;
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) many += text("[[trial.arm]]\nname = \"", name, "\"\n");
  CHECK(place.refused("match = \"plain\"\n", many) ==
        "config: trial.cell 1: arms: must be at most 8, which a picture can show, found 9");
  CHECK(place.refused("seeds = 2", "seeds = 2\nalso = \"validation_loss, validation_f2\"") ==
        "config: trial.also: must be of validation_loss, validation_accuracy, found 'validation_f2'");
  CHECK(place.refused("seeds = 2", "seeds = 2\nalso = \"validation_loss\"") == "no error");
  CHECK(place.refused("match = \"plain\"", "train.batch = 8") ==
        "trial.arm larger: its results do not compare with those of plain: batch is 8, not 4; hint: arms of a cell are judged "
        "alike: by the same metric, of the same data");
  CHECK(contains_text(message_of([&] { read_trial(place.folder.write("none.toml", experiment), {}); }),
                      "none.toml: has no section [trial]; hint: docs/trials.md says what it needs"));
  const std::string all = criterion, one = text(experiment, all.substr(0, all.find("[[trial.arm]]\nname = \"exp"))),
                    odd = text(experiment, all.substr(0, all.find("[[trial.arm]]")), "arm = [1, 2]\n");
  CHECK(message_of([&] { read_trial(place.folder.write("one.toml", one), {}); }) ==
        "config: trial.arm: there must be a baseline and a subject, [[trial.arm]] twice, found 1");
  CHECK(message_of([&] { read_trial(place.folder.write("odd.toml", odd), {}); }) ==
        "config: trial.arm: must be tables, [[trial.arm]]");
}

TEST_CASE("steps until solved are asked of arms that are solved alike") {
  const Place place;
  const auto refused = [&](const std::string& train, const std::string& of_arm) {
    std::string changed = text(experiment, criterion);
    const auto put = [&](const std::string& find, const std::string& with) {
      changed.replace(changed.find(find), find.size(), with);
    };
    put("log_every = 3", "log_every = 3\n" + train);
    put("\"validation_accuracy\"", "\"steps_until_solved\"");
    put("match = \"plain\"", of_arm);
    return message_of([&] {
      Trial trial = read_trial(place.folder.write("solved.toml", changed), {});
      prepare(trial);
    });
  };
  const std::string fine = "solved = 0.5\nevaluate_every = 3", needs = "config: trial.metric: steps_until_solved needs ";
  CHECK(refused(fine, "") == "no error");
  CHECK(refused("solved = 0.5\nevaluate_every = 0", "") ==
        needs + "evaluations before the last step, train.evaluate_every in 1 … 8, but plain has 0");
  CHECK(refused("solved = 0.5\nevaluate_every = 9", "") ==
        needs + "evaluations before the last step, train.evaluate_every in 1 … 8, but plain has 9");
  CHECK(refused(fine, "train.solved = 0.6") ==
        needs + "the same train.solved in all arms, but larger has 0.6, the baseline 0.5");
  CHECK(refused(fine, "train.evaluate_every = 2") ==
        needs + "the same train.evaluate_every in all arms, but larger has 2, the baseline 3");
  CHECK(refused(fine, "train.steps = 12") == needs + "the same train.steps in all arms, but larger has 12, the baseline 9");
  CHECK(refused(fine, "match = \"plain\"\nmatch_in = \"time\"") ==
        needs + "arms with equal steps, but larger is matched in time");
}

TEST_CASE("every trial that is shipped reads; other commands say who takes it") {
  size_t trials = 0;
  for (const auto& file : fs::directory_iterator(TAPIR_SOURCE_DIR "/attention/reproduce/trials")) {
    CAPTURE(file.path());
    CHECK(read_trial(file.path(), {}).cells.front().arms.size() >= 2);
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

TEST_CASE("the digest of a trial is that of what its file says, whatever keys the program gains") {
  const Place place;
  const std::string own = read_trial(place.file, {}).digest;
  CHECK(read_trial(place.file, {}).digest == own);
  CHECK(read_trial(place.file, {"run.name=other", "run.device=cpu"}).digest == own);
  for (const char* change : {"trial.difference=0.4", "trial.limits=none", "train.steps=10", "run.seed=2", "trial.rates='1e-2'"})
    CHECK(read_trial(place.file, {change}).digest != own);
  CHECK(own == sha256_hex(R"(.attention.mechanism = 'dot_product'
.model.context = 16
.model.heads = 2
.model.hidden = 200
.model.layers = 1
.model.width = 16
.task.evaluated = 16
.task.name = 'copy'
.task.size = 4
.train.batch = 4
.train.log_every = 3
.train.steps = 9
.trial.arm.0.name = 'plain'
.trial.arm.1.attention.mechanism = 'expressive'
.trial.arm.1.name = 'expressive'
.trial.arm.2.attention.mechanism = 'mlp_qkv'
.trial.arm.2.match = 'plain'
.trial.arm.2.name = 'larger'
.trial.claim = 'A learns more than B'
.trial.difference = 0.5
.trial.limits = 'all of them'
.trial.metric = 'validation_accuracy'
.trial.rates = '1e-2, 1e-3'
.trial.reason = 'half'
.trial.refuted_by = 'less than half'
.trial.seeds = 2
.trial.source = 'nobody'
)"));
}

TEST_CASE("arms: the same experiment but for their keys; matched ones have the parameters of another") {
  const Place place;
  Trial trial = read_trial(place.file, {});
  prepare(trial);
  REQUIRE(trial.cells.size() == 1);
  std::vector<TrialArm>& arms = trial.cells[0].arms;
  REQUIRE(arms.size() == 3);
  CHECK(arms[0].role == Role::baseline);
  CHECK(arms[1].role == Role::subject);
  CHECK(arms[2].role == Role::control);
  const Costs plain = costs_of(arms[0].experiment), larger = costs_of(arms[2].experiment);
  CHECK(static_cast<double>(larger.parameters) / static_cast<double>(plain.parameters) == doctest::Approx(1).epsilon(0.02));
  Experiment second = counted_run(arms[1], 1, 0.25);
  CHECK(second.run.seed == 2);
  CHECK(second.schedule.rate == 0.25);
  CHECK(second.attention.mechanism == "expressive");
  Experiment grid = grid_run(trial.cells[0], arms[1], 0.25);
  CHECK(grid.run.seed == 3);   // which no counted run has
  CHECK(grid.train.steps == 3);
}

TEST_CASE("cells ask all again, each with its keys, arms and seeds") {
  const Place place;
  std::string whole = text(experiment, criterion);
  whole +=
      "[[trial.cell]]\nname = \"short\"\ntask.size = 2\n[[trial.cell]]\nname = \"long\"\narms = \"plain, expressive\"\nseeds = "
      "3\n";
  Trial trial = read_trial(place.folder.write("cells.toml", whole), {});
  REQUIRE(trial.cells.size() == 2);
  CHECK(trial.cells[0].arms.size() == 3);
  CHECK(trial.cells[0].seeds == 2);
  CHECK(trial.cells[1].arms.size() == 2);
  CHECK(trial.cells[1].seeds == 3);
  CHECK(path_of(trial.cells[1], trial.cells[1].arms[1]) == "long/expressive");
  const auto size = [&](size_t cell) { return trial.cells[cell].arms[1].experiment.settings()["task.size"]; };
  CHECK(size(0) == "2");
  CHECK(size(1) == "4");
}

TEST_CASE("an arm that is matched in time has as many steps as its time takes, from times that are measured once") {
  const Place place;
  std::string whole = text(experiment, criterion);
  whole.replace(whole.find("match = \"plain\""), 15, "match = \"expressive\"\nmatch_in = \"time\"");
  Trial trial = read_trial(place.folder.write("time.toml", whole), {});
  match_times(trial, {{"plain", {1.0}}, {"expressive", {3.0}}, {"larger", {2.0}}});
  CHECK(trial.cells[0].arms[2].experiment.train.steps == 14);   // 9 · 3 / 2
  CHECK(trial.cells[0].arms[1].experiment.train.steps == 9);
  CHECK(times_in(trial, place.folder.path() / "nowhere", 1).size() == 3);
  place.folder.write("match.json", "{\"seconds_of_step\": {\"plain\": 7, \"expressive\": 8}}");
  CHECK(times_in(trial, place.folder.path(), 1).at("plain").threads == 1);
  fs::create_directory(place.folder.path() / "larger");   // now a run has begun whose steps follow from these
  const StepTimes kept = times_in(trial, place.folder.path(), 1);
  CHECK(kept.at("plain").seconds == 7);
  CHECK(kept.at("larger").threads == 1);
  keep(kept, place.folder.path());
  CHECK(contains_text(message_of([&] { times_in(trial, place.folder.path(), 2); }),
                      "a step of larger was measured with 1 thread, and a run has 2; "));
  CHECK(message_of([&] { match_times(trial, {{"expressive", {3.0}}}); }) ==
        "match.json: has no time of a step of larger; hint: `tapir trial` writes it beside the runs");
}

TEST_CASE("times on which no run depends are measured anew where they are of other threads or settings") {
  const Place place;
  Trial trial = read_trial(place.file, {});
  const fs::path& folder = place.folder.path();
  place.folder.write("match.json", "{\"seconds_of_step\": {\"plain\": 5000, \"expressive\": 5000, \"larger\": 5000}}");
  const int before = threads();
  const StepTimes one = times_in(trial, folder, 1);
  for (const auto& time : one) {
    CHECK(time.second.seconds < 5000);
    CHECK(time.second.threads == 1);
  }
  CHECK(threads() == before);
  keep(one, folder);
  CHECK(times_in(trial, folder, 1).at("plain").seconds == one.at("plain").seconds);
  CHECK(times_in(trial, folder, 2).at("plain").threads == 2);
  trial.cells[0].arms[1].experiment.train.batch = 8;
  const StepTimes larger = times_in(trial, folder, 1);
  CHECK(larger.at("expressive").experiment != one.at("expressive").experiment);
  CHECK(larger.at("plain").experiment == one.at("plain").experiment);
}

TEST_CASE("tapir trial: from nothing to its page, the same after a stop and with two jobs") {
  const Place place;
  const Outcome whole = tapir(place.line());
  CAPTURE(whole.err);
  REQUIRE(whole.status == 0);
  CHECK(whole.out.starts_with("small: "));
  CHECK(contains_text(whole.err, "small: 0 of 12 runs have ended; the others train for about "));
  CHECK(contains_text(whole.err, " with 1 at a time, 0.0 core-hours; evaluations come on top\n"));
  const std::string page = contents(place.out / "trial.md");
  for (const char* part :
       {"# A learns more than B\n", "**Verdict: ", "## Claim and criterion, fixed before the runs\n", "## Results\n",
        "## Every run under this name\n", "## Limits\n\nall of them\n", "| refuted by | less than half |",
        "| plain/rate-0.01 | 3 | 3 of 3 |", "| expressive/seed-2 | 2 | 9 of 9 |",
        "At the edge of the grid, beyond which a better rate may lie: "})
    CHECK_MESSAGE(contains_text(page, part), part);
  const std::string digest = read_trial(place.file, {}).digest;
  CHECK(contains_text(page, digest));
  CHECK(contains_text(contents(place.out / "larger/seed-1/run.json"), digest));

  const auto timeless = [](std::string text) {
    std::string out;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      if (const std::string line = text.substr(begin, end - begin);
          !contains_text(line, " ms | ") && !contains_text(line, " hours "))
        out += line + '\n';
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

TEST_CASE("tapir trial: runs that diverge decide nothing, and the page is written") {
  const Place place;
  const std::string cells = "[[trial.cell]]\nname = \"a\"\n[[trial.cell]]\nname = \"b\"\n";
  std::string one = text(experiment, criterion, cells);
  const auto put = [&](const std::string& find, const std::string& with) { one.replace(one.find(find), find.size(), with); };
  put("rates = \"1e-2, 1e-3\"", "expects = \"not_worse\"\nalso = \"validation_loss\"");
  put("[[trial.cell]]\nname = \"b\"", "[[trial.cell]]\nname = \"b\"\narms = \"plain, expressive\"");
  const std::string hot = "schedule.rate = 100\nschedule.warmup = 0\noptimiser.decay = 0.1\n";   // weights grow ninefold a step
  std::string all = one;   // what every run does, and what the subject alone does
  all.replace(all.find("[task]"), 6, "[schedule]\nrate = 100\nwarmup = 0\n[optimiser]\ndecay = 0.1\n[task]");
  put("attention.mechanism = \"expressive\"", "attention.mechanism = \"expressive\"\n" + hot);
  const fs::path file = place.folder.write("one.toml", one), whole = place.folder.write("all.toml", all);
  for (const fs::path& trial : {file, whole}) {
    CAPTURE(trial);
    const fs::path out = place.folder.path() / trial.stem();
    const Outcome outcome =
        tapir("trial " + in_quotes(trial) + " --set train.steps=40 --jobs 2 --out " + in_quotes(out));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    CHECK(outcome.out.starts_with(trial.stem().string() + ": undecided\n"));
    const std::string page = contents(out / "trial.md");
    CHECK(contains_text(page, "* expressive against plain in a: undecided. There is no gain: "));
    CHECK(contains_text(page, "seed 1 has diverged, and the others do not stand for all.\n"));
    CHECK(contains_text(page, "| –, 2 diverged | –, 2 diverged |"));
    CHECK(contains_text(page, "No gain is formed of an arm of which a run diverged."));
    CHECK(!contains_text(page, "nan"));
    CHECK(!contains_text(page, "cells together"));
    CHECK(!contains_text(page, "would decide it"));
  }
}

TEST_CASE("the page says beside its verdict where a claim does not hold, and what was to refute it") {
  const Place place;
  const std::string quick = "--set \"trial.rates='1e-2'\" --set train.steps=2 --set trial.difference=";
  CHECK(tapir(place.line(quick + "1e9")).status == 0);
  const std::string page = contents(place.out / "trial.md");
  CHECK(contains_text(page, "**Verdict: not reproduced.**\n\n**By 2 of 2 rulings the claim does not hold.** What would refute it "
                            "was written before the runs: less than half.\n\n* expressive against plain: does not hold here. "));
  CHECK(contains_text(page, "Those of gains are paired by seed, of 97.5 % each, so that all hold together with 95 % "
                            "(Bonferroni). "));
  const Place other;
  CHECK(tapir(other.line(quick + "1e9 --set trial.expects=not_worse")).status == 0);
  CHECK(!contains_text(contents(other.out / "trial.md"), "the claim does not hold"));
}

TEST_CASE("tapir trial: another criterion after the runs, and runs without one, are refused") {
  const Place place;
  const std::string quick = "--set \"trial.rates='1e-2'\" --set train.steps=2";
  CHECK(tapir(place.line(quick)).status == 0);
  const std::string said = refusal(place.line(quick + " --set trial.difference=0.1"));
  CHECK(contains_text(said, "/seed-1: was made under another criterion, "));
  CHECK(
      contains_text(said, "hint: a criterion that changes after the runs makes another trial, in another folder: give --out"));
  fs::remove_all(place.out);
  CHECK(tapir("train " + in_quotes(place.folder.write("plain.toml", experiment)) + " --out " +
              in_quotes(place.out / "plain/seed-1"))
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

// Runs that are given more steps than they were begun with.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "nn/train/metrics.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

}  // namespace

TEST_CASE("a run is given more steps where the schedule allows it, and ends with the bits of one that had them") {
  const TemporaryFolder folder;
  std::set<std::string> lengthened;
  for (const std::string shape : {"constant", "cosine", "linear", "wsd", "inverse_sqrt"})
    for (const bool finished : {false, true}) {
      CAPTURE(shape);
      CAPTURE(finished);
      const fs::path run = folder.path() / "run", whole = folder.path() / "whole";
      const std::string start = "--set schedule.rate=0.01 --set schedule.warmup=2 --set schedule.shape=" + shape + " --out ";
      const Outcome uncut = tapir(train_line(start + in_quotes(whole) + " --set train.steps=18"));
      tapir(train_line(start + in_quotes(run) + " --set train.steps=12" + (finished ? "" : " --stop-after 6")));
      const std::string before = contents(run / "experiment.toml"), log = contents(run / "metrics.jsonl");
      const Outcome more = tapir("train --resume " + in_quotes(run) + " --set train.steps=18");
      CAPTURE(more.err);
      if (more.status == 0) {
        lengthened.insert(shape + (finished ? " to the end" : ""));
        CHECK(digest_in(more.out) == digest_in(uncut.out));
        CHECK(contains_text(contents(run / "experiment.toml"), "steps = 18\n"));
        CHECK(contains_text(contents(run / "metrics.jsonl"),
                            text("\n{\"step\":", finished ? 12 : 6, ",\"steps\":\"18 instead of 12\"}\n")));
        CHECK(contents(run / "model.safetensors") == contents(whole / "model.safetensors"));
        CHECK(digest_in(tapir("train --resume " + in_quotes(run)).out) == digest_in(uncut.out));
        CHECK(tapir("report " + in_quotes(run) + " --out " + in_quotes(folder.path() / "page")).status == 0);
      } else {
        CHECK(contains_text(more.err, "tapir: resume: in a run of 18 steps the rate of step "));
        CHECK(contains_text(more.err, ": the schedule '" + shape + "' falls towards the end of the run; hint: go on with the "
                                      "12 steps that it has, or begin a new run\n"));
        CHECK(contents(run / "experiment.toml") == before);
        CHECK(contents(run / "metrics.jsonl") == log);
        CHECK(fs::exists(run / "model.safetensors") == finished);
        CHECK(tapir("train --resume " + in_quotes(run)).status == 0);
      }
      fs::remove_all(run);
      fs::remove_all(whole);
    }
  CHECK(lengthened == std::set<std::string>{"constant", "constant to the end", "inverse_sqrt", "inverse_sqrt to the end",
                                            "wsd"});
}

TEST_CASE("a run whose log ends before its checkpoint goes on, and says so") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run", log = run / "metrics.jsonl";
  REQUIRE(tapir(train_line("--set train.steps=12 --set train.log_every=2 --stop-after 7 --out " + in_quotes(run))).status == 0);
  const std::string whole = contents(log);
  folder.write("run/metrics.jsonl", whole.substr(0, whole.find("{\"step\":4,")));
  const std::string resume = "train --resume " + in_quotes(run) + " --stop-after ";
  const Outcome short_of = tapir(resume + "8");
  CHECK(short_of.status == 0);
  CHECK(contains_text(short_of.err, log.string() + ": ends at step 2, before the checkpoint of step 7: what was in between is lost\n"));
  CHECK(!contains_text(tapir(resume + "9").err, "is lost"));
  fs::remove(log);
  CHECK(contains_text(tapir(resume + "10").err, ": ends at step 0, before the checkpoint of step 9"));
}

TEST_CASE("a run that ends while its rate still grows says so") {
  const TemporaryFolder folder;
  const auto said = [&](int steps) {
    const std::string line = text("--set schedule.warmup=3 --set train.steps=", steps, " --out ", in_quotes(folder.path() / text(steps)));
    return tapir(train_line(line)).err;
  };
  CHECK(contains_text(said(3), "schedule.warmup = 3: the rate still grows when the 3 steps end\n"));
  CHECK(!contains_text(said(4), "schedule.warmup"));
}

TEST_CASE("a run that is given more steps may be stopped and killed like any other, and is not given fewer than are done") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run", whole = folder.path() / "whole";
  const std::string start = "--set schedule.shape=constant --out ", resume = "train --resume " + in_quotes(run);
  const Outcome uncut = tapir(train_line(start + in_quotes(whole) + " --set train.steps=25"));
  CHECK(tapir(train_line(start + in_quotes(run) + " --set train.steps=12")).status == 0);
  const Outcome fewer = tapir(resume + " --set train.steps=11");
  CHECK(fewer.status == 1);
  CHECK(contains_text(fewer.err, "tapir: resume: 12 steps are done, more than 11\n"));
  CHECK(fs::exists(run / "model.safetensors"));
  CHECK(tapir(resume + " --set train.steps=25 --stop-after 14").status == 0);
  CHECK_FALSE(fs::exists(run / "model.safetensors"));   // it is not finished any more
  CHECK(digest_in(tapir(resume).out) == digest_in(uncut.out));
  CHECK(contains_text(tapir(resume + " --set train.steps=30 --set schedule.rate=1").err,
                      "was begun with other settings: schedule.rate is 1.0, "));
}

}  // namespace tapir

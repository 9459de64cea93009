// Dossiers: what is kept of a trial's runs, and that the page rests on these alone.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/program/small_trial.h"

namespace tapir {

namespace fs = std::filesystem;
using namespace testing;

TEST_CASE("tapir dossier: logs of what has ended, then the page from the logs alone, the same bytes each time") {
  const TemporaryFolder folder;
  std::string whole = text(experiment, criterion);
  whole.replace(whole.find("log_every = 3"), 13, "log_every = 3\nevaluate_every = 3");
  whole += "[[trial.set_up]]\nwhat = \"text\"\npaper = \"books\"\nours = \"a leaflet\"\n"
           "[[trial.cell]]\nname = \"short\"\ntask.size = 2\n[[trial.cell]]\nname = \"long\"\n";
  const fs::path file = folder.write("study.toml", whole), runs = folder.path() / "runs", out = folder.path() / "dossiers";
  const std::string dossier = "dossier " + in_quotes(file) + " --out " + in_quotes(out);
  CHECK(contains_text(refusal(dossier), "study/short/plain/rate-0.01: is no run: it is not there"));
  CHECK(contains_text(refusal(dossier + " --runs " + in_quotes(runs)),
                      "runs: there is no such folder; hint: give the folder that `tapir trial` wrote"));
  REQUIRE(tapir("trial " + in_quotes(file) + " --jobs 2 --out " + in_quotes(runs)).status == 0);
  fs::rename(runs / "long/larger/seed-2", folder.path() / "aside");
  const Outcome part = tapir(dossier + " --runs " + in_quotes(runs));
  CHECK(part.out == "study: 23 of 24 runs have ended; the page is written when all have\n");
  CHECK(!fs::exists(out / "study.md"));
  fs::rename(folder.path() / "aside", runs / "long/larger/seed-2");
  const Outcome all = tapir(dossier + " --runs " + in_quotes(runs));
  CAPTURE(all.err);
  REQUIRE(all.status == 0);
  const std::string page = contents(out / "study.md"), picture = contents(out / "study/short.svg");
  for (const char* part :
       {"| text | books | a leaflet |", "| larger | control, with the parameters of plain | ", "### short\n",
        "![short.svg](study/short.svg)\n", "| short/plain | ",
        "expressive against plain, 2 cells together: ", "| long | `task.size = 4` |", "| long/larger/seed-2 | 2 | 9 of 9 |"})
    CHECK_MESSAGE(contains_text(page, part), part);
  CHECK(picture.starts_with("<svg "));
  CHECK(!fs::exists(out / "study/short/plain/seed-1/model.safetensors"));
  CHECK(fs::exists(out / "study/short/plain/seed-1/environment.jsonl"));

  fs::remove_all(runs);
  fs::create_directories(runs);
  fs::copy(out / "study", runs, fs::copy_options::recursive);   // the trial goes on from what a dossier keeps
  fs::remove_all(runs / "long/larger/seed-1");
  const Outcome on = tapir("trial " + in_quotes(file) + " --out " + in_quotes(runs));
  CHECK(on.status == 0);
  CHECK(contains_text(on.err, "23 of 24 runs have ended"));
  CHECK(contains_text(on.err, "short/plain/seed-1: ended before, as its logs say\n"));
  CHECK(fs::exists(runs / "long/larger/seed-1/model.safetensors"));
  CHECK(!fs::exists(runs / "long/larger/seed-2/model.safetensors"));

  fs::remove_all(runs);
  fs::remove(out / "study.md");
  CHECK(tapir(dossier).status == 0);
  CHECK(contents(out / "study.md") == page);
  CHECK(contents(out / "study/short.svg") == picture);
  const fs::path other = folder.write("study.toml", whole + "# a comment asks nothing else\n");
  CHECK(tapir(dossier).status == 0);
  whole.replace(whole.find("difference = 0.5"), 16, "difference = 0.4");
  folder.write("study.toml", whole);
  CHECK(contains_text(refusal(dossier), "rate-0.001: was made under another criterion, "));
}

TEST_CASE("tapir dossier: of one set of runs, whole or not at all") {
  const TemporaryFolder folder;
  std::string whole = text(experiment, criterion);
  whole.replace(whole.find("1e-2, 1e-3"), 10, "1e-2");
  const fs::path file = folder.write("study.toml", whole), runs = folder.path() / "runs", out = folder.path() / "dossiers",
                 kept = out / "study";
  const std::string dossier = "dossier " + in_quotes(file) + " --out " + in_quotes(out) + " --runs " + in_quotes(runs);
  REQUIRE(tapir("trial " + in_quotes(file) + " --jobs 2 --out " + in_quotes(runs)).status == 0);

  fs::rename(runs / "plain/seed-2", runs / "plain/seed-2-unwanted");   // counts for nothing
  CHECK(tapir(dossier).out == "study: 5 of 6 runs have ended; the page is written when all have\n");
  CHECK(fs::exists(kept / "plain/seed-2-unwanted/run.json"));
  const Outcome on = tapir("trial " + in_quotes(file) + " --out " + in_quotes(runs));
  CHECK(contains_text(on.err, "study: 5 of 6 runs have ended; "));
  REQUIRE(on.status == 0);
  fs::remove_all(runs / "plain/seed-2-unwanted");
  const std::string hint = "hint: a dossier keeps the runs of one folder: give another place with --out, or remove what is "
                           "kept";
  CHECK(refusal(dossier) == text("tapir: ", (kept / "plain/seed-2-unwanted").string(), ": is kept, but there is no ",
                                 (runs / "plain/seed-2-unwanted/experiment.toml").string(), "; ", hint));
  CHECK(!fs::exists(kept / "plain/seed-2"));
  fs::remove_all(kept / "plain/seed-2-unwanted");

  const std::string log = contents(runs / "plain/seed-1/metrics.jsonl");
  folder.write("runs/plain/seed-1/metrics.jsonl", log + "{\"step\": 9, \"note\": \"another run\"}\n");
  CHECK(refusal(dossier) == text("tapir: ", (kept / "plain/seed-1").string(), ": is kept with another metrics.jsonl than that ",
                                 "of ", (runs / "plain/seed-1").string(), "; ", hint));
  CHECK(contents(kept / "plain/seed-1/metrics.jsonl") == log);
  CHECK(!fs::exists(kept / "plain/seed-2"));   // nothing was copied
  folder.write("runs/plain/seed-1/metrics.jsonl", log);

  fs::rename(runs / "plain/seed-1/environment.jsonl", folder.path() / "aside");
  fs::remove_all(kept);
  CHECK(contains_text(refusal(dossier), "runs/plain/seed-1: has no environment.jsonl"));
  CHECK(!fs::exists(kept));
  fs::rename(folder.path() / "aside", runs / "plain/seed-1/environment.jsonl");

  fs::create_directories(kept / "plain/seed-2/run.json");   // the copy ends here, as one that is killed
  CHECK(contains_text(refusal(dossier), "plain/seed-2/run.json: "));
  CHECK(fs::exists(kept / "plain/seed-2/environment.jsonl"));
  fs::remove(kept / "plain/seed-2/run.json");
  folder.write("dossiers/study/plain/seed-2/metrics.jsonl", "{\"step\": 1}\n");   // of no run: there are no facts
  CHECK(tapir(dossier).status == 0);
  CHECK(contents(kept / "plain/seed-2/metrics.jsonl") == contents(runs / "plain/seed-2/metrics.jsonl"));
  CHECK(fs::exists(out / "study.md"));

  for (const std::string seed : {"1", "2"}) {   // as if their data had been files
    nlohmann::json facts = nlohmann::json::parse(contents(kept / ("plain/seed-" + seed) / "run.json"));
    facts["digests"] = {{"train", std::string(12, seed[0])}, {"initial", seed}};
    folder.write("dossiers/study/plain/seed-" + seed + "/run.json", facts.dump());
  }
  CHECK(refusal("dossier " + in_quotes(file) + " --out " + in_quotes(out)) ==
        text("tapir: ", (kept / "plain/seed-2").string(), ": was trained with other data than ",
             (kept / "plain/seed-1").string(), ", by SHA-256: train is 222222222222, was 111111111111; hint: runs of one trial "
             "have the same data: remove those that have not, and `tapir trial` trains them again"));
}

TEST_CASE("tapir dossier: what counts is the run that the trial plans, and no other") {
  const TemporaryFolder folder;
  const std::string timed = "[[trial.arm]]\nname = \"timed\"\nmatch = \"expressive\"\nmatch_in = \"time\"\n";
  const fs::path file = folder.write("study.toml", text(experiment, criterion, timed)), runs = folder.path() / "runs",
                 out = folder.path() / "dossiers", kept = out / "study";
  const std::string dossier = "dossier " + in_quotes(file) + " --out " + in_quotes(out);
  REQUIRE(tapir("trial " + in_quotes(file) + " --jobs 2 --out " + in_quotes(runs)).status == 0);
  const auto change = [](const fs::path& of, const std::string& find, const std::string& put) {
    std::string whole = contents(of);
    const size_t at = whole.find(find);
    REQUIRE(at != std::string::npos);
    std::ofstream(of) << whole.replace(at, find.size(), put);
  };
  const auto refused = [&](const std::function<void()>& spoil) {
    fs::remove_all(out);
    REQUIRE(tapir(dossier + " --runs " + in_quotes(runs)).status == 0);
    spoil();
    const std::string said = refusal(dossier);
    CHECK(said.starts_with("tapir: " + kept.string() + '/'));
    return said.substr(std::min(said.size(), text("tapir: ", kept.string(), '/').size()));
  };
  const std::string planned = "; hint: only what the trial plans counts: make it with `tapir trial`";
  CHECK(refused([&] {
          fs::remove_all(kept / "plain/seed-1");
          fs::copy(kept / "plain/seed-2", kept / "plain/seed-1");
        }) == "plain/seed-1: belongs to another experiment: run.seed is 1, was 2" + planned);
  const std::string exchanged = refused([&] {
    fs::rename(kept / "plain", kept / "aside");
    fs::rename(kept / "expressive", kept / "plain");
    fs::rename(kept / "aside", kept / "expressive");
  });
  CHECK(exchanged == "plain/rate-0.01: belongs to another experiment: attention.mechanism is 'dot_product', was 'expressive'" +
                         planned);
  for (const char* run : {"plain/seed-2", "plain/rate-0.01"}) {
    CAPTURE(run);
    const bool counted = std::string(run).ends_with("seed-2");
    const std::string steps = counted ? "9" : "3";
    CHECK(refused([&] {   // as if it had had more of them
            change(kept / run / "experiment.toml", "\nsteps = " + steps + '\n', "\nsteps = 40\n");
            const std::string log = contents(kept / run / "metrics.jsonl");
            const size_t last = log.rfind("{\"step\":" + steps);
            REQUIRE(last != std::string::npos);
            std::ofstream(kept / run / "metrics.jsonl") << log.substr(0, last) << "{\"step\":40" << log.substr(last + 9);
          }) == run + (": belongs to another experiment: train.steps is " + steps + ", was 40") + planned);
    CHECK(refused([&] { change(kept / run / "experiment.toml", "clip = 1.0", "clip = 2.0"); }) ==
          run + std::string(": belongs to another experiment: train.clip is 1.0, was 2.0") + planned);
  }
  CHECK(contains_text(refused([&] { change(kept / "plain/seed-2/experiment.toml", "\nrate = 0.0", "\nrate = 0.5"); }),
                      "plain/seed-2: belongs to another experiment: schedule.rate is 0.0"));
  CHECK(contains_text(refused([&] { change(kept / "larger/seed-2/experiment.toml", "\nhidden = ", "\nhidden = 7"); }),
                      "larger/seed-2: belongs to another experiment: model.hidden is "));
  CHECK(contains_text(refused([&] { change(kept / "larger/seed-1/run.json", "\"parameters\": ", "\"parameters\": 9"); }),
                      "larger/seed-1: is to have the parameters of plain, "));
  const std::string slower = refused([&] {
    nlohmann::json times = nlohmann::json::parse(contents(kept / "match.json"));
    times["seconds_of_step"]["timed"]["seconds"] = 1e5;
    std::ofstream(kept / "match.json") << times;
  });
  CHECK(contains_text(slower, ": belongs to another experiment: train.steps is 1, was "));
  CHECK(refused([&] { change(kept / "expressive/seed-2/run.json", "\"size\": \"4\"", "\"size\": \"5\""); }) ==
        "expressive/seed-2: its results do not compare with those of " + (kept / "plain/seed-1").string() +
            ": size is 5, not 4; hint: arms of a cell are judged alike: by the same metric, of the same data");

  fs::remove_all(out);
  REQUIRE(tapir(dossier + " --runs " + in_quotes(runs)).status == 0);
  for (const auto& entry : fs::recursive_directory_iterator(kept))
    if (entry.path().filename() == "environment.jsonl") std::ofstream(entry.path()) << "{\"step\":0,\"commit\":\"abc\"}\n";
  const std::string unclean = "Not all of these runs come from a build of a clean commit";
  CHECK(tapir(dossier).status == 0);
  CHECK(!contains_text(contents(out / "study.md"), unclean));
  std::ofstream(kept / "plain/rate-0.01/environment.jsonl") << "{\"step\":0,\"commit\":\"abc, with changes\"}\n";
  CHECK(tapir(dossier).status == 0);
  CHECK(contains_text(contents(out / "study.md"), unclean));   // the choice of the rate counts as well
}

}  // namespace tapir
